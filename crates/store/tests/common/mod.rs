//! What the tests of the log on disk share: an identity, records that tell where they belong, and choices
//! from a seed.

#![allow(dead_code, reason = "each test program uses its part")]

use quorate_store::{DiskLog, FaultyDisk, Log, LogIdentity, LogSettings, Owner, Position, StoreError};
use quorate_types::{Digest, Frame, PublicKey};

pub(crate) fn identity() -> LogIdentity {
    let owner = Owner { cluster: Digest([7; 32]), replica: PublicKey([9; 32]) };
    LogIdentity { owner, mark: 0x0123_4567_89ab_cdef }
}

/// Segments so small that a few records fill one.
pub(crate) fn small() -> LogSettings {
    LogSettings { segment_bytes_max: 2600, reserve_bytes: 0 }
}

pub(crate) fn open(disk: &FaultyDisk) -> Result<DiskLog, StoreError> {
    open_with(disk, small())
}

pub(crate) fn open_with(disk: &FaultyDisk, settings: LogSettings) -> Result<DiskLog, StoreError> {
    DiskLog::open(Box::new(disk.files()), identity(), settings)
}

/// A record whose bytes differ from those of every other number.
pub(crate) fn record(number: u64, payload_bytes: usize) -> Frame {
    let payload: Vec<u8> = (0..payload_bytes).map(|at| (number as usize * 31 + at * 7) as u8).collect();
    Frame { head: format!("record {number}").into(), payload: payload.into() }
}

pub(crate) fn held(log: &dyn Log) -> Result<Vec<(u64, Frame)>, StoreError> {
    log.read(Position(0))?.map(|entry| entry.map(|(position, record)| (position.0, record))).collect()
}

/// Choices that are all the first, all the last, or pseudo-random.
pub(crate) fn choices(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |possibilities| match seed {
        0 => 0,
        1 => possibilities - 1,
        _ => {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % possibilities
        }
    }
}
