//! Where does a replica of a local cluster keep what it finds again when it is started again?

use quorate_store::MemoryDisk;
use quorate_types::{ClusterId, PublicKey};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::node::Disk;
use crate::states::MemoryStates;
use crate::{Durability, Error, Result, directory};

/// One replica's disk, whether it runs or not.
#[derive(Debug)]
pub(crate) enum Home {
    /// In this process.
    Memory {
        disk: MemoryDisk,
        states: MemoryStates,
        /// Whether an empty log is one that was lost.
        is_wiped: AtomicBool,
    },
    /// In a directory.
    Directory(PathBuf),
}

impl Home {
    pub(crate) fn in_memory() -> Self {
        let (disk, states) = (MemoryDisk::new(), MemoryStates::default());
        Self::Memory { disk, states, is_wiped: AtomicBool::new(false) }
    }

    /// In a new directory, with the mark of `init`.
    pub(crate) fn in_directory(path: &Path, cluster: ClusterId, replica: PublicKey) -> Result<Self> {
        directory::create(path, cluster, replica)?;
        Ok(Self::Directory(path.to_owned()))
    }

    /// Opens it for the replica.
    pub(crate) fn open(&self, cluster: ClusterId, replica: PublicKey) -> Result<Disk> {
        match self {
            Self::Memory { disk, states, is_wiped } => {
                let is_fresh = !is_wiped.load(Ordering::Relaxed);
                Ok(Disk { is_fresh, ..directory::memory(disk, states) })
            }
            Self::Directory(path) => {
                directory::disk(directory::open(path, cluster, replica)?, Durability::Sync)
            }
        }
    }

    /// Replaces all of it by nothing, not even the mark of `init`. The replica must not run.
    pub(crate) fn wipe(&self) -> Result {
        match self {
            Self::Memory { disk, states, is_wiped } => {
                disk.wipe();
                states.wipe();
                is_wiped.store(true, Ordering::Relaxed);
                Ok(())
            }
            Self::Directory(path) => std::fs::remove_dir_all(path).map_err(|error| Error::Directory {
                path: path.clone(),
                problem: format!("the directory {} cannot be removed: {error}", path.display()),
            }),
        }
    }
}
