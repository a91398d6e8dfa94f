//! What does a replica find in its files when it starts? [`scan`] reads and judges, and changes nothing.
//!
//! The rule (D4): what follows the last intact record is a torn tail and may be cut, unless something proves
//! that it had been durable. Three things do. A later segment: before it is begun, all that lies in earlier
//! ones is durable. A later record of the same segment: it says how much was durable when it was written. And
//! the segment's head, if the log was sealed. Then the log is damaged, and nothing is guessed.

use std::collections::VecDeque;
use std::io;

use crate::format::{
    ALIGNMENT, FORMAT_VERSION, Format, Front, HEAD_BYTES, HeadFault, LogIdentity, MAGIC, PREFIX_BYTES,
    Prefix, SECTOR_BYTES, Sector, segment_name, segment_number,
};
use crate::mutation::{self, Mutation};
use crate::{Files, Position, StoreError};

/// A segment that is held.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// The position of its first record, if it has one.
    pub(crate) first: Position,
    /// One for each of its records that the log holds.
    pub(crate) entries: Vec<Entry>,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) body_bytes: u32,
}

/// The log as it was found, and what has to be done before it goes on.
#[derive(Debug)]
pub(crate) struct Found {
    /// Those that are needed, in order. Empty if nothing was ever written here.
    pub(crate) segments: VecDeque<Segment>,
    /// As the last segment tells it.
    pub(crate) front: Front,
    /// Segments that are no longer needed, or whose creation was interrupted.
    pub(crate) leftovers: Vec<String>,
    /// Where the last segment's intact records end.
    pub(crate) length: u64,
    /// How long its file is.
    pub(crate) file_length: u64,
    /// Whether what is to be cut are more than zeros.
    pub(crate) is_torn: bool,
    /// From this offset on, nothing proves that the last segment is durable.
    pub(crate) unproven: u64,
}

/// Reads all that is there.
pub(crate) fn scan(files: &dyn Files, identity: LogIdentity) -> Result<Found, StoreError> {
    let mut numbers = segment_numbers(files)?;
    let mut found = Found {
        segments: VecDeque::new(),
        front: Front { sequence: 0, first: Position(0), durable: Position(0) },
        leftovers: Vec::new(),
        length: 0,
        file_length: 0,
        is_torn: false,
        unproven: 0,
    };
    let Some(last) = last_head(files, identity, &mut numbers, &mut found.leftovers)? else {
        return Ok(found);
    };
    found.front = last.front;
    let heads = needed_heads(files, identity, &numbers, last, &mut found.leftovers)?;
    let nexts: Vec<Position> = heads.iter().skip(1).map(|head| head.first).collect();
    for (index, head) in heads.into_iter().enumerate() {
        found.cut_by(&head)?;
        let mut reader = Reader::new(files, identity, &head);
        let mut scan = reader.scan(head.first)?;
        let next = nexts.get(index);
        if next.is_none() {
            scan.durable = scan.durable.max(found.front.durable);
            found.is_torn = reader.judge_tail(&scan)?;
            (found.length, found.file_length, found.unproven) =
                (scan.length, head.file_length, scan.unproven());
        } else if let Some(why) = scan.fault.filter(|_| next.is_some_and(|next| scan.end() < *next)) {
            // What lies behind the last record that is needed is void: a failed sync may have left a reserve there.
            return Err(damaged(head.number, scan.length, scan.end(), why));
        }
        let entries = std::mem::take(&mut scan.entries);
        found.segments.push_back(Segment { number: head.number, first: head.first, entries });
    }
    found.check_front()?;
    Ok(found)
}

impl Found {
    /// A segment that begins below the end of the one before cut the log there; what lies above in earlier
    /// ones is void.
    fn cut_by(&mut self, head: &Head) -> Result<(), StoreError> {
        let Some(before) = self.segments.back() else { return Ok(()) };
        if head.first > before.end() {
            return Err(missing(head.number, before.end(), head.first));
        }
        cut_tail(&mut self.segments, head.first);
        Ok(())
    }

