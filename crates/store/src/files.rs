//! What must a directory of files be able to do so that a log can be kept in it?

use std::fmt::Debug;
use std::io::{self, IoSlice};

/// The byte level below the log: named files in one directory, on a disk or in memory.
///
/// Nothing written is durable before [`Files::sync`] of its file returns; nothing created or removed before
/// [`Files::sync_directory`] returns. What was not made durable may be there after a loss of power, in part
/// and in any order.
///
/// A full disk is told by one of the kinds that [`is_full`] knows. Every other error means that nothing is
/// known about what was written.
pub trait Files: Debug + Send {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// Of the disk.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// Of the disk, or there is no such file.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Fills the buffer from a file, beginning at `offset`.
    ///
    /// # Errors
    /// Of the disk; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Makes an empty file. Its name must not be taken.
    ///
    /// # Errors
    /// Of the disk, or the name is taken.
    fn create(&mut self, name: &str) -> io::Result<()>;

    /// Writes the parts one behind the other, beginning at `offset`. After an error some of it may be
    /// written.
    ///
    /// # Errors
    /// Of the disk.
    fn write(&mut self, name: &str, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Shortens a file, or lengthens it by zeros.
    ///
    /// # Errors
    /// Of the disk.
    fn set_length(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Makes a file's bytes and length durable.
    ///
    /// # Errors
    /// Of the disk. What is durable is then unknown, and asking again would not tell.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Of the disk.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Makes durable which files there are.
    ///
    /// # Errors
    /// Of the disk.
    fn sync_directory(&mut self) -> io::Result<()>;
}

/// Whether an error says that there is no room: on the disk, in a quota, or within the length a process may
/// write.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
