//! What does a replica find in its directory, and did it ever run there before (rule D3)?

use quorate_consensus::Record;
use quorate_store::{DataDirectory, DirectoryError, DirectoryState, Log, LogSettings, MemoryDisk, Owner};
use quorate_types::{ClusterId, PublicKey};
use std::path::Path;
use std::sync::Arc;

use crate::config::ReplicaConfig;
use crate::node::Disk;
use crate::states::{DiskStates, MemoryStates};
use crate::{Durability, Error, Result};

/// Leaves the mark of a replica that never signed anything, in a directory that is new or empty.
pub(crate) fn init(config: &ReplicaConfig) -> Result {
    let (cluster, key) = (config.membership.cluster(), config.key.public());
    create(&config.dir, cluster, key).map(drop)
}

/// Makes a directory with the mark of `init`.
pub(crate) fn create(path: &Path, cluster: ClusterId, replica: PublicKey) -> Result<DataDirectory> {
    let directory = new(path, cluster, replica).map_err(|error| match error {
        DirectoryError::NotEmpty { .. } => problem(
            path,
            &"it is not empty: run the replica if it was prepared before, or name another `dir` for a new one with \
             a new key",
        ),
        error => refused(path, &error),
    })?;
    let marked = directory.open_log(LogSettings::default()).and_then(|mut log| {
        log.append(Record::Init.encode())?;
        log.sync()
    });
    marked.map_err(|error| problem(path, &error))?;
    Ok(directory)
}

/// Makes a directory in which nothing says yet that its replica never ran.
pub(crate) fn new(
    path: &Path,
    cluster: ClusterId,
    replica: PublicKey,
) -> Result<DataDirectory, DirectoryError> {
    DataDirectory::create(path, Owner { cluster, replica }, rand::random())
}

/// Opens a directory for one process, this one.
pub(crate) fn open(path: &Path, cluster: ClusterId, replica: PublicKey) -> Result<DataDirectory> {
    let directory = DataDirectory::open(path, Owner { cluster, replica }, rand::random());
    let directory = directory.map_err(|error| refused(path, &error))?;
    if directory.found() != DirectoryState::Used {
        tracing::warn!(
            directory = %path.display(),
            "nothing is here, not even the mark of `quorate init`: waits until the others let it take part (rule D3)"
        );
    }
    Ok(directory)
}

/// What is kept in the directory.
pub(crate) fn disk(directory: DataDirectory, durability: Durability) -> Result<Disk> {
    let path = directory.path().to_owned();
    let mut log = directory.open_log(LogSettings::default()).map_err(|error| problem(&path, &error))?;
    match durability {
        Durability::Sync => {
            let cluster = directory.owner().cluster;
            let states =
                DiskStates::open(&directory.snapshots(), cluster).map_err(|error| problem(&path, &error))?;
            let (log, states) = (Box::new(log), Arc::new(states));
            Ok(Disk { log, states, durability, is_fresh: false, directory: Some(directory) })
        }
        Durability::Memory => {
            tracing::warn!(
                "the log is kept in memory: this replica forgets everything when its process ends"
            );
            // The mark alone: it goes, durably, before anything is signed.
            let is_fresh = log.first().0 == 0 && log.end().0 == 1;
            log.truncate_front(log.end()).map_err(|error| problem(&path, &error))?;
            Ok(Disk {
                is_fresh,
                directory: Some(directory),
                ..memory(&MemoryDisk::new(), &MemoryStates::default())
            })
        }
    }
}

/// What is kept in this process.
pub(crate) fn memory(disk: &MemoryDisk, states: &MemoryStates) -> Disk {
    Disk {
        log: Box::new(disk.open()),
        states: Arc::new(states.clone()),
        durability: Durability::Memory,
        is_fresh: true,
        directory: None,
    }
}

fn refused(path: &Path, error: &DirectoryError) -> Error {
    // It names the directory itself.
    Error::Directory { path: path.to_owned(), problem: error.to_string() }
}

pub(crate) fn problem(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::Directory {
        path: path.to_owned(),
        problem: format!("the directory {}: {problem}", path.display()),
    }
}