    /// The front moves only over durable records, and it tells of others that were durable.
    fn check_front(&self) -> Result<(), StoreError> {
        let durable = self.front.first.max(self.front.durable);
        match self.segments.back() {
            Some(last) if last.end() < durable => Err(StoreError::Damaged {
                file: segment_name(last.number),
                offset: self.length,
                position: last.end(),
                why: "it is cut off",
            }),
            _ => Ok(()),
        }
    }
}

impl Segment {
    /// The position behind its last record.
    pub(crate) fn end(&self) -> Position {
        Position(self.first.0.saturating_add(self.entries.len() as u64))
    }
}

/// Forgets the records at and above `end`.
pub(crate) fn cut_tail(segments: &mut VecDeque<Segment>, end: Position) {
    for segment in segments {
        let kept = end.0.saturating_sub(segment.first.0);
        segment.entries.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }
}

/// A segment's head as it was read.
#[derive(Clone, Copy, Debug)]
struct Head {
    number: u64,
    first: Position,
    front: Front,
    file_length: u64,
}

fn segment_numbers(files: &dyn Files) -> Result<Vec<u64>, StoreError> {
    let names = files.list().map_err(|error| failed("list", "the log's directory", &error))?;
    let number = |name: String| {
        segment_number(&name).ok_or_else(|| StoreError::Foreign {
            file: name,
            why: "it has not the name of a segment".to_owned(),
        })
    };
    let mut numbers = names.into_iter().map(number).collect::<Result<Vec<_>, _>>()?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// The head of the last segment. One whose creation was interrupted is a leftover, and the one before it is
/// the last.
fn last_head(
    files: &dyn Files,
    identity: LogIdentity,
    numbers: &mut Vec<u64>,
    leftovers: &mut Vec<String>,
) -> Result<Option<Head>, StoreError> {
    let Some(last) = numbers.last().copied() else { return Ok(None) };
    if let Some(head) = read_head(files, identity, last)? {
        return Ok(Some(head));
    }
    numbers.pop();
    leftovers.push(segment_name(last));
    match numbers.last().copied() {
        Some(before) => whole_head(files, identity, before).map(Some),
        None if last == 0 => Ok(None),
        None => Err(damaged(last, 0, Position(0), "its head is missing, and so are the segments before it")),
    }
}

/// The heads from the one that holds the front to the last. All before are leftovers: the front passed them.
fn needed_heads(
    files: &dyn Files,
    identity: LogIdentity,
    numbers: &[u64],
    last: Head,
    leftovers: &mut Vec<String>,
) -> Result<VecDeque<Head>, StoreError> {
    let front = last.front.first;
    let mut heads = VecDeque::from([last]);
    let mut oldest = last;
    let mut earlier = numbers.iter().rev().skip(1);
    while oldest.first > front {
        match earlier.next() {
            Some(number) if number + 1 == oldest.number => oldest = whole_head(files, identity, *number)?,
            _ => return Err(missing(oldest.number, front, oldest.first)),
        }
        heads.push_front(oldest);
    }
    leftovers.extend(earlier.rev().map(|number| segment_name(*number)));
    Ok(heads)
}

fn whole_head(files: &dyn Files, identity: LogIdentity, number: u64) -> Result<Head, StoreError> {
    let head = read_head(files, identity, number)?;
    head.ok_or_else(|| damaged(number, 0, Position(0), "its head is missing, and there is a later segment"))
}

/// Reads a segment's head; `None` if it looks as after an interrupted creation: sectors that are missing, and
/// nothing else.
fn read_head(files: &dyn Files, identity: LogIdentity, number: u64) -> Result<Option<Head>, StoreError> {
    let name = segment_name(number);
    let format = Format::new(identity, number);
    let file_length = files.length(&name).map_err(|error| failed("measure", &name, &error))?;
    let present = usize::try_from(file_length).map_or(HEAD_BYTES, |length| length.min(HEAD_BYTES));
    let mut bytes = [0; HEAD_BYTES];
    read(files, &name, 0, &mut bytes[..present])?;
    // A full disk may cut the first write anywhere.
    let is_creation = file_length <= HEAD_BYTES as u64;
    let first = match format.parse_head(&sector(&bytes, 0)) {
        Ok(first) => Some(first),
        Err(_) if is_creation && sector(&bytes, 0) == [0; SECTOR_BYTES] => None,
        Err(_) if present < SECTOR_BYTES && MAGIC.starts_with(&bytes[..present.min(MAGIC.len())]) => None,
        Err(fault) => return Err(head_error(fault, &name)),
    };
    let parse = |slot: usize| {
        let offset = ((1 + slot) * SECTOR_BYTES) as u64;
        let front = format.parse_front(&sector(&bytes, 1 + slot), slot as u64);
        front.map_err(|_| {
            damaged(number, offset, first.unwrap_or_default(), "where the log begins is unreadable")
        })
    };
    let front = parse(0)?.into_iter().chain(parse(1)?).max_by_key(|front| front.sequence);
    match (first, front) {
        (Some(first), Some(front)) => Ok(Some(Head { number, first, front, file_length })),
        _ if is_creation => Ok(None),
        (first, _) => Err(damaged(number, 0, first.unwrap_or_default(), "where the log begins is missing")),
    }
}

/// The intact records of a segment.
#[derive(Debug)]
struct Scan {
    first: Position,
    entries: Vec<Entry>,
    /// Where they end.
    length: u64,
    /// Every position below was durable, as they tell.
    durable: Position,
    /// What is wrong behind them, if the file goes on.
    fault: Option<&'static str>,
}

impl Scan {
    fn end(&self) -> Position {
        Position(self.first.0.saturating_add(self.entries.len() as u64))
    }

    /// The offset of the first record that is not known to be durable.
    fn unproven(&self) -> u64 {
        let proven = usize::try_from(self.durable.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX);
        if self.entries.is_empty() {
            0
        } else {
            self.entries.get(proven).map_or(self.length, |entry| entry.offset)
        }
    }
}

/// Reads one segment through a buffer that is never larger than its file.
struct Reader<'a> {
    files: &'a dyn Files,
    format: Format,
    number: u64,
    name: String,
    file_length: u64,
    buffer: Vec<u8>,
    /// Where the buffer's first byte stands in the file.
    start: u64,
}

