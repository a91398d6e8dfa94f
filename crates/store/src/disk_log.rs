//! How does a replica keep its log in files? It appends to the last segment, and removes the first ones
//! whole.

use bytes::Bytes;
use quorate_types::Frame;
use quorate_types::wire::{HEAD_BYTES_MAX, PAYLOAD_BYTES_MAX};
use std::collections::VecDeque;
use std::io::IoSlice;

use crate::format::{ALIGNMENT, Format, Front, HEAD_BYTES, PREFIX_BYTES, Prefix, SECTOR_BYTES, segment_name};
use crate::mutation::{self, Mutation};
use crate::recovery::{self, Entry, Found, Segment, failed};
use crate::{Files, Log, LogIdentity, Position, Records, StoreError, is_full};

/// The log in a directory of files.
///
/// Records are written as they are appended, and with one write for all that come together; a batch is never
/// copied on its way. The first failed write or sync closes the log for good: asking a disk again would not
/// tell what is durable.
#[derive(Debug)]
pub struct DiskLog {
    files: Box<dyn Files>,
    settings: LogSettings,
    identity: LogIdentity,
    /// In order, and never empty; the last one is written.
    segments: VecDeque<Segment>,
    format: Format,
    front: Front,
    end: Position,
    /// Every position below is durable.
    synced: Position,
    /// Where the next record is written in the last segment.
    length: u64,
    /// The length of the last segment's file, which runs ahead.
    file_length: u64,
    bytes: u64,
    failure: Option<StoreError>,
}

/// How a log uses its disk.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// A segment is closed before it grows beyond this; a larger append has one of its own. 64 MiB.
    pub segment_bytes_max: u64,
    /// So far is the last segment's file made longer than what is written, since a sync that changes no
    /// length is faster. 4 MiB; 0 never does it.
    pub reserve_bytes: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { segment_bytes_max: 64 << 20, reserve_bytes: 4 << 20 }
    }
}

/// What a log's files hold, as [`DiskLog::inspect`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// The position of the first record that is held, or the end.
    pub first: Position,
    /// The position behind the last intact record.
    pub end: Position,
    /// How many segment files are needed.
    pub segments: usize,
    /// Bytes of a torn tail, which opening would cut. Zeros that were reserved are none.
    pub torn_bytes: u64,
    /// Files that are no longer needed, which opening would remove.
    pub leftovers: Vec<String>,
}

impl LogReport {
    fn of(found: Found) -> Self {
        Self {
            first: found.front.first,
            end: found.segments.back().map_or(Position(0), Segment::end),
            segments: found.segments.len(),
            torn_bytes: if found.is_torn { found.file_length - found.length } else { 0 },
            leftovers: found.leftovers,
        }
    }
}

impl DiskLog {
    /// Reads and judges a log without changing anything. While a replica writes to it, its end may look torn.
    ///
    /// # Errors
    /// As [`DiskLog::open`] would refuse it.
    pub fn inspect(files: &dyn Files, identity: LogIdentity) -> Result<LogReport, StoreError> {
        recovery::scan(files, identity).map(LogReport::of)
    }

    /// As [`DiskLog::inspect`], and shows every record that is held, in order and one at a time.
    ///
    /// # Errors
    /// As [`DiskLog::inspect`], and those of `show`.
    pub fn inspect_records<E: From<StoreError>>(
        files: &dyn Files,
        identity: LogIdentity,
        mut show: impl FnMut(Position, Frame) -> Result<(), E>,
    ) -> Result<LogReport, E> {
        let found = recovery::scan(files, identity)?;
        for segment in &found.segments {
            for (position, entry) in (segment.first.0..).map(Position).zip(&segment.entries) {
                if position >= found.front.first {
                    show(position, read_entry(files, identity, segment.number, *entry, position)?)?;
                }
            }
        }
        Ok(LogReport::of(found))
    }

    /// Opens the log, or begins one where there are no files. A torn tail is cut, and traced.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Missing`], [`StoreError::Foreign`],
    /// [`StoreError::NewerFormat`], with nothing changed; [`StoreError::Full`] if there is no room to begin;
    /// [`StoreError::Failed`].
    pub fn open(
        files: Box<dyn Files>,
        identity: LogIdentity,
        settings: LogSettings,
    ) -> Result<Self, StoreError> {
        let found = recovery::scan(&*files, identity)?;
        let Found { segments, front, leftovers, length, file_length, is_torn, unproven } = found;
        let number = segments.back().map_or(0, |last| last.number);
        let end = segments.back().map_or(Position(0), Segment::end);
        let mut log = Self {
            files,
            settings,
            identity,
            segments,
            format: Format::new(identity, number),
            front,
            end,
            synced: end,
            length,
            file_length,
            bytes: 0,
            failure: None,
        };
        log.bytes = log.bytes_between(front.first, end);
        if log.segments.is_empty() {
            log.remove_segments(&leftovers)?;
            log.begin_segment(0, Position(0))?;
        } else {
            log.settle(unproven, is_torn)?;
            // Only now: what makes them superfluous is durable.
            log.remove_segments(&leftovers)?;
        }
        Ok(log)
    }

