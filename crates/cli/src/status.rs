//! How is a replica doing? `quorate status` asks it over the control socket in its directory.

use anyhow::{Result, bail};
use clap::Args;
use quorate::config::ReplicaConfig;
use quorate::{ControlClient, Status as ReplicaStatus};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which replica to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct Status {
    /// The replica's configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    config: Option<PathBuf>,
    /// The replica's directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Asks; the exit code is 0 if the replica takes part and 1 if it does not.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let directory = match (&self.dir, &self.config) {
            (Some(directory), _) => directory.clone(),
            (None, Some(config)) => ReplicaConfig::read(config)?.dir,
            (None, None) => bail!("name a replica by --config FILE or --dir DIR"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let status = runtime.block_on(async { ControlClient::connect(directory).await?.status().await })?;
        let out = &mut std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&status)?)?;
        } else {
            write_table(&status, out)?;
        }
        let takes_part = status.halted.is_none() && status.is_running && !status.is_recovering;
        Ok(if takes_part { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn write_table(status: &ReplicaStatus, out: &mut impl Write) -> Result<()> {
    let state = match &status.halted {
        Some(_) => "halted",
        None if !status.is_running => "stopped",
        None if status.is_recovering => "lost its disk, waits until it may take part",
        None => "ok",
    };
    let role = if status.primary == status.replica { "primary" } else { "backup" };
    let connected: Vec<String> = status.connected.iter().map(ToString::to_string).collect();
    let rows = [
        ("replica", status.replica.to_string()),
        ("state", state.to_owned()),
        ("role", role.to_owned()),
        ("view", status.view.to_string()),
        ("committed", status.committed.to_string()),
        ("executed", status.executed.to_string()),
        ("checkpoint", status.stable.to_string()),
        ("connected", connected.join(", ")),
        ("clients", status.clients.to_string()),
        ("syncs", status.log.syncs.to_string()),
        ("evidence", status.evidence.to_string()),
    ];
    for (name, value) in rows {
        writeln!(out, "{name:12} {value}")?;
    }
    if let Some(attack) = &status.attack {
        writeln!(out, "{:12} {attack}, deviated {} times", "attack", status.attack_fired)?;
    }
    if let Some(why) = &status.halted {
        writeln!(out, "{why}")?;
    }
    Ok(())
}
