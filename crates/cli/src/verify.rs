//! `quorate verify`: does a proof of misbehaviour hold? Needs the genesis and nothing else: no cluster, no network.

use anyhow::{Context as _, Result};
use clap::Args;
use quorate::types::{EvidenceFile, Genesis};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Verifies evidence against a replica. Exits with 0 if it holds, 1 if not.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The evidence, as JSON: `evidence.json`.
    evidence: PathBuf,
    /// The genesis of the accused replica's cluster.
    #[arg(long)]
    genesis: PathBuf,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let genesis: Genesis = read(&self.genesis)?;
        let file: EvidenceFile = read(&self.evidence)?;
        file.verify_offline(&genesis)?;
        let accused = genesis.replicas.get(file.evidence.replica.index());
        let organisation = accused.map_or("", |member| member.organisation.as_str());
        writeln!(std::io::stdout(), "proven, {organisation}: {}", file.evidence)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; check the path and its rights", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what it should be", path.display()))
}