impl<'a> Reader<'a> {
    fn new(files: &'a dyn Files, identity: LogIdentity, head: &Head) -> Self {
        Self {
            files,
            format: Format::new(identity, head.number),
            number: head.number,
            name: segment_name(head.number),
            file_length: head.file_length,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Reads records up to the end of the file or the first that is not intact.
    fn scan(&mut self, first: Position) -> Result<Scan, StoreError> {
        let length = HEAD_BYTES as u64;
        let mut scan = Scan { first, entries: Vec::new(), length, durable: first, fault: None };
        while scan.length < self.file_length {
            match self.record(scan.length, scan.end())? {
                Ok(prefix) => {
                    let body_bytes = prefix.head_bytes + prefix.payload_bytes;
                    scan.entries.push(Entry { offset: scan.length, body_bytes });
                    scan.durable = scan.durable.max(prefix.durable);
                    scan.length += prefix.record_bytes() as u64;
                }
                Err(why) => {
                    scan.fault = Some(why);
                    break;
                }
            }
        }
        Ok(scan)
    }

    /// The record at `offset`, which must be the one of `position`.
    fn record(
        &mut self,
        offset: u64,
        position: Position,
    ) -> Result<Result<Prefix, &'static str>, StoreError> {
        let Some(bytes) = self.bytes(offset, PREFIX_BYTES)? else { return Ok(Err("it is cut off")) };
        let bytes = bytes.to_vec();
        let Some(prefix) = self.format.parse_prefix(&bytes) else {
            return Ok(Err("what stands before it is unreadable"));
        };
        if prefix.position != position && !mutation::is(Mutation::PositionUnchecked) {
            return Ok(Err("another record stands in its place"));
        }
        let format = self.format.clone();
        let Some(record) = self.bytes(offset, prefix.record_bytes())? else {
            return Ok(Err("it is cut off"));
        };
        let (body, padding) = record[PREFIX_BYTES..].split_at(prefix.body_bytes());
        let is_intact = format.checksum(&[body]) == prefix.checksum && padding.iter().all(|byte| *byte == 0);
        if !is_intact && !mutation::is(Mutation::RecordUnchecked) {
            return Ok(Err("its checksum does not match"));
        }
        Ok(Ok(prefix))
    }

    /// Judges what follows the intact records of the last segment: damaged, if a later record proves that the
    /// first which is not intact had been durable. Else it may be cut; tells whether it is more than zeros.
    fn judge_tail(&mut self, scan: &Scan) -> Result<bool, StoreError> {
        let Some(why) = scan.fault else { return Ok(false) };
        if scan.durable > scan.end() {
            return Err(damaged(self.number, scan.length, scan.end(), why));
        }
        let mut is_torn = false;
        let mut offset = scan.length;
        let mark = self.format.mark();
        while let Some(bytes) = self.bytes(offset, ALIGNMENT)? {
            is_torn |= bytes.iter().any(|byte| *byte != 0);
            if bytes == mark
                && let Some(bytes) = self.bytes(offset, PREFIX_BYTES)?
            {
                let bytes = bytes.to_vec();
                let proof = self.format.parse_prefix(&bytes).filter(|prefix| prefix.durable > scan.end());
                if proof.is_some() && !mutation::is(Mutation::DamageCut) {
                    return Err(damaged(self.number, scan.length, scan.end(), why));
                }
            }
            offset += ALIGNMENT as u64;
        }
        // Fewer bytes than a step may be left.
        Ok(is_torn || offset < self.file_length)
    }

    /// Bytes of the file, or `None` if it ends before.
    fn bytes(&mut self, offset: u64, length: usize) -> Result<Option<&[u8]>, StoreError> {
        let left = self.file_length.saturating_sub(offset);
        if left < length as u64 {
            return Ok(None);
        }
        let is_buffered =
            offset >= self.start && offset + length as u64 <= self.start + self.buffer.len() as u64;
        if !is_buffered {
            let wanted = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES)).max(length);
            self.buffer.clear();
            self.buffer.resize(wanted, 0);
            self.start = offset;
            read(self.files, &self.name, offset, &mut self.buffer)?;
        }
        let at = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(at..at + length))
    }
}