    /// Cuts the torn tail, and makes durable all that was found.
    fn settle(&mut self, unproven: u64, is_torn: bool) -> Result<(), StoreError> {
        let name = self.name();
        if is_torn {
            let bytes = self.file_length - self.length;
            tracing::warn!(file = name, bytes, position = self.end.0, "the log's torn tail is cut");
        }
        if !mutation::is(Mutation::TailKept) {
            self.trim()?;
        }
        // A process before this one may have failed to sync these bytes. Then the system's cache has them and
        // may believe that they are written, so that a sync alone would do nothing.
        self.write_again(0, HEAD_BYTES as u64)?;
        self.write_again(unproven, self.length)?;
        self.sync_active()?;
        self.files.sync_directory().map_err(|error| failed("sync", DIRECTORY, &error))
    }

    fn write_again(&mut self, mut offset: u64, end: u64) -> Result<(), StoreError> {
        let name = self.name();
        while offset < end {
            let bytes = usize::try_from(end - offset).map_or(COPY_BYTES, |left| left.min(COPY_BYTES));
            let mut buffer = vec![0; bytes];
            self.files.read(&name, offset, &mut buffer).map_err(|error| failed("read", &name, &error))?;
            let written = self.files.write(&name, offset, &mut [IoSlice::new(&buffer)]);
            written.map_err(|error| failed("write", &name, &error))?;
            offset += bytes as u64;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Closes the log for good.
    fn fail(&mut self, error: StoreError) -> StoreError {
        self.failure = Some(error.clone());
        error
    }

    fn name(&self) -> String {
        segment_name(self.segments.back().map_or(0, |last| last.number))
    }

    /// Lets the last segment's file end where its records end.
    fn trim(&mut self) -> Result<(), StoreError> {
        if self.file_length != self.length {
            let name = self.name();
            let result = self.files.set_length(&name, self.length);
            result.map_err(|error| self.fail(failed("shorten", &name, &error)))?;
            self.file_length = self.length;
        }
        Ok(())
    }

    fn sync_active(&mut self) -> Result<(), StoreError> {
        let name = self.name();
        let result = self.files.sync(&name);
        result.map_err(|error| self.fail(failed("sync", &name, &error)))?;
        self.synced = self.end;
        Ok(())
    }

    /// Makes the last segment's file longer than `length`, if it is not and there is room.
    fn reserve(&mut self, length: u64) {
        let reserved = length.saturating_add(self.settings.reserve_bytes);
        // Without room for the reserve there may still be room for the records.
        if self.settings.reserve_bytes > 0
            && length > self.file_length
            && self.files.set_length(&self.name(), reserved).is_ok()
        {
            self.file_length = reserved;
        }
    }

    /// Ends the last segment, durably, and begins another, whose first record will be `first`.
    fn roll(&mut self, first: Position) -> Result<(), StoreError> {
        self.trim()?;
        self.sync_active()?;
        let number = self.segments.back().map_or(0, |last| last.number.saturating_add(1));
        self.begin_segment(number, first)
    }

    /// Makes a segment that is durable, and complete but for its records, and writes to it from now on.
    fn begin_segment(&mut self, number: u64, first: Position) -> Result<(), StoreError> {
        let name = segment_name(number);
        let format = Format::new(self.identity, number);
        let front = Front { sequence: 0, first: self.front.first, durable: first };
        let (_, front_sector) = format.front(front);
        let head = [format.head(first), front_sector, [0; SECTOR_BYTES]].concat();
        let created = self.files.create(&name);
        let written = created.and_then(|()| self.files.write(&name, 0, &mut [IoSlice::new(&head)]));
        if let Err(error) = written {
            if !is_full(&error) {
                return Err(self.fail(failed("create", &name, &error)));
            }
            let exists = self.files.list().map(|names| names.contains(&name));
            let removed = exists.and_then(|exists| if exists { self.files.remove(&name) } else { Ok(()) });
            removed.map_err(|error| self.fail(failed("remove", &name, &error)))?;
            return Err(StoreError::Full { bytes: HEAD_BYTES as u64 });
        }
        if !mutation::is(Mutation::SegmentNotSynced) {
            let synced = self.files.sync(&name).and_then(|()| self.files.sync_directory());
            synced.map_err(|error| self.fail(failed("sync", &name, &error)))?;
        }
        self.segments.push_back(Segment { number, first, entries: Vec::new() });
        self.format = format;
        self.front = front;
        (self.length, self.file_length) = (HEAD_BYTES as u64, HEAD_BYTES as u64);
        Ok(())
    }

    /// Writes into the last segment where the log begins and how much is durable, durably.
    fn write_front(&mut self, first: Position) -> Result<(), StoreError> {
        let front = Front { sequence: self.front.sequence.saturating_add(1), first, durable: self.synced };
        let (offset, sector) = self.format.front(front);
        let name = self.name();
        let written = self.files.write(&name, offset, &mut [IoSlice::new(&sector)]);
        written.map_err(|error| self.fail(failed("write", &name, &error)))?;
        if !mutation::is(Mutation::FrontNotSynced) {
            self.sync_active()?;
        }
        self.front = front;
        Ok(())
    }

    /// Removes segments, the oldest first. Recovery needs none of them: it does not matter which a crash
    /// brings back.
    fn remove_segments(&mut self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            let removed = self.files.remove(name);
            removed.map_err(|error| self.fail(failed("remove", name, &error)))?;
        }
        if names.is_empty() {
            return Ok(());
        }
        let synced = self.files.sync_directory();
        synced.map_err(|error| self.fail(failed("sync", DIRECTORY, &error)))
    }

    /// Writes records behind the last one.
    fn write(&mut self, records: &[Frame]) -> Result<(), StoreError> {
        let (first, durable) = (self.end, self.synced);
        let prefix = |(position, record): (u64, &Frame)| {
            let checksum = self.format.checksum(&[&record.head, &record.payload]);
            let (head_bytes, payload_bytes) = (record.head.len() as u32, record.payload.len() as u32);
            Prefix { position: Position(position), durable, head_bytes, payload_bytes, checksum }
        };
        let prefixes: Vec<Prefix> = (first.0..).zip(records).map(prefix).collect();
        let encoded: Vec<_> = prefixes.iter().map(|prefix| self.format.prefix(*prefix)).collect();
        let mut parts = Vec::with_capacity(4 * records.len());
        for ((prefix, encoded), record) in prefixes.iter().zip(&encoded).zip(records) {
            let padding = prefix.record_bytes() - PREFIX_BYTES - prefix.body_bytes();
            let bytes = [&encoded[..], &record.head, &record.payload, &[0; ALIGNMENT][..padding]];
            parts.extend(bytes.into_iter().filter(|part| !part.is_empty()).map(IoSlice::new));
        }
        let name = self.name();
        if let Err(error) = self.files.write(&name, self.length, &mut parts) {
            return Err(self.undo(&name, &error, records));
        }
        let Some(segment) = self.segments.back_mut() else { return Ok(()) };
        for prefix in prefixes {
            let body_bytes = prefix.head_bytes + prefix.payload_bytes;
            segment.entries.push(Entry { offset: self.length, body_bytes });
            self.length += prefix.record_bytes() as u64;
            self.bytes += u64::from(body_bytes);
        }
        self.file_length = self.file_length.max(self.length);
        self.end = segment.end();
        Ok(())
    }

    /// Takes back a write that found no room. Any other error is the end.
    fn undo(&mut self, name: &str, error: &std::io::Error, records: &[Frame]) -> StoreError {
        if !is_full(error) {
            return self.fail(failed("write", name, error));
        }
        if let Err(error) = self.files.set_length(name, self.length) {
            return self.fail(failed("shorten", name, &error));
        }
        self.file_length = self.length;
        StoreError::Full { bytes: bytes_on_disk(records) }
    }

    fn read_record(&self, position: Position) -> Result<Frame, StoreError> {
        let found = self.segments.iter().rev().find_map(|segment| {
            let at = position.0.checked_sub(segment.first.0)?;
            let entry = segment.entries.get(usize::try_from(at).ok()?)?;
            Some((segment.number, *entry))
        });
        let (number, entry) = found.ok_or_else(|| self.out_of_range(position))?;
        read_entry(&*self.files, self.identity, number, entry, position)
    }

    fn bytes_between(&self, first: Position, end: Position) -> u64 {
        let of_segment = |segment: &Segment| {
            let index = |position: Position| {
                let at = position.0.saturating_sub(segment.first.0);
                usize::try_from(at).unwrap_or(usize::MAX).min(segment.entries.len())
            };
            let entries = segment.entries.get(index(first)..index(end)).unwrap_or_default();
            entries.iter().map(|entry| u64::from(entry.body_bytes)).sum::<u64>()
        };
        self.segments.iter().map(of_segment).sum()
    }

    fn out_of_range(&self, position: Position) -> StoreError {
        StoreError::OutOfRange { position, first: self.front.first, end: self.end }
    }
}

impl Log for DiskLog {
    fn append_all(&mut self, records: &[Frame]) -> Result<Position, StoreError> {
        self.check()?;
        let position = self.end;
        for record in records {
            if record.head.len() > HEAD_BYTES_MAX || record.payload.len() > PAYLOAD_BYTES_MAX {
                return Err(StoreError::TooLarge {
                    bytes: (record.head.len() + record.payload.len()) as u64,
                });
            }
        }
        let bytes = bytes_on_disk(records);
        let is_empty = self.length == HEAD_BYTES as u64;
        if !is_empty && self.length.saturating_add(bytes) > self.settings.segment_bytes_max {
            self.roll(self.end)?;
        }
        if !records.is_empty() {
            self.reserve(self.length.saturating_add(bytes));
            self.write(records)?;
        }
        Ok(position)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.check()?;
        if self.synced == self.end { Ok(()) } else { self.sync_active() }
    }

