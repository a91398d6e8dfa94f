//! What does a replica keep in its directory, and did it ever run there before (rule D3)?
//!
//! This is the seam for logs on disk. As long as every log is kept in memory, the directory holds the
//! mark of `init` alone, and the first start takes it away: whatever starts here later has lost its log.

use quorate_store::{Log, MemoryDisk};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::ReplicaConfig;
use crate::{Durability, Error, Result};

/// A replica's directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Whose it is: cluster and key, as the mark says it.
    owner: String,
}

/// A replica's log and what to make of it when it is empty.
pub(crate) struct OpenedLog {
    pub(crate) log: Box<dyn Log>,
    pub(crate) durability: Durability,
    /// Whether the replica never signed anything.
    pub(crate) is_fresh: bool,
}

impl Directory {
    /// Leaves the mark of a replica that never signed anything, in a directory that is new or empty.
    pub(crate) fn init(config: &ReplicaConfig) -> Result {
        let directory = Self::open(config)?;
        if directory.path.join(USED).exists() || directory.path.join(MARK).exists() {
            return Err(directory.problem(
                "it is prepared already; run the replica, or name another `dir` for a new one with a new key",
            ));
        }
        directory.write(MARK).map_err(|error| directory.refused(&error))
    }

    /// Makes sure that it is there.
    pub(crate) fn open(config: &ReplicaConfig) -> Result<Self> {
        let path = config.dir.clone();
        let owner = format!(
            "cluster {}\nreplica {}\n",
            quorate_types::hex::encode(&config.membership.cluster().0),
            quorate_types::hex::encode(&config.key.public().0),
        );
        let directory = Self { path, owner };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory.path);
        made.map_err(|error| directory.refused(&error))?;
        Ok(directory)
    }

    /// The replica's log. Only one process may get here at a time.
    pub(crate) fn log(&self) -> Result<OpenedLog> {
        let is_fresh = self.take_mark()?;
        if !is_fresh {
            tracing::warn!(
                directory = %self.path.display(),
                "no log and no mark of `quorate init` here: waits until the others let it take part (rule D3)"
            );
        }
        tracing::warn!("the log is kept in memory: this replica forgets everything when its process ends");
        Ok(OpenedLog { log: Box::new(MemoryDisk::new().open()), durability: Durability::Memory, is_fresh })
    }

    /// Whether the mark was there. It is gone for good before this returns, and in its place stands
    /// whose directory this is.
    fn take_mark(&self) -> Result<bool> {
        for name in [USED, MARK] {
            match std::fs::read_to_string(self.path.join(name)) {
                Ok(found) if found == self.owner => {}
                Ok(_) => {
                    return Err(self.problem(
                        "it belongs to another replica or cluster; correct `dir`, `key` or `genesis`",
                    ));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(self.refused(&error)),
            }
            if name == USED {
                return Ok(false);
            }
            let renamed = std::fs::rename(self.path.join(MARK), self.path.join(USED));
            renamed.and_then(|()| sync(&self.path)).map_err(|error| self.refused(&error))?;
            return Ok(true);
        }
        self.write(USED).map_err(|error| self.refused(&error))?;
        Ok(false)
    }

    fn write(&self, name: &str) -> io::Result<()> {
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).to_owned();
        let mut file = options.open(self.path.join(name))?;
        file.write_all(self.owner.as_bytes())?;
        file.sync_all()?;
        sync(&self.path)
    }

    fn refused(&self, error: &io::Error) -> Error {
        self.problem(&format!("it cannot be used: {error}; check its rights and its disk"))
    }

    fn problem(&self, problem: &str) -> Error {
        Error::Directory { path: self.path.clone(), problem: problem.to_owned() }
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Left by `init`: nothing was ever signed here.
const MARK: &str = "fresh";
/// What the first start makes of it.
const USED: &str = "used";
