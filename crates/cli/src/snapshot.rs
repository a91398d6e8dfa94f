//! How does a state leave a cluster and come back? `quorate snapshot save`, `verify`, `restore` and `seed`; the
//! runbook in `docs/operations.md` says when.

use anyhow::Result;
use clap::{Args, Subcommand};
use quorate::backup::{self, SavedSnapshot};
use quorate::config::{ReplicaConfig, read_genesis, read_key};
use quorate::types::{Genesis, Height};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What to do with a saved snapshot.
#[derive(Subcommand, Debug)]
pub(crate) enum Snapshot {
    /// Writes a certified snapshot of a replica's directory into a new file. The replica may run.
    Save(Save),
    /// Checks a saved snapshot offline: signatures of a quorum, and every byte.
    Verify(Verify),
    /// Makes the directory of a replica that lost its own, with the state of a saved snapshot.
    Restore(Restore),
    /// Gives a replica the state with which its new cluster begins, because an old one lost too many disks.
    Seed(Seed),
}

#[derive(Args, Debug)]
pub(crate) struct Save {
    /// The replica's directory.
    #[arg(long)]
    dir: PathBuf,
    /// The snapshot at this height instead of the newest certified one.
    #[arg(long)]
    height: Option<u64>,
    /// The file. Must not exist.
    file: PathBuf,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The saved snapshot.
    file: PathBuf,
    /// The genesis of the cluster that certified it.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The saved snapshot.
    file: PathBuf,
    /// The cluster's genesis.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The directory to make. Must be new or empty.
    #[arg(long)]
    dir: PathBuf,
    /// The replica's secret key. It is read to know whose directory this is, and copied nowhere.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Seed {
    /// The saved snapshot of the old cluster.
    file: PathBuf,
    /// The genesis of the old cluster, which certified it.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The replica's configuration in the new cluster.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The replica ran in the new cluster before and lost its directory.
    #[arg(long)]
    lost: bool,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

impl Snapshot {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Save(save) => {
                let saved = backup::save(&save.dir, save.height.map(Height), &save.file)?;
                say(save.json, &saved, &format!("{} holds", save.file.display()), &[])
            }
            Self::Verify(verify) => {
                let saved = backup::verify(&verify.file, &genesis(&verify.genesis)?)?;
                let start = serde_json::to_string(&saved.start())?;
                let hints =
                    [format!("a new cluster that begins with it has in its genesis: \"start\": {start}")];
                say(verify.json, &saved, &format!("{} is intact and proves", verify.file.display()), &hints)
            }
            Self::Restore(restore) => {
                let key = read_key(&restore.key, None)?.public();
                let genesis = genesis(&restore.genesis)?;
                let saved = backup::restore(&restore.file, &genesis, &restore.dir, key)?;
                let hints = [
                    "nothing says what this replica signed before, so it follows rule D3: start it, and it takes part \
                     once a quorum of others lets it in"
                        .to_owned(),
                ];
                say(restore.json, &saved, &format!("{} now holds", restore.dir.display()), &hints)
            }
            Self::Seed(seed) => {
                let config = ReplicaConfig::read(&seed.config)?;
                let saved = backup::seed(&seed.file, &genesis(&seed.from)?, &config, seed.lost)?;
                let what = format!("replica {} of the new cluster begins with", config.id);
                say(seed.json, &saved, &what, &[])
            }
        }
    }
}

fn genesis(path: &Path) -> Result<Genesis> {
    Ok(read_genesis(path, None)?)
}

fn say(is_json: bool, saved: &SavedSnapshot, what: &str, hints: &[String]) -> Result<ExitCode> {
    let out = &mut std::io::stdout().lock();
    if is_json {
        let mut json = serde_json::to_value(saved)?;
        json["start"] = serde_json::to_value(saved.start())?;
        writeln!(out, "{json}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let signers: Vec<String> = saved.signers.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "{what} the state of cluster {} after block {} at height {}: {} bytes in {} chunks, signed by replicas {}",
        saved.cluster,
        saved.block,
        saved.height,
        saved.bytes,
        saved.chunks,
        signers.join(", ")
    )?;
    writeln!(out, "state root {}, application root {}", saved.root, saved.application)?;
    for hint in hints {
        writeln!(out, "{hint}")?;
    }
    Ok(ExitCode::SUCCESS)
}
