//! How do chunks lie on the disk? One behind the other in packs, which are written once and never changed.
//!
//! A pack is a head (magic, format), entries (digest, length, bytes) and an index that repeats digests and
//! lengths in the same order, so that opening reads 36 bytes a chunk and not the chunks. It has its own name
//! only once the index is there and synced: a complete pack in which anything is wrong is damage, while an
//! incomplete one is what a crash left, of which the entries up to the first wrong one may be of use.

use quorate_types::state::CHUNK_BYTES_MAX;
use quorate_types::{ChunkId, Digest};
use std::io;

use super::SnapshotError;
use super::files::{Disk, File, temporary};

/// Bytes after which a pack is closed. The last chunk may lie across.
const PACK_BYTES_MAX: u64 = if cfg!(test) { 64 << 10 } else { 256 << 20 };
/// Chunks after which a pack is closed, so that its index fits into memory whatever the chunks' size is.
const PACK_CHUNKS_MAX: usize = 1 << 17;
/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = if cfg!(test) { 2 << 10 } else { 1 << 20 };

/// Bytes after which what was written is synced. A log on the same disk waits for all that is not, so a pack that was
/// synced only once would hold up every vote for seconds.
const UNSYNCED_BYTES_MAX: u64 = if cfg!(test) { 16 << 10 } else { 4 << 20 };

const MAGIC: &[u8; 8] = b"QRTPACK\n";
const MAGIC_END: &[u8; 8] = b"QRTPEND\n";
const FORMAT: u32 = 1;
const HEAD_BYTES: u64 = 12;
const ENTRY_BYTES: usize = 36;
const TRAILER_BYTES: usize = 44;
const INDEX_DOMAIN: &str = "quorate pack index";

/// The number of a pack. None is given twice, as long as there are fewer than four billion.
pub(super) type PackNumber = u32;

pub(super) fn name(number: PackNumber) -> String {
    format!("pack-{number:08x}")
}

/// The number of a pack by its name.
pub(super) fn number(name: &str) -> Option<PackNumber> {
    let digits = name.strip_prefix("pack-")?;
    let is_ours = digits.len() == 8 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| PackNumber::from_str_radix(digits, 16).ok())?
}

/// A pack that is being written.
pub(super) struct PackWriter {
    number: PackNumber,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    flushed: u64,
    synced: u64,
    /// A sync failed: what it covered may be gone, whatever a later one says.
    is_spoilt: bool,
    chunks: Vec<ChunkId>,
}