    fn seal(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        if self.front.durable < self.end { self.write_front(self.front.first) } else { Ok(()) }
    }

    fn read(&self, from: Position) -> Result<Records<'_>, StoreError> {
        self.check()?;
        let positions = from.max(self.front.first).0..self.end.0;
        Ok(Box::new(positions.map(|position| {
            let position = Position(position);
            Ok((position, self.read_record(position)?))
        })))
    }

    fn truncate_front(&mut self, first: Position) -> Result<(), StoreError> {
        self.check()?;
        if first > self.end {
            return Err(self.out_of_range(first));
        }
        if first <= self.front.first {
            return Ok(());
        }
        if first > self.synced {
            // Recovery takes a front above the log's end for damage, so what is dropped is durable before.
            self.sync_active()?;
        }
        let dropped = self.bytes_between(self.front.first, first);
        self.write_front(first)?;
        self.bytes -= dropped;
        let needed = self.segments.iter().rposition(|segment| segment.first <= first).unwrap_or(0);
        let dead: Vec<String> =
            self.segments.drain(..needed).map(|segment| segment_name(segment.number)).collect();
        self.remove_segments(&dead)
    }

    fn truncate_tail(&mut self, end: Position) -> Result<(), StoreError> {
        self.check()?;
        if end < self.front.first {
            return Err(self.out_of_range(end));
        }
        if end >= self.end {
            return Ok(());
        }
        // The records stay where they are; a segment that begins below them makes them void, in one step.
        self.roll(end)?;
        self.bytes -= self.bytes_between(end, self.end);
        recovery::cut_tail(&mut self.segments, end);
        (self.end, self.synced) = (end, end);
        Ok(())
    }

