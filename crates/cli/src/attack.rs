//! What does an attack achieve on a running test cluster? `quorate attack` turns one replica over its control socket,
//! puts values meanwhile, and gives a verdict over what the others and the client saw.
//!
//! Reading order: this file (the flags and the run), `cluster` (who is asked), `load`, `list` (what can run here).

mod cluster;
mod list;
mod load;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use quorate::attack::Spec;
use quorate::lab::{Venue, Verdict};
use quorate::types::ReplicaId;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::files::find_cluster;
use cluster::Cluster;
use load::Load;

/// Which replica to turn, and into what.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Attack {
    #[command(subcommand)]
    command: Option<Command>,
    /// The attack, as in `equivocate-proposals@views=3..6,toward=1+2`; `quorate attack list` shows all.
    #[arg(required = true, value_name = "ATTACK", value_parser = spec)]
    attack: Option<Spec>,
    /// The replica that turns traitor.
    #[arg(long, required = true)]
    replica: Option<u16>,
    /// How long, as in `30s`, `500ms` or `2m`. Ctrl-C ends it before.
    #[arg(long = "for", default_value = "10s", value_name = "TIME", value_parser = span)]
    span: Duration,
    /// Where all the attack's randomness comes from; drawn by default, and told.
    #[arg(long)]
    seed: Option<u64>,
    /// The cluster's file, or its directory, made by `quorate testnet init`.
    #[arg(long, value_name = "PATH")]
    cluster: Option<PathBuf>,
    /// Prints one JSON object instead of sentences.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Shows every attack: what it does, what it needs, and whether it can run on a process's control socket.
    List(list::List),
}

impl Attack {
    /// Attacks; the exit code is 0 if the attack happened and cost nobody anything but time, and 1 if not.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if let Some(Command::List(list)) = &self.command {
            return list.run();
        }
        let (Some(spec), Some(replica)) = (&self.attack, self.replica) else {
            bail!("name an attack and a replica, as in `quorate attack --replica 0 silent`");
        };
        if let Some(why) = Venue::ControlSocket.refusal(spec.needs()) {
            bail!("the attack `{spec}` is refused: {why}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let verdict = runtime.block_on(self.attack(spec, ReplicaId(replica)))?;
        let out = &mut std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&verdict)?)?;
        } else {
            write_verdict(&verdict, out)?;
        }
        Ok(if verdict.verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn attack(&self, spec: &Spec, replica: ReplicaId) -> Result<Told> {
        let seed = self.seed.unwrap_or_else(rand::random);
        let cluster = Cluster::find(&find_cluster(self.cluster.as_deref())?)?;
        let mut traitor = cluster.control(replica).await?;
        let load = Load::start(&cluster.client()?).await?;
        let before = cluster.statuses().await;
        traitor.attack(&spec.to_string(), seed).await?;
        let seconds = self.wait().await?;
        // What it did is known while it is still at it.
        let fired = traitor.status().await?;
        traitor.honest().await?;
        let clients = load.finish().await?;
        let (witnesses, absent) = cluster.witnesses(before, fired).await?;
        let verdict = Verdict::new(spec, [replica], &witnesses, clients);
        Ok(Told { verdict, seed, seconds, absent })
    }

    /// Waits for the end of the attack; gives how long it was.
    async fn wait(&self) -> Result<f64> {
        let begin = std::time::Instant::now();
        tokio::select! {
            () = tokio::time::sleep(self.span) => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        Ok(begin.elapsed().as_secs_f64())
    }
}

/// What is printed. The names in JSON are a contract.
#[derive(serde::Serialize)]
struct Told {
    #[serde(flatten)]
    verdict: Verdict,
    seed: u64,
    seconds: f64,
    /// Replicas that could not be asked.
    absent: Vec<ReplicaId>,
}

fn write_verdict(told: &Told, out: &mut impl Write) -> Result<()> {
    let Told { verdict, seed, seconds, absent } = told;
    let [attack, fired, detected, evidence, refused, conflicts, views, requests] = verdict.row();
    let traitor = verdict.traitors.first().map(ToString::to_string).unwrap_or_default();
    writeln!(out, "{attack} by replica {traitor} for {seconds:.1} s, seed {seed}")?;
    let rows = [
        ("fired", format!("{fired} times")),
        ("detected by", detected),
        ("evidence at", evidence),
        ("refused as", refused),
        ("conflicts", format!("{conflicts} blocks and states that were compared")),
        ("views", views),
        ("client", format!("{requests} requests answered/failed")),
    ];
    for (name, value) in rows {
        writeln!(out, "  {name:14}{value}")?;
    }
    for replica in absent {
        writeln!(out, "  replica {replica} could not be asked")?;
    }
    match &verdict.problems()[..] {
        [] => writeln!(out, "borne: it happened, and cost nobody anything but time")?,
        problems => problems.iter().try_for_each(|problem| writeln!(out, "not shown: {problem}"))?,
    }
    Ok(())
}

/// An attack with its parameters.
pub(crate) fn spec(text: &str) -> Result<Spec, String> {
    text.parse::<Spec>().map_err(|error| error.to_string())
}

/// A span of time with its unit.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("give a time with its unit, as in 500ms, 30s or 2m".to_owned()),
    };
    match number.parse::<f64>().map(|number| number * seconds) {
        Ok(span) if (SPAN_MIN..=SPAN_MAX).contains(&span) => Ok(Duration::from_secs_f64(span)),
        _ => Err("give a time from 100ms to 60m".to_owned()),
    }
}

const SPAN_MIN: f64 = 0.1;
const SPAN_MAX: f64 = 3600.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit_and_bounds() {
        assert_eq!(span("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(span("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["30", "s", "", "-1s", "99ms", "61m", "1h", "1.2.3s"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
