//! What does the snapshot store ask of a file system? Few things, behind a seam at which tests crash it.
//!
//! A write may be lost or torn until its file is synced; a name may come or go as it likes until the
//! directory is synced. Nothing else is assumed, and renaming replaces a name at once.
//!
//! The log's [`crate::Files`] is for one thread that appends. Here many threads read at once, files that were removed meanwhile too,
//! and names are replaced.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::SnapshotError;

/// A directory of files.
pub(super) trait Files: Send + Sync {
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, in place of one that has this name.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Opens a file to read it.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;
    /// Gives a file another name, in place of one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name. Who has the file open still reads it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// An open file. Several threads may read it.
pub(super) trait File: Send + Sync {
    /// Its length.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `buffer` from there.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of it there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
}

/// [`Files`] with named errors, and closed for writing after a failed sync.
pub(super) struct Disk {
    files: Box<dyn Files>,
    is_read_only: bool,
    is_stopped: AtomicBool,
}

impl Disk {
    pub(super) fn new(files: Box<dyn Files>, is_read_only: bool) -> Self {
        Self { files, is_read_only, is_stopped: AtomicBool::new(false) }
    }

    pub(super) const fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// To be asked before anything is written.
    pub(super) fn check_writable(&self) -> Result<(), SnapshotError> {
        if self.is_read_only {
            Err(SnapshotError::ReadOnly)
        } else if self.is_stopped.load(Ordering::Acquire) {
            Err(SnapshotError::Stopped)
        } else {
            Ok(())
        }
    }

    pub(super) fn list(&self) -> Result<Vec<String>, SnapshotError> {
        let mut names = self.files.list().map_err(|e| SnapshotError::io("the snapshots", "list", e))?;
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn create(&self, name: &str) -> Result<Box<dyn File>, SnapshotError> {
        self.check_writable()?;
        self.files.create(name).map_err(|e| SnapshotError::io(name, "create", e))
    }

    pub(super) fn open(&self, name: &str) -> Result<Arc<dyn File>, SnapshotError> {
        self.files.open(name).map(Arc::from).map_err(|e| SnapshotError::io(name, "open", e))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), SnapshotError> {
        self.check_writable()?;
        self.files.remove(name).map_err(|e| SnapshotError::io(name, "remove", e))
    }

    /// Syncs a file that has its temporary name, then gives it its own. The name is not durable yet.
    pub(super) fn sync_and_rename(&self, file: &dyn File, name: &str) -> Result<(), SnapshotError> {
        self.check_writable()?;
        let temporary = temporary(name);
        file.sync().map_err(|source| self.stop(&temporary, source))?;
        self.files.rename(&temporary, name).map_err(|e| SnapshotError::io(&temporary, "rename", e))
    }

    pub(super) fn sync_directory(&self) -> Result<(), SnapshotError> {
        self.files.sync_directory().map_err(|source| self.stop("the snapshots' directory", source))
    }

    /// Puts a file with these bytes there, durably, or leaves what was there.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), SnapshotError> {
        let file = self.create(&temporary(name))?;
        file.write_at(bytes, 0).map_err(|e| SnapshotError::io(name, "write", e))?;
        self.sync_and_rename(&*file, name)?;
        self.sync_directory()
    }

    /// The whole of a file that must not be longer than `bytes_max`.
    pub(super) fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, SnapshotError> {
        let file = self.open(name)?;
        let length = file.bytes().map_err(|e| SnapshotError::io(name, "read", e))?;
        if length > bytes_max {
            return Err(SnapshotError::damaged(name, "it is too long"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_at(&mut bytes, 0).map_err(|e| SnapshotError::io(name, "read", e))?;
        Ok(bytes)
    }

    pub(super) fn stop(&self, name: &str, source: io::Error) -> SnapshotError {
        // [D4] The system may have dropped the pages that it could not write, so that another sync would
        // succeed without them.
        self.is_stopped.store(true, Ordering::Release);
        SnapshotError::SyncFailed { file: name.to_owned(), source }
    }
}

/// The name that a file has until it is complete.
pub(super) fn temporary(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// How temporary names end.
pub(super) const TEMPORARY: &str = ".new";

/// A directory of the operating system.
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Opens a directory; makes it first unless it is only to be looked at.
    pub(super) fn open(path: &Path, is_read_only: bool) -> Result<Self, SnapshotError> {
        if !is_read_only && !path.is_dir() {
            Self::make(path).map_err(|e| SnapshotError::io(&path.display().to_string(), "create", e))?;
        }
        Ok(Self(path.to_owned()))
    }

    fn make(path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        // The state may be confidential.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => std::fs::File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }
}

impl Files for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            // Our own names are ASCII; whatever else lies there is not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(std::fs::File::open(self.0.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.0.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        std::fs::File::open(&self.0)?.sync_all()
    }
}

impl File for std::fs::File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