impl PackWriter {
    pub(super) fn create(disk: &Disk, number: PackNumber) -> Result<Self, SnapshotError> {
        let file = disk.create(&temporary(&name(number)))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + CHUNK_BYTES_MAX + ENTRY_BYTES);
        buffer.extend_from_slice(MAGIC);
        buffer.extend_from_slice(&FORMAT.to_le_bytes());
        Ok(Self { number, file, buffer, flushed: 0, synced: 0, is_spoilt: false, chunks: Vec::new() })
    }

    pub(super) const fn number(&self) -> PackNumber {
        self.number
    }

    /// What was appended, each with its offset, and the length of the complete file.
    pub(super) fn located(&self) -> (impl Iterator<Item = (ChunkId, u32)>, u64) {
        let offsets = self.chunks.iter().scan(HEAD_BYTES as u32, |end, chunk| {
            let offset = *end + ENTRY_BYTES as u32;
            *end = offset + chunk.bytes;
            Some((*chunk, offset))
        });
        (offsets, self.bytes() + (self.chunks.len() * ENTRY_BYTES + TRAILER_BYTES) as u64)
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes() >= PACK_BYTES_MAX || self.chunks.len() >= PACK_CHUNKS_MAX
    }

    /// Appends a chunk whose length is within the limits, and gives its offset.
    pub(super) fn append(&mut self, chunk: &ChunkId, bytes: &[u8]) -> Result<u32, SnapshotError> {
        self.buffer.extend_from_slice(&entry(chunk));
        let offset = self.bytes();
        self.buffer.extend_from_slice(bytes);
        self.chunks.push(*chunk);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        // `is_full` keeps packs far below 4 GiB.
        Ok(u32::try_from(offset).unwrap_or(u32::MAX))
    }

    /// Hands everything to the system, so that it can be read and survives the process.
    pub(super) fn flush(&mut self) -> Result<(), SnapshotError> {
        let failed = |e| SnapshotError::io(&temporary(&name(self.number)), "write", e);
        self.file.write_at(&self.buffer, self.flushed).map_err(failed)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        if self.flushed - self.synced >= UNSYNCED_BYTES_MAX {
            self.is_spoilt |= self.file.sync().is_err();
            self.synced = self.flushed;
        }
        Ok(())
    }

    /// Reads back a chunk that was appended.
    pub(super) fn read(&mut self, offset: u32, bytes: u32) -> Result<Vec<u8>, SnapshotError> {
        self.flush()?;
        let mut chunk = vec![0; bytes as usize];
        let failed = |e| SnapshotError::io(&temporary(&name(self.number)), "read", e);
        self.file.read_at(&mut chunk, u64::from(offset)).map_err(failed)?;
        Ok(chunk)
    }

    /// Writes the index, syncs the pack and gives it its name, which becomes durable with the directory. If that
    /// fails, for want of room say, it may be tried again.
    pub(super) fn seal(&mut self, disk: &Disk) -> Result<(), SnapshotError> {
        self.flush()?;
        if self.is_spoilt {
            let why = io::Error::other("a sync failed while it was written");
            return Err(disk.stop(&temporary(&name(self.number)), why));
        }
        let mut end = Vec::with_capacity(self.chunks.len() * ENTRY_BYTES + TRAILER_BYTES);
        self.chunks.iter().for_each(|chunk| end.extend_from_slice(&entry(chunk)));
        let digest = Digest::of_parts(INDEX_DOMAIN, &[&end]);
        end.extend_from_slice(&u32::try_from(self.chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
        end.extend_from_slice(&digest.0);
        end.extend_from_slice(MAGIC_END);
        let failed = |e| SnapshotError::io(&temporary(&name(self.number)), "write", e);
        self.file.write_at(&end, self.flushed).map_err(failed)?;
        disk.sync_and_rename(&*self.file, &name(self.number))
    }

    fn bytes(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }
}

/// The chunks of a complete pack, each with its offset, and the pack's length.
pub(super) fn read_index(
    disk: &Disk,
    number: PackNumber,
) -> Result<(Vec<(ChunkId, u32)>, u64), SnapshotError> {
    let name = name(number);
    let file = disk.open(&name)?;
    let length = file.bytes().map_err(|e| SnapshotError::io(&name, "read", e))?;
    let read = |bytes: usize, offset: u64| {
        let mut buffer = vec![0; bytes];
        file.read_at(&mut buffer, offset).map_err(|e| SnapshotError::io(&name, "read", e))?;
        Ok::<_, SnapshotError>(buffer)
    };
    let Some(trailer_at) = length.checked_sub(TRAILER_BYTES as u64).filter(|at| *at >= HEAD_BYTES) else {
        return Err(SnapshotError::damaged(&name, "it is truncated"));
    };
    check_head(&name, &read(HEAD_BYTES as usize, 0)?)?;
    let trailer = read(TRAILER_BYTES, trailer_at)?;
    let (count, digest, end) = (&trailer[..4], &trailer[4..36], &trailer[36..]);
    let count = le_u32(count) as usize;
    if end != MAGIC_END || count > PACK_CHUNKS_MAX {
        return Err(SnapshotError::damaged(&name, "its end is not a pack's"));
    }
    let index_bytes = count * ENTRY_BYTES;
    let Some(index_at) = trailer_at.checked_sub(index_bytes as u64) else {
        return Err(SnapshotError::damaged(&name, "its index is longer than the file"));
    };
    let index = read(index_bytes, index_at)?;
    if Digest::of_parts(INDEX_DOMAIN, &[&index]).0 != *digest {
        return Err(SnapshotError::damaged(&name, "its index is altered"));
    }
    let chunks = locate(&index, index_at);
    chunks.map(|chunks| (chunks, length)).ok_or_else(|| SnapshotError::damaged(&name, "chunks are missing"))
}

/// Gives every chunk of an incomplete pack that is whole, up to the first that is not, to `keep`.
pub(super) fn salvage(
    disk: &Disk,
    number: PackNumber,
    mut keep: impl FnMut(&ChunkId, &[u8]) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    let name = temporary(&name(number));
    let file = disk.open(&name)?;
    let length = file.bytes().map_err(|e| SnapshotError::io(&name, "read", e))?;
    let mut offset = HEAD_BYTES;
    while offset + ENTRY_BYTES as u64 <= length {
        let mut head = [0; ENTRY_BYTES];
        file.read_at(&mut head, offset).map_err(|e| SnapshotError::io(&name, "read", e))?;
        let chunk = parse_entry(&head);
        offset += ENTRY_BYTES as u64;
        if !is_length(chunk.bytes as usize) || offset + u64::from(chunk.bytes) > length {
            break;
        }
        let mut bytes = vec![0; chunk.bytes as usize];
        file.read_at(&mut bytes, offset).map_err(|e| SnapshotError::io(&name, "read", e))?;
        if ChunkId::of(&bytes) != chunk {
            break;
        }
        keep(&chunk, &bytes)?;
        offset += u64::from(chunk.bytes);
    }
    Ok(())
}

/// What a chunk of this length takes in a pack.
pub(super) fn bytes_of(chunk_bytes: u32) -> u64 {
    u64::from(chunk_bytes) + 2 * ENTRY_BYTES as u64
}

/// Whether a chunk may have that many bytes.
pub(super) fn is_length(bytes: usize) -> bool {
    (1..=CHUNK_BYTES_MAX).contains(&bytes)
}

fn check_head(name: &str, head: &[u8]) -> Result<(), SnapshotError> {
    let (magic, format) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(SnapshotError::damaged(name, "its beginning is not a pack's"));
    }
    match le_u32(format) {
        FORMAT => Ok(()),
        version if version > FORMAT => Err(SnapshotError::FutureFormat { file: name.to_owned(), version }),
        _ => Err(SnapshotError::damaged(name, "it has no format")),
    }
}