    fn first(&self) -> Position {
        self.front.first
    }

    fn end(&self) -> Position {
        self.end
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Reads a record of the segment with this number.
fn read_entry(
    files: &dyn Files,
    identity: LogIdentity,
    number: u64,
    entry: Entry,
    position: Position,
) -> Result<Frame, StoreError> {
    let name = segment_name(number);
    let mut buffer = vec![0; PREFIX_BYTES + entry.body_bytes as usize];
    let read = files.read(&name, entry.offset, &mut buffer);
    read.map_err(|error| failed("read", &name, &error))?;
    let format = Format::new(identity, number);
    let prefix = format.parse_prefix(&buffer).filter(|prefix| {
        let is_intact = format.checksum(&[&buffer[PREFIX_BYTES..]]) == prefix.checksum;
        (prefix.position == position || mutation::is(Mutation::PositionUnchecked))
            && prefix.body_bytes() == entry.body_bytes as usize
            && (is_intact || mutation::is(Mutation::RecordUnchecked))
    });
    let Some(prefix) = prefix else {
        let why = "it was intact when the log was opened";
        return Err(StoreError::Damaged { file: name, offset: entry.offset, position, why });
    };
    let mut head = Bytes::from(buffer).split_off(PREFIX_BYTES);
    let payload = head.split_off(prefix.head_bytes as usize);
    Ok(Frame { head, payload })
}

/// So much is copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// How the directory is called in errors.
const DIRECTORY: &str = "the log's directory";

fn bytes_on_disk(records: &[Frame]) -> u64 {
    let bytes = |record: &Frame| {
        (PREFIX_BYTES + record.head.len() + record.payload.len()).next_multiple_of(ALIGNMENT)
    };
    records.iter().map(|record| bytes(record) as u64).sum()
}
