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
/// After any error except [`StoreError::OutOfRange`] and [`StoreError::Full`] the log is unusable: the
/// replica stops, because what is durable is no longer known (rule D4).
pub trait Log: Send {
    /// Appends a record. It is not durable before the next [`Log::sync`] returns.
    ///
    /// # Errors
    /// [`StoreError::Full`], with the log as it was; [`StoreError::Closed`].
    fn append(&mut self, record: Frame) -> Result<Position, StoreError>;

    /// Makes everything durable that was appended before. One sync may cover any number of records.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    fn sync(&mut self) -> Result<(), StoreError>;

    /// The records at and above `from` that the log holds, durable or not.
    ///
    /// # Errors
    /// [`StoreError::Closed`], here or from the iterator.
    fn read(&self, from: Position) -> Result<Records<'_>, StoreError>;

    /// Drops all records below `first`, durably when it returns; other records become no more durable by
    /// it. Nothing happens if the log begins at `first` or above.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if `first` lies above the log's end; [`StoreError::Closed`].
    fn truncate_front(&mut self, first: Position) -> Result<(), StoreError>;

    /// Drops all records at and above `end`, durably when it returns; other records become no
    /// more durable by it. Nothing happens if the log ends at `end` or below.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if `end` lies below the log's first record; [`StoreError::Closed`].
    fn truncate_tail(&mut self, end: Position) -> Result<(), StoreError>;

    /// The position of the first record that is held, or the end if none is.
    fn first(&self) -> Position;

    /// The position that the next record gets.
    fn end(&self) -> Position;

    /// Bytes of all records that are held, heads and payloads, durable or not.
    fn bytes(&self) -> u64;
}

/// Why the log refuses or cannot do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// The record does not fit on the disk.
    #[error("the disk is full: {bytes_max} bytes")]
    Full {
        /// The disk's size in bytes.
        bytes_max: u64,
    },
    /// The replica that held this log crashed, or another one opened it since.
    #[error("this log was closed by a crash or was opened again elsewhere")]
    Closed,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
