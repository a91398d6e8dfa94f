//! Which bytes stand on the disk? A log is a row of segment files: a head of three sectors, then records.
//!
//! All numbers are little-endian. The head's first sector says whose log it is and where the segment begins;
//! it is written once. The other two take turns in saying where the log's front is, and how much was durable
//! then: one is rewritten while the other holds, which needs no room, so that a full disk can be emptied.
//!
//! Every checksum begins with the log's owner, its mark and the segment's number. Together with the position
//! in every record it tells a record that was written here and now from one that a disk misplaced, or from
//! another log.

use crc32fast::Hasher;
use quorate_types::wire::{HEAD_BYTES_MAX, PAYLOAD_BYTES_MAX};
use quorate_types::{ClusterId, PublicKey};

use crate::Position;

/// Whose data it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The replica's key.
    pub replica: PublicKey,
}

/// What tells one log from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// Whose log it is.
    pub owner: Owner,
    /// Drawn at random when the directory was made, and told to nobody: every record begins with it. Without
    /// it a client could write into a batch what reads as a record, and a replica would take its torn tail
    /// for damage.
    pub mark: u64,
}

/// The format that is written, and the newest that is read.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// What a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;
/// Length of a segment's head.
pub(crate) const HEAD_BYTES: usize = 3 * SECTOR_BYTES;
/// Length of what stands before a record's head and payload.
pub(crate) const PREFIX_BYTES: usize = 48;
/// Records begin at multiples of it.
pub(crate) const ALIGNMENT: usize = 8;

pub(crate) const MAGIC: &[u8; 8] = b"QUORLOG\n";
/// Bytes of the first sector that are not zero.
const SECTOR_USED: usize = 108;
/// Bytes of a sector with a front that are not zero.
const FRONT_USED: usize = 36;

/// A sector of a head, as it is written.
pub(crate) type Sector = [u8; SECTOR_BYTES];

/// One segment of one log: writes and checks its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    identity: LogIdentity,
    number: u64,
    seed: Hasher,
}

/// What stands before a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// The record's position.
    pub(crate) position: Position,
    /// Every position below was durable when this record was written.
    pub(crate) durable: Position,
    /// Length of its head.
    pub(crate) head_bytes: u32,
    /// Length of its payload.
    pub(crate) payload_bytes: u32,
    /// Checksum of both.
    pub(crate) checksum: u32,
}

/// Where the log begins, as one of the two sectors tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    /// Rises with every change; the sector of the greater one holds.
    pub(crate) sequence: u64,
    /// The log's first position.
    pub(crate) first: Position,
    /// Every position below was durable when this was written.
    pub(crate) durable: Position,
}

/// Why a head's first sector is not one of this segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// It is not the beginning of a segment at all.
    NotALog,
    /// It was a head and is not intact.
    Damaged,
    /// It was written in a newer format.
    NewerFormat(u32),
    /// It belongs to another cluster.
    OtherCluster(ClusterId),
    /// It belongs to another replica.
    OtherReplica(PublicKey),
    /// It belongs to an older or copied directory of this replica.
    OtherLog,
    /// It is another segment of this log.
    OtherSegment,
}

impl Format {
    pub(crate) fn new(identity: LogIdentity, number: u64) -> Self {
        let mut seed = Hasher::new();
        seed.update(&identity.owner.cluster.0);
        seed.update(&identity.owner.replica.0);
        seed.update(&identity.mark.to_le_bytes());
        seed.update(&number.to_le_bytes());
        Self { identity, number, seed }
    }

    /// The first sector of the segment that begins at `first`.
    pub(crate) fn head(&self, first: Position) -> Sector {
        let mut sector = [0; SECTOR_BYTES];
        put(&mut sector, 0, MAGIC);
        put(&mut sector, 8, &FORMAT_VERSION.to_le_bytes());
        let version_checksum = crc32fast::hash(&sector[..12]);
        put(&mut sector, 12, &version_checksum.to_le_bytes());
        put(&mut sector, 16, &self.identity.owner.cluster.0);
        put(&mut sector, 48, &self.identity.owner.replica.0);
        put(&mut sector, 80, &self.identity.mark.to_le_bytes());
        put(&mut sector, 88, &self.number.to_le_bytes());
        put(&mut sector, 96, &first.0.to_le_bytes());
        let checksum = crc32fast::hash(&sector[..104]);
        put(&mut sector, 104, &checksum.to_le_bytes());
        sector
    }

    /// Reads a first sector: the segment's first position.
    pub(crate) fn parse_head(&self, sector: &Sector) -> Result<Position, HeadFault> {
        if &bytes::<8>(sector, 0) != MAGIC {
            return Err(HeadFault::NotALog);
        }
        // These sixteen bytes are the same in every format, so that a flipped bit is not taken for a newer
        // one.
        if crc32fast::hash(&sector[..12]) != u32_at(sector, 12) {
            return Err(HeadFault::Damaged);
        }
        let version = u32_at(sector, 8);
        if version != FORMAT_VERSION {
            return Err(HeadFault::NewerFormat(version));
        }
        if crc32fast::hash(&sector[..104]) != u32_at(sector, 104)
            || sector[SECTOR_USED..].iter().any(|byte| *byte != 0)
        {
            return Err(HeadFault::Damaged);
        }
        let (cluster, replica) = (bytes::<32>(sector, 16), bytes::<32>(sector, 48));
        if cluster != self.identity.owner.cluster.0 {
            return Err(HeadFault::OtherCluster(quorate_types::Digest(cluster)));
        }
        if replica != self.identity.owner.replica.0 {
            return Err(HeadFault::OtherReplica(PublicKey(replica)));
        }
        if u64_at(sector, 80) != self.identity.mark {
            return Err(HeadFault::OtherLog);
        }
        if u64_at(sector, 88) != self.number {
            return Err(HeadFault::OtherSegment);
        }
        Ok(Position(u64_at(sector, 96)))
    }

