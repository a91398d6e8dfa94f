//! How does one run a replica on a machine of its own? `quorate init` once, then `quorate replica`.

use anyhow::Result;
use clap::Args;
use quorate::config::ReplicaConfig;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tracing::Level;

use quorate_services::kv::KeyValue;

/// Which replica to prepare.
#[derive(Args, Clone, Debug)]
pub(crate) struct Init {
    /// The replica's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Prints one JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let config = ReplicaConfig::read(&self.config)?;
        quorate::Replica::init(&self.config)?;
        let out = &mut std::io::stdout();
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "replica": config.id, "dir": config.dir }))?;
        } else {
            writeln!(out, "replica {} may start for the first time in {}", config.id, config.dir.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Which replica to run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Replica {
    /// The replica's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How much it logs on standard error: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: Level,
    /// Prints JSON objects instead of sentences.
    #[arg(long)]
    json: bool,
    /// Stops when standard input ends, which it does with the process that supervises this one.
    #[arg(long, hide = true)]
    until_input_ends: bool,
}

impl Replica {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        tracing_subscriber::fmt()
            .with_max_level(self.log)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_target(false)
            .init();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> Result<ExitCode> {
        let replica = quorate::Replica::open(&self.config, KeyValue::default)?;
        self.say_that_it_serves(&replica);
        tokio::select! {
            ended = replica.run() => ended?,
            () = self.supervisor_is_gone() => replica.stop().await?,
        }
        self.say(
            &format!("replica {} stopped", replica.id()),
            &serde_json::json!({
                "event": "stopped", "replica": replica.id(),
            }),
        );
        Ok(ExitCode::SUCCESS)
    }

    fn say_that_it_serves(&self, replica: &quorate::Replica) {
        let (peers, clients) = (replica.peer_address(), replica.client_address());
        let sentence = format!("replica {} serves, peers at {peers}, clients at {clients}", replica.id());
        self.say(
            &sentence,
            &serde_json::json!({
                "event": "serves", "replica": replica.id(), "peers": peers, "clients": clients,
            }),
        );
    }

    /// A replica goes on when nobody reads what it says.
    fn say(&self, sentence: &str, json: &serde_json::Value) {
        let mut out = std::io::stdout();
        let _ = if self.json { writeln!(out, "{json}") } else { writeln!(out, "{sentence}") };
    }

    /// Waits for the end of standard input, if it is one that ends with a supervisor.
    async fn supervisor_is_gone(&self) {
        if !self.until_input_ends {
            return std::future::pending().await;
        }
        let (sender, ended) = tokio::sync::oneshot::channel();
        // Reading standard input cannot be given up, so it gets a thread that the process does not wait for.
        std::thread::spawn(move || {
            let mut input = std::io::stdin();
            while matches!(input.read(&mut [0; 64]), Ok(1..)) {}
            let _ = sender.send(());
        });
        let _ = ended.await;
    }
}
