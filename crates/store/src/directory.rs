//! Whose directory is this, and does anybody use it? A replica's data is refused to everybody else.

use quorate_types::{ClusterId, PublicKey};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::identity;
use crate::{DirectoryFiles, DiskLog, LogIdentity, LogSettings, Owner, StoreError};

/// A replica's directory, held by this process alone until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: LogIdentity,
    found: DirectoryState,
    /// The lock goes with the file, also when the process is killed.
    _lock: File,
}

/// What a directory held when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryState {
    /// It did not exist.
    Missing,
    /// It was empty: never used, or wiped.
    Empty,
    /// It was this replica's.
    Used,
}

/// Why a directory is refused.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is a file or something else.
    #[error("{path} is not a directory: name another one")]
    NotADirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system does not let this process use it.
    #[error("no right to {operation} {path}: give it to the user that runs the replica")]
    NoRights {
        /// What was not allowed.
        operation: &'static str,
        /// The directory, or the file in it.
        path: PathBuf,
    },
    /// Another process holds it.
    #[error("{path} is in use by another process: stop that one first, or name another directory")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A replica can be initialised in an empty directory only.
    #[error("{path} is not empty, and nothing in it is overwritten: name a new directory")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// It has files and no identity.
    #[error(
        "{path} has files in it and does not say whose they are: name the replica's directory, or an empty one"
    )]
    NoIdentity {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another cluster.
    #[error(
        "{path} holds data of cluster {found}, not of {expected}: name the directory of this cluster's replica"
    )]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// The cluster whose data it holds.
        found: ClusterId,
        /// The replica's cluster.
        expected: ClusterId,
    },
    /// It belongs to another replica.
    #[error(
        "{path} holds data of the replica with key {found}, not of {expected}: name the directory of this replica"
    )]
    OtherReplica {
        /// The directory.
        path: PathBuf,
        /// The key of the replica whose data it holds.
        found: PublicKey,
        /// The replica's key.
        expected: PublicKey,
    },
    /// It was written by a newer program.
    #[error("{path} has format {found}, and this program knows formats up to {known}: start a newer program")]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// Its identity is not readable.
    #[error(
        "{path} is damaged and does not say whose data it holds: keep it for diagnosis, and let the replica start with an \
         empty directory, as after the loss of its disk"
    )]
    Damaged {
        /// The file with the identity.
        path: PathBuf,
    },
    /// The disk failed, or is full.
    #[error("cannot {operation} {path}: {source}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// The directory, or the file in it.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

impl DataDirectory {
    /// Makes a directory for a new replica, which nobody has used before. `mark` is drawn at random; see
    /// [`LogIdentity::mark`].
    ///
    /// # Errors
    /// [`DirectoryError::NotEmpty`] and others; nothing that was there is changed.
    pub fn create(path: &Path, owner: Owner, mark: u64) -> Result<Self, DirectoryError> {
        let found = make_directory(path)?;
        let lock = if is_unused(path)? { lock(path)? } else { return Err(not_empty(path)) };
        // Another process may have been faster.
        if !is_unused(path)? {
            return Err(not_empty(path));
        }
        Self::begin(path, LogIdentity { owner, mark }, found, lock)
    }

    /// Opens a replica's directory. One that is missing or empty is made: [`DataDirectory::found`] tells, and
    /// the replica then follows rule D3. `mark` is drawn at random, and used in that case only; see
    /// [`LogIdentity::mark`].
    ///
    /// # Errors
    /// See [`DirectoryError`]; nothing that was there is changed.
    pub fn open(path: &Path, owner: Owner, mark: u64) -> Result<Self, DirectoryError> {
        let found = make_directory(path)?;
        // Looked at before it is locked, since a lock is a file: a stranger's directory is left as it is.
        if read_identity(path)?.is_none() && !is_unused(path)? {
            return Err(DirectoryError::NoIdentity { path: path.to_owned() });
        }
        let lock = lock(path)?;
        let Some(identity) = read_identity(path)? else {
            return Self::begin(path, LogIdentity { owner, mark }, found, lock);
        };
        let Owner { cluster, replica } = identity.owner;
        if cluster != owner.cluster {
            let expected = owner.cluster;
            return Err(DirectoryError::OtherCluster { path: path.to_owned(), found: cluster, expected });
        }
        if replica != owner.replica {
            let expected = owner.replica;
            return Err(DirectoryError::OtherReplica { path: path.to_owned(), found: replica, expected });
        }
        Self { path: path.to_owned(), identity, found: DirectoryState::Used, _lock: lock }.with_parts()
    }

    /// Whose data a directory holds, without changing or locking it. `None` if it has no identity.
    ///
    /// # Errors
    /// [`DirectoryError::Damaged`], [`DirectoryError::NewerFormat`], and those of the system.
    pub fn inspect(path: &Path) -> Result<Option<LogIdentity>, DirectoryError> {
        read_identity(path)
    }

