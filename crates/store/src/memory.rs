//! A disk in memory: what does a replica find on it after it was stopped, crashed or wiped?

use quorate_types::Frame;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Log, Position, Records, StoreError};

/// The size of a disk made by [`MemoryDisk::new`]: 4 GiB.
pub const DISK_BYTES_MAX: u64 = 4 << 30;

/// A disk in memory that outlives the replicas which use it. Clones are handles to the same disk.
///
/// One [`MemoryLog`] writes to it at a time: the newest. Older ones, and all that were open when the
/// disk crashed, get [`StoreError::Closed`], so that no remains of a stopped replica write on.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    contents: Arc<Mutex<Contents>>,
}

/// The log on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryLog {
    contents: Arc<Mutex<Contents>>,
    opening: u64,
}

#[derive(Debug)]
struct Contents {
    records: VecDeque<Frame>,
    first: Position,
    /// Every record below is durable.
    synced: Position,
    bytes: u64,
    bytes_max: u64,
    /// How often the log was opened or closed by a crash; only a log of the last opening may write.
    opening: u64,
}

impl MemoryDisk {
    /// An empty disk of [`DISK_BYTES_MAX`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_bytes_max(DISK_BYTES_MAX)
    }

    /// An empty disk with room for records of `bytes_max` bytes in all.
    #[must_use]
    pub fn with_bytes_max(bytes_max: u64) -> Self {
        Self { contents: Arc::new(Mutex::new(Contents::empty(bytes_max))) }
    }

    /// Opens the log and closes every log that was opened before. Loses nothing.
    #[must_use]
    pub fn open(&self) -> MemoryLog {
        let mut contents = lock(&self.contents);
        contents.opening += 1;
        MemoryLog { contents: Arc::clone(&self.contents), opening: contents.opening }
    }

    /// Loses every record that is not durable, and closes the open log: the machine lost power.
    pub fn crash(&self) {
        let mut contents = lock(&self.contents);
        contents.opening += 1;
        let synced = contents.synced;
        contents.cut_tail(synced);
    }

    /// Loses everything, as if the disk had been replaced by a new one, and closes the open log.
    pub fn wipe(&self) {
        let mut contents = lock(&self.contents);
        let opening = contents.opening + 1;
        *contents = Contents { opening, ..Contents::empty(contents.bytes_max) };
    }

    /// Bytes of all records on the disk, durable or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        lock(&self.contents).bytes
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    fn contents(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = lock(&self.contents);
        if contents.opening == self.opening { Ok(contents) } else { Err(StoreError::Closed) }
    }
}

impl Log for MemoryLog {
    fn append_all(&mut self, records: &[Frame]) -> Result<Position, StoreError> {
        let mut contents = self.contents()?;
        let added = records.iter().map(bytes_of).fold(0, u64::saturating_add);
        let bytes = contents.bytes.saturating_add(added);
        if bytes > contents.bytes_max {
            return Err(StoreError::Full { bytes: added });
        }
        let position = contents.end();
        contents.bytes = bytes;
        contents.records.extend(records.iter().cloned());
        Ok(position)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let mut contents = self.contents()?;
        contents.synced = contents.end();
        Ok(())
    }

    fn read(&self, from: Position) -> Result<Records<'_>, StoreError> {
        let contents = self.contents()?;
        let first = from.clamp(contents.first, contents.end());
        let skipped = usize::try_from(first.0 - contents.first.0).unwrap_or(usize::MAX);
        // Handles are collected so that the lock is not held while the caller looks at them.
        let records: Vec<Frame> = contents.records.iter().skip(skipped).cloned().collect();
        Ok(Box::new((first.0..).map(Position).zip(records).map(Ok)))
    }

    fn truncate_front(&mut self, first: Position) -> Result<(), StoreError> {
        let mut contents = self.contents()?;
        if first > contents.end() {
            return Err(contents.out_of_range(first));
        }
        contents.cut_front(first);
        Ok(())
    }

    fn truncate_tail(&mut self, end: Position) -> Result<(), StoreError> {
        let mut contents = self.contents()?;
        if end < contents.first {
            return Err(contents.out_of_range(end));
        }
        contents.cut_tail(end);
        Ok(())
    }

    fn first(&self) -> Position {
        lock(&self.contents).first
    }

    fn end(&self) -> Position {
        lock(&self.contents).end()
    }

    fn bytes(&self) -> u64 {
        lock(&self.contents).bytes
    }
}

impl Contents {
    const fn empty(bytes_max: u64) -> Self {
        Self {
            records: VecDeque::new(),
            first: Position(0),
            synced: Position(0),
            bytes: 0,
            bytes_max,
            opening: 0,
        }
    }

    fn end(&self) -> Position {
        Position(self.first.0 + self.records.len() as u64)
    }

    fn cut_front(&mut self, first: Position) {
        while self.first < first {
            let Some(record) = self.records.pop_front() else { break };
            self.bytes -= bytes_of(&record);
            self.first.0 += 1;
        }
    }

    fn cut_tail(&mut self, end: Position) {
        while self.end() > end {
            let Some(record) = self.records.pop_back() else { break };
            self.bytes -= bytes_of(&record);
        }
        self.synced = self.synced.min(self.end());
    }

    fn out_of_range(&self, position: Position) -> StoreError {
        StoreError::OutOfRange { position, first: self.first, end: self.end() }
    }
}

fn bytes_of(record: &Frame) -> u64 {
    record.head.len() as u64 + record.payload.len() as u64
}

/// Locks the contents. No operation leaves them half changed, so a panic elsewhere under the lock does
/// no harm.
fn lock(contents: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}