    /// The sector that tells a front, and its offset in the file.
    pub(crate) fn front(&self, front: Front) -> (u64, Sector) {
        let mut sector = [0; SECTOR_BYTES];
        put(&mut sector, 0, &self.identity.mark.to_le_bytes());
        put(&mut sector, 8, &front.sequence.to_le_bytes());
        put(&mut sector, 16, &front.first.0.to_le_bytes());
        put(&mut sector, 24, &front.durable.0.to_le_bytes());
        let checksum = self.checksum(&[&sector[..32]]);
        put(&mut sector, 32, &checksum.to_le_bytes());
        let slot = 1 + front.sequence % 2;
        (slot * SECTOR_BYTES as u64, sector)
    }

    /// Reads a sector that tells a front; `None` if it was never written.
    pub(crate) fn parse_front(&self, sector: &Sector, slot: u64) -> Result<Option<Front>, HeadFault> {
        if sector == &[0; SECTOR_BYTES] {
            return Ok(None);
        }
        let front = Front {
            sequence: u64_at(sector, 8),
            first: Position(u64_at(sector, 16)),
            durable: Position(u64_at(sector, 24)),
        };
        let is_intact = u64_at(sector, 0) == self.identity.mark
            && self.checksum(&[&sector[..32]]) == u32_at(sector, 32)
            && sector[FRONT_USED..].iter().all(|byte| *byte == 0)
            && front.sequence % 2 == slot;
        if is_intact { Ok(Some(front)) } else { Err(HeadFault::Damaged) }
    }

    /// The prefix of a record.
    pub(crate) fn prefix(&self, prefix: Prefix) -> [u8; PREFIX_BYTES] {
        let mut out = [0; PREFIX_BYTES];
        put(&mut out, 0, &self.identity.mark.to_le_bytes());
        put(&mut out, 8, &prefix.position.0.to_le_bytes());
        put(&mut out, 16, &prefix.durable.0.to_le_bytes());
        put(&mut out, 24, &prefix.head_bytes.to_le_bytes());
        put(&mut out, 28, &prefix.payload_bytes.to_le_bytes());
        put(&mut out, 32, &prefix.checksum.to_le_bytes());
        put(&mut out, 36, &KIND_RECORD.to_le_bytes());
        let checksum = self.checksum(&[&out[..40]]);
        put(&mut out, 40, &checksum.to_le_bytes());
        out
    }

    /// Reads a prefix; `None` unless it is intact and of this segment.
    pub(crate) fn parse_prefix(&self, from: &[u8]) -> Option<Prefix> {
        let from: &[u8; PREFIX_BYTES] = from.first_chunk()?;
        let is_intact = u64_at(from, 0) == self.identity.mark
            && self.checksum(&[&from[..40]]) == u32_at(from, 40)
            && u32_at(from, 36) == KIND_RECORD
            && u32_at(from, 44) == 0;
        let prefix = Prefix {
            position: Position(u64_at(from, 8)),
            durable: Position(u64_at(from, 16)),
            head_bytes: u32_at(from, 24),
            payload_bytes: u32_at(from, 28),
            checksum: u32_at(from, 32),
        };
        (is_intact && prefix.is_possible()).then_some(prefix)
    }

    /// The bytes with which every record of this log begins.
    pub(crate) const fn mark(&self) -> [u8; 8] {
        self.identity.mark.to_le_bytes()
    }

    /// The checksum of parts under this segment's name.
    pub(crate) fn checksum(&self, parts: &[&[u8]]) -> u32 {
        let mut hasher = self.seed.clone();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

impl Prefix {
    /// Length of head and payload.
    pub(crate) fn body_bytes(&self) -> usize {
        self.head_bytes as usize + self.payload_bytes as usize
    }

    /// Length of the whole record on the disk.
    pub(crate) fn record_bytes(&self) -> usize {
        (PREFIX_BYTES + self.body_bytes()).next_multiple_of(ALIGNMENT)
    }

    fn is_possible(&self) -> bool {
        self.head_bytes as usize <= HEAD_BYTES_MAX
            && self.payload_bytes as usize <= PAYLOAD_BYTES_MAX
            && self.durable <= self.position
            && self.position.0 < u64::MAX
    }
}

/// The name of the segment with this number.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:020}.log")
}

/// The number of the segment with this name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// What a record is. There is one kind so far; another one needs no new format, but refuses programs that do
/// not know it.
const KIND_RECORD: u32 = 1;

fn put(into: &mut [u8], offset: usize, bytes: &[u8]) {
    into[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn bytes<const LEN: usize>(from: &[u8], offset: usize) -> [u8; LEN] {
    from.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; LEN])
}

fn u32_at(from: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes(from, offset))
}

fn u64_at(from: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes(from, offset))
}
