//! What does a replica demand of its log?

use quorate_types::Frame;
use std::fmt;

/// The place of a record in its log, counted from 0 since the log began. Truncation moves no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// The records of a log in order, each with its position.
pub type Records<'a> = Box<dyn Iterator<Item = Result<(Position, Frame), StoreError>> + 'a>;

/// A replica's log: records are appended, made durable together by a sync, read after a restart, and dropped
/// from the front once a checkpoint covers them.
///
/// Positions are consecutive. After a crash the log holds all records that were durable and no
/// gap before any record; what was appended after the last sync may be gone, and its positions are
/// then given out again. A record is a [`Frame`]: the log shares its memory and copies nothing.
///
/// After any error except [`StoreError::OutOfRange`], [`StoreError::TooLarge`] and [`StoreError::Full`] the
/// log is unusable: the replica stops, because what is durable is no longer known (rule D4).
pub trait Log: Send {
    /// Appends a record. It is not durable before the next [`Log::sync`] returns.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::TooLarge`], with the log as it was; else the log failed.
    fn append(&mut self, record: Frame) -> Result<Position, StoreError> {
        self.append_all(&[record])
    }

    /// Appends records, all or none, with one write. Gives the position of the first.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn append_all(&mut self, records: &[Frame]) -> Result<Position, StoreError>;

    /// Makes everything durable that was appended before. One sync may cover any number of records.
    ///
    /// # Errors
    /// The log failed, and no later sync would tell what is durable.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Makes everything durable, and notes that it is: damage to the last records is then not taken for a
    /// torn tail. For a replica that stops in good order or falls idle, since it costs a sync of its own.
    ///
    /// # Errors
    /// As [`Log::sync`].
    fn seal(&mut self) -> Result<(), StoreError> {
        self.sync()
    }

    /// The records at and above `from` that the log holds, durable or not.
    ///
    /// # Errors
    /// The log failed, here or from the iterator; [`StoreError::Damaged`] from the iterator.
    fn read(&self, from: Position) -> Result<Records<'_>, StoreError>;

    /// Drops all records below `first`, durably when it returns. Other records may become durable by it, and
    /// nobody may count on that. It needs no room. Nothing happens if the log begins at `first` or above.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if `first` lies above the log's end; else the log failed.
    fn truncate_front(&mut self, first: Position) -> Result<(), StoreError>;

    /// Drops all records at and above `end`, durably when it returns. Other records may become
    /// durable by it, and nobody may count on that. Nothing happens if the log ends at `end` or below.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if `end` lies below the log's first record; [`StoreError::Full`], with the
    /// log as it was; else the log failed.
    fn truncate_tail(&mut self, end: Position) -> Result<(), StoreError>;

    /// The position of the first record that is held, or the end if none is.
    fn first(&self) -> Position;

    /// The position that the next record gets.
    fn end(&self) -> Position;

    /// Bytes of all records that are held, heads and payloads, durable or not.
    fn bytes(&self) -> u64;
}

/// Why the log refuses or cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The log may not be cut there.
    #[error("position {position} lies outside the log, which goes from {first} to {end}")]
    OutOfRange {
        /// Where it should have been cut.
        position: Position,
        /// The log's first position.
        first: Position,
        /// The log's end.
        end: Position,
    },
    /// The record is larger than any message.
    #[error("a record of {bytes} bytes is larger than any that could be read back")]
    TooLarge {
        /// Bytes of its head and payload.
        bytes: u64,
    },
    /// The records do not fit on the disk.
    #[error(
        "the disk is full: there is no room for {bytes} more bytes; free some, and the log goes on where it stopped"
    )]
    Full {
        /// Bytes that found no room.
        bytes: u64,
    },
    /// The replica that held this log crashed, or another one opened it since.
    #[error("this log was closed by a crash or was opened again elsewhere")]
    Closed,
    /// What had been durable is not intact (rule D4).
    #[error(
        "{file} is damaged at byte {offset}, where record {position} had been durable ({why}): keep the directory for \
         diagnosis, and let the replica start with an empty one, as after the loss of its disk"
    )]
    Damaged {
        /// The file's name.
        file: String,
        /// Where in the file.
        offset: u64,
        /// The first record that is lost.
        position: Position,
        /// What is wrong there.
        why: &'static str,
    },
    /// A file with records that had been durable is gone, or its end is.
    #[error(
        "of the records {first} to {last}, which had been durable, some are gone, below those in {file}: bring the missing file \
         back, or let the replica start with an empty directory, as after the loss of its disk"
    )]
    Missing {
        /// The file behind the gap.
        file: String,
        /// The first record that may be gone.
        first: Position,
        /// The last one, which is.
        last: Position,
    },
    /// There is a file that does not belong to this log.
    #[error("{file} does not belong to this log ({why}): move it out of the log's directory")]
    Foreign {
        /// The file's name.
        file: String,
        /// How it is known.
        why: String,
    },
    /// The log was written by a newer program.
    #[error("{file} has format {found}, and this program knows formats up to {known}: start a newer program")]
    NewerFormat {
        /// The file's name.
        file: String,
        /// The file's format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// The disk failed. What is durable is unknown from here on.
    #[error("the disk failed to {operation} {file} ({why}): check the disk, then start the replica again")]
    Failed {
        /// What was asked of it.
        operation: &'static str,
        /// The file's name.
        file: String,
        /// What it answered.
        why: String,
    },
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