/// So much is read at a time.
const READ_BYTES: usize = 1 << 20;

fn read(files: &dyn Files, name: &str, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
    files.read(name, offset, buffer).map_err(|error| failed("read", name, &error))
}

fn sector(bytes: &[u8; HEAD_BYTES], number: usize) -> Sector {
    bytes[number * SECTOR_BYTES..].first_chunk().copied().unwrap_or([0; SECTOR_BYTES])
}

fn head_error(fault: HeadFault, name: &str) -> StoreError {
    let foreign = |why: String| StoreError::Foreign { file: name.to_owned(), why };
    // What has a segment's name and is none may have been one.
    let spoilt = |why| StoreError::Damaged { file: name.to_owned(), offset: 0, position: Position(0), why };
    match fault {
        HeadFault::OtherCluster(cluster) => foreign(format!("it is of cluster {cluster}")),
        HeadFault::OtherReplica(replica) => foreign(format!("it is of the replica with key {replica}")),
        HeadFault::OtherLog => foreign("it is of an older directory of this replica".to_owned()),
        HeadFault::NewerFormat(found) => {
            StoreError::NewerFormat { file: name.to_owned(), found, known: FORMAT_VERSION }
        }
        HeadFault::NotALog => spoilt("it does not begin like a segment"),
        HeadFault::OtherSegment => spoilt("it is another segment under this name"),
        HeadFault::Damaged => spoilt("its head is unreadable"),
    }
}

fn damaged(number: u64, offset: u64, position: Position, why: &'static str) -> StoreError {
    StoreError::Damaged { file: segment_name(number), offset, position, why }
}

fn missing(below: u64, first: Position, end: Position) -> StoreError {
    StoreError::Missing { file: segment_name(below), first, last: Position(end.0.saturating_sub(1)) }
}

pub(crate) fn failed(operation: &'static str, name: &str, error: &io::Error) -> StoreError {
    StoreError::Failed { operation, file: name.to_owned(), why: error.to_string() }
}