/// Finds the offsets, which follow from the lengths; `None` unless the chunks end where the index begins.
fn locate(index: &[u8], index_at: u64) -> Option<Vec<(ChunkId, u32)>> {
    let mut end = HEAD_BYTES;
    let mut chunks = Vec::with_capacity(index.len() / ENTRY_BYTES);
    for entry in index.chunks_exact(ENTRY_BYTES) {
        let chunk = parse_entry(entry.try_into().ok()?);
        if !is_length(chunk.bytes as usize) {
            return None;
        }
        let offset = end + ENTRY_BYTES as u64;
        chunks.push((chunk, u32::try_from(offset).ok()?));
        end = offset + u64::from(chunk.bytes);
    }
    (end == index_at).then_some(chunks)
}

fn entry(chunk: &ChunkId) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..32].copy_from_slice(&chunk.digest.0);
    entry[32..].copy_from_slice(&chunk.bytes.to_le_bytes());
    entry
}

fn parse_entry(entry: &[u8; ENTRY_BYTES]) -> ChunkId {
    let mut digest = [0; 32];
    digest.copy_from_slice(&entry[..32]);
    ChunkId { digest: Digest(digest), bytes: le_u32(&entry[32..]) }
}

/// The number in four bytes.
pub(super) fn le_u32(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
