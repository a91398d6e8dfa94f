//! How does the program write files, and where does it look for one? Keys are for their owner alone, and nothing
//! is ever overwritten.

use anyhow::{Context as _, Result, bail};
use quorate::types::{SecretKey, hex};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a new file for everybody to read.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<()> {
    write_with_mode(path, text, 0o644)
}

/// Writes a secret key into a new file that its owner alone can read.
pub(crate) fn write_key(path: &Path, key: &SecretKey) -> Result<()> {
    write_with_mode(path, &format!("{}\n", hex::encode(&key.to_seed())), 0o600)
}

fn write_with_mode(path: &Path, text: &str, mode: u32) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists and is left as it is; choose another path", path.display())
        }
        opened => opened.with_context(|| cannot_write(path))?,
    };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}; check the path and its rights", path.display())
}

/// The cluster file that is meant: the one that is named, that the environment names, or that lies in this or
/// a parent directory.
pub(crate) fn find_cluster(named: Option<&Path>) -> Result<PathBuf> {
    let named = named.map(Path::to_owned).or_else(|| std::env::var_os("QUORATE_CLUSTER").map(PathBuf::from));
    if let Some(path) = named {
        return Ok(if path.is_dir() { path.join(CLUSTER) } else { path });
    }
    let here =
        std::env::current_dir().context("this directory has no path; name the cluster by --cluster")?;
    let found = here.ancestors().map(|directory| directory.join(CLUSTER)).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "there is no {CLUSTER} in this or a parent directory; name one by --cluster PATH or QUORATE_CLUSTER, or make \
             a cluster with `quorate testnet init DIR`"
        )
    })
}

/// What clients need to know of a cluster.
pub(crate) const CLUSTER: &str = "cluster.json";
/// The key of a client, beside the cluster's file.
pub(crate) const CLIENT_KEY: &str = "client.key";