    /// Whether a process holds a directory at this moment. It is asked for with a shared lock that is let go at
    /// once; nothing is made where nothing is.
    ///
    /// # Errors
    /// Those of the system.
    pub fn is_in_use(path: &Path) -> Result<bool, DirectoryError> {
        let file = path.join(LOCK);
        let lock = match File::open(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(|error| refused("read", &file, error))?,
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(refused("lock", &file, error)),
        }
    }

    /// What the directory held when it was opened.
    #[must_use]
    pub const fn found(&self) -> DirectoryState {
        self.found
    }

    /// Whose data it is.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.identity.owner
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where snapshots are kept.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// Where a replica that diverged leaves its state for the operator.
    #[must_use]
    pub fn dumps(&self) -> PathBuf {
        self.path.join("dumps")
    }

    /// Where the log's segments are.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the running replica listens for its operator.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Opens the log.
    ///
    /// # Errors
    /// As [`DiskLog::open`].
    pub fn open_log(&self, settings: LogSettings) -> Result<DiskLog, StoreError> {
        DiskLog::open(Box::new(DirectoryFiles::new(&self.log())), self.identity, settings)
    }

    fn begin(
        path: &Path,
        identity: LogIdentity,
        found: DirectoryState,
        lock: File,
    ) -> Result<Self, DirectoryError> {
        write_identity(path, identity)?;
        Self { path: path.to_owned(), identity, found, _lock: lock }.with_parts()
    }

    /// Makes the directories inside that are missing.
    fn with_parts(self) -> Result<Self, DirectoryError> {
        for part in [self.log(), self.snapshots(), self.dumps()] {
            make_directory(&part)?;
        }
        sync_directory(&self.path)?;
        Ok(self)
    }
}

const LOG: &str = "log";
const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
/// An identity that is being written. Left by a crash, it means nothing.
const IDENTITY_NEW: &str = "identity.new";

/// Locks a directory for as long as the file stays open.
fn lock(path: &Path) -> Result<File, DirectoryError> {
    let file = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(&file).map_err(|error| refused("lock", &file, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(refused("lock", &file, error)),
    }
}

fn not_empty(path: &Path) -> DirectoryError {
    DirectoryError::NotEmpty { path: path.to_owned() }
}

/// Whether there is nothing in a directory but what an interrupted creation leaves.
fn is_unused(path: &Path) -> Result<bool, DirectoryError> {
    Ok(names(path)?.iter().all(|name| name == LOCK || name == IDENTITY_NEW))
}

fn names(path: &Path) -> Result<Vec<String>, DirectoryError> {
    let entries = fs::read_dir(path).map_err(|error| refused("read", path, error))?;
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries.map(name).collect::<io::Result<_>>().map_err(|error| refused("read", path, error))
}

/// Makes a directory that only its owner may look into, if it is missing.
fn make_directory(path: &Path) -> Result<DirectoryState, DirectoryError> {
    if path.is_dir() {
        return Ok(DirectoryState::Empty);
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
            Ok(DirectoryState::Missing)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(DirectoryError::NotADirectory { path: path.to_owned() })
        }
        Err(error) => Err(refused("create", path, error)),
    }
}

fn sync_directory(path: &Path) -> Result<(), DirectoryError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| refused("sync", path, error))
}

fn read_identity(path: &Path) -> Result<Option<LogIdentity>, DirectoryError> {
    let file = path.join(IDENTITY);
    let opened = match File::open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| refused("read", &file, error))?,
    };
    // A file that is longer is no identity, and need not be read to its end.
    let mut bytes = Vec::new();
    let read = opened.take(identity::BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| refused("read", &file, error))?;
    match identity::parse(&bytes) {
        Ok(identity) => Ok(Some(identity)),
        Err(identity::Fault::Damaged) => Err(DirectoryError::Damaged { path: file }),
        Err(identity::Fault::NewerFormat(found)) => {
            Err(DirectoryError::NewerFormat { path: path.to_owned(), found, known: identity::FORMAT_VERSION })
        }
    }
}

/// Writes the identity whole or not at all.
fn write_identity(path: &Path, identity: LogIdentity) -> Result<(), DirectoryError> {
    let (new, file) = (path.join(IDENTITY_NEW), path.join(IDENTITY));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&new).and_then(|mut file| {
        file.write_all(identity::print(&identity).as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| refused("write", &new, error))?;
    fs::rename(&new, &file).map_err(|error| refused("write", &file, error))?;
    sync_directory(path)
}

fn refused(operation: &'static str, path: &Path, source: io::Error) -> DirectoryError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => DirectoryError::NoRights { operation, path },
        io::ErrorKind::NotADirectory => DirectoryError::NotADirectory { path },
        _ => DirectoryError::Failed { operation, path, source },
    }
}
