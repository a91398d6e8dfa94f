//! How does one get a cluster of real processes on one machine? `quorate testnet init DIR`, then `up DIR`.

mod layout;
mod supervise;

use anyhow::Result;
use clap::{Args, Subcommand};
use quorate::Durability;
use quorate::types::SecretKey;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use layout::Layout;
pub(crate) use layout::config_of;

/// What to do with a test cluster.
#[derive(Subcommand, Debug)]
pub(crate) enum Testnet {
    /// Writes genesis, keys and configurations for a new test cluster.
    Init(Init),
    /// Runs every replica of a test cluster in a process of its own until Ctrl-C or SIGTERM.
    Up(Up),
}

impl Testnet {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Init(init) => init.run(),
            Self::Up(up) => supervise::run(&up.dir, up.json),
        }
    }
}

/// What cluster to make, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct Init {
    /// The cluster's directory: new, or empty.
    dir: PathBuf,
    /// Replicas in the cluster, 4 to 31.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=31))]
    replicas: u16,
    /// Replica N listens for replicas at this port plus N, and for clients 100 above; by default the system
    /// chooses free ports.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_400))]
    base_port: Option<u16>,
    /// The cluster's name, for people.
    #[arg(long, default_value = "testnet")]
    name: String,
    /// What the replicas' logs survive: sync or memory.
    #[arg(long, default_value = "sync", value_parser = durability)]
    durability: Durability,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl Init {
    fn run(&self) -> Result<ExitCode> {
        let count = usize::from(self.replicas);
        let ports = match self.base_port {
            Some(base) => layout::ports_from(base, count),
            None => layout::free_ports(count)?,
        };
        let layout = Layout {
            name: self.name.clone(),
            organisations: (0..count).map(|index| format!("org-{index}")).collect(),
            keys: (0..count).map(|_| SecretKey::from_seed(rand::random())).collect(),
            client: SecretKey::from_seed(rand::random()),
            ports,
            durability: self.durability,
        };
        layout.write(&self.dir)?;
        let out = &mut std::io::stdout();
        if self.json {
            let ports = |of: fn(&layout::Ports) -> u16| layout.ports.iter().map(of).collect::<Vec<_>>();
            let (peers, clients) = (ports(|ports| ports.peers), ports(|ports| ports.clients));
            let json = serde_json::json!({
                "dir": self.dir, "replicas": count, "peer_ports": peers, "client_ports": clients,
            });
            writeln!(out, "{json}")?;
        } else {
            let dir = self.dir.display();
            writeln!(out, "a test cluster of {count} replicas is ready in {dir}; start it:\n")?;
            writeln!(out, "    quorate testnet up {dir}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Which cluster to run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Up {
    /// The cluster's directory, made by `quorate testnet init`.
    dir: PathBuf,
    /// Prints JSON objects instead of sentences.
    #[arg(long)]
    json: bool,
}

pub(crate) fn durability(text: &str) -> Result<Durability, String> {
    let all = [Durability::Sync, Durability::Memory];
    let found = all.into_iter().find(|durability| durability.name() == text);
    found.ok_or_else(|| "choose sync or memory".to_owned())
}
