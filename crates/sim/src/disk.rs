//! What does a replica find on its disk after a crash? The log and the states of `quorate-store`'s file layer in memory,
//! with framing and recovery running for real, and every fault that a disk can have.
//!
//! Log and states lie on a [`FaultyDisk`] each, so that a fault at the k-th operation hits what it is meant for. A sync takes
//! time: records are written when it begins and durable when it ends, and what comes meanwhile waits for the next.

mod images;
mod snapshots;
mod witness;

use quorate_consensus::{Record, Recovered};
use quorate_store::{DiskLog, FaultyDisk, Log, LogIdentity, LogSettings, Position, StoreError};
use quorate_types::{Frame, Height};
use std::collections::VecDeque;

pub(crate) use images::Image;
pub use images::Part;
pub(crate) use snapshots::Snapshots;
use witness::Witness;

use crate::guards::{self, Guard};
use crate::stream::Stream;

/// One replica's disk. Sequence numbers are those of [`quorate_consensus::Action::Persist`]: one more than positions.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) log_files: FaultyDisk,
    pub(crate) state_files: FaultyDisk,
    identity: LogIdentity,
    settings: LogSettings,
    log: Option<DiskLog>,
    /// Records that no sync covers yet.
    waiting: VecDeque<(u64, Frame)>,
    /// The last number that the running sync covers.
    syncing: Option<u64>,
    witness: Witness,
    pub(crate) snapshots: Option<Snapshots>,
}

/// Why a disk does not do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiskError {
    /// The power failed.
    PowerLost,
    /// There is no room: the replica stops and starts again once there is.
    Full(String),
    /// It reports an error.
    Failed(String),
    /// What had been durable is not intact (rule D4).
    Damaged(String),
    /// It gave something that was never written there, and nobody noticed.
    Wrong(String),
}

impl Disk {
    /// A disk that was initialised and never used.
    pub(crate) fn initialised(identity: LogIdentity, reserve_bytes: u64) -> Self {
        let mut disk = Self {
            log_files: FaultyDisk::new(),
            state_files: FaultyDisk::new(),
            identity,
            settings: LogSettings { segment_bytes_max: SEGMENT_BYTES_MAX, reserve_bytes },
            log: None,
            waiting: VecDeque::new(),
            syncing: None,
            witness: Witness::default(),
            snapshots: None,
        };
        disk.mark();
        disk
    }

    /// Leaves the mark of `init` on an empty disk.
    fn mark(&mut self) {
        let files = Box::new(self.log_files.files());
        let mut log = DiskLog::open(files, self.identity, self.settings).expect("an empty disk works");
        let record = Record::Init.encode();
        self.witness.on_append(1, &record);
        log.append(record).and_then(|_| log.sync()).expect("an empty disk works");
        self.witness.on_durable(1);
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, sequence: u64, record: &Record) {
        self.waiting.push_back((sequence, record.encode()));
    }

    /// Begins a sync of everything that waits, unless one is running or nothing waits. Gives the
    /// last sequence number that it covers.
    pub(crate) fn begin_sync(&mut self) -> Result<Option<u64>, DiskError> {
        let Some((through, _)) = self.waiting.back().filter(|_| self.syncing.is_none()) else {
            return Ok(None);
        };
        self.syncing = Some(*through);
        let mut frames = Vec::with_capacity(self.waiting.len());
        for (sequence, frame) in self.waiting.drain(..) {
            self.witness.on_append(sequence, &frame);
            frames.push(frame);
        }
        let appended = self.log.as_mut().map_or(Err(StoreError::Closed), |log| log.append_all(&frames));
        appended.map_err(|error| self.named(error))?;
        Ok(self.syncing)
    }

    /// The sync that covers records up to `through` ends.
    pub(crate) fn end_sync(&mut self, through: u64) -> Result<(), DiskError> {
        self.syncing = None;
        if !guards::is_removed(Guard::SyncOfRecords) {
            let synced = self.log.as_mut().map_or(Err(StoreError::Closed), Log::sync);
            synced.map_err(|error| self.named(error))?;
        }
        self.witness.on_durable(through);
        Ok(())
    }

    /// Drops records below a number and snapshots below a height. Gives how many of both are left.
    pub(crate) fn truncate(&mut self, number: u64, height: Height) -> Result<(u64, u64), DiskError> {
        let Some(log) = &mut self.log else { return Err(DiskError::PowerLost) };
        let first = Position(number.saturating_sub(1)).min(log.end());
        // It may be carried out although it fails.
        self.witness.on_truncating(number);
        log.truncate_front(first).map_err(|error| self.named(error))?;
        self.witness.on_truncated(number);
        let states = self.states()?.forget_below(height)?;
        let records = self.log.as_ref().map_or(0, |log| log.end().0 - log.first().0);
        Ok((records + self.waiting.len() as u64, states))
    }

    /// What a starting replica reads.
    pub(crate) fn recover(&mut self) -> Result<Recovered, DiskError> {
        let files = Box::new(self.log_files.files());
        let opened = DiskLog::open(files, self.identity, self.settings);
        let log = opened.map_err(|error| self.named(error))?;
        let read: Result<Vec<(Position, Frame)>, StoreError> =
            log.read(Position(0)).and_then(Iterator::collect);
        let frames = read.map_err(|error| self.named(error))?;
        let first = log.first().0;
        self.witness.judge(first, frames.iter().map(|(_, frame)| frame)).map_err(DiskError::Wrong)?;
        self.log = Some(log);
        let decode = |(position, frame): &(Position, Frame)| {
            let unreadable = |rejection| format!("record {position} is intact and says nothing: {rejection}");
            Record::decode(frame).map_err(|rejection| DiskError::Wrong(unreadable(rejection)))
        };
        let records = frames.iter().map(decode).collect::<Result<_, _>>()?;
        self.snapshots = Some(Snapshots::open(&self.state_files)?);
        Ok(Recovered { first, records, snapshot: None })
    }

    /// The states of a replica that runs.
    pub(crate) fn states(&mut self) -> Result<&mut Snapshots, DiskError> {
        self.snapshots.as_mut().ok_or(DiskError::PowerLost)
    }

    /// The process ended. The operating system still has what it was told.
    pub(crate) fn close(&mut self) {
        (self.log, self.snapshots, self.syncing) = (None, None, None);
        self.waiting.clear();
    }

    /// The machine lost power: what was not synced is gone, or is there in part and in any order.
    pub(crate) fn crash(&mut self, random: &mut Stream) {
        self.close();
        self.log_files.power_on(&mut |possibilities| random.below(possibilities));
        self.state_files.power_on(&mut |possibilities| random.below(possibilities));
    }

    /// The disk was replaced. With the mark it looks initialised, so its replica does not know
    /// that it lost anything.
    pub(crate) fn wipe(&mut self, with_mark: bool) {
        self.close();
        // It is another disk, without the old one's faults.
        self.heal();
        self.log_files.wipe();
        self.state_files.wipe();
        self.witness = Witness::default();
        self.identity.mark = self.identity.mark.wrapping_add(1);
        if with_mark {
            self.mark();
        }
    }

    fn named(&self, error: StoreError) -> DiskError {
        let is_off = self.log_files.is_off();
        match error {
            _ if is_off => DiskError::PowerLost,
            StoreError::Full { .. } => DiskError::Full(error.to_string()),
            StoreError::Damaged { .. } | StoreError::Missing { .. } | StoreError::Foreign { .. } => {
                DiskError::Damaged(error.to_string())
            }
            _ => DiskError::Failed(error.to_string()),
        }
    }
}

impl DiskError {
    /// What a report calls it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::PowerLost => "stopped: power lost at an operation",
            Self::Full(_) => "stopped: disk full",
            Self::Failed(_) => "stopped: disk failed",
            Self::Damaged(_) => "stopped: damage found",
            Self::Wrong(_) => "wrong",
        }
    }
}

impl std::fmt::Display for DiskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PowerLost => f.write_str("the power failed"),
            Self::Full(why) | Self::Failed(why) | Self::Damaged(why) | Self::Wrong(why) => f.write_str(why),
        }
    }
}

/// So small that a short run fills several segments.
const SEGMENT_BYTES_MAX: u64 = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_store::Owner;
    use quorate_types::{Digest, PublicKey, View};

    fn disk() -> Disk {
        let owner = Owner { cluster: Digest([1; 32]), replica: PublicKey([2; 32]) };
        Disk::initialised(LogIdentity { owner, mark: 3 }, 0)
    }

    fn views(disk: &mut Disk) -> Vec<u64> {
        let records = disk.recover().expect("it is intact").records.into_iter();
        records
            .filter_map(|record| if let Record::Entered(View(view)) = record { Some(view) } else { None })
            .collect()
    }

    /// A crash with a fate of one's own: 0 loses all that was not synced.
    fn crash(disk: &mut Disk, fate: u64) {
        disk.close();
        disk.log_files.power_on(&mut |_| fate);
    }

    #[test]
    fn a_crash_loses_what_was_not_synced() {
        let mut disk = disk();
        disk.recover().expect("it is new");
        disk.append(2, &Record::Entered(View(1)));
        assert_eq!(disk.begin_sync(), Ok(Some(2)));
        disk.append(3, &Record::Entered(View(2)));
        assert_eq!(disk.begin_sync(), Ok(None), "one sync runs at a time");
        disk.end_sync(2).expect("it works");
        assert_eq!(disk.begin_sync(), Ok(Some(3)));
        crash(&mut disk, 0);
        assert_eq!(views(&mut disk), [1]);
    }

    #[test]
    fn what_was_not_synced_may_survive() {
        let mut disk = disk();
        disk.recover().expect("it is new");
        disk.append(2, &Record::Entered(View(1)));
        assert_eq!(disk.begin_sync(), Ok(Some(2)));
        crash(&mut disk, u64::MAX);
        assert_eq!(views(&mut disk), [1]);
    }

    #[test]
    fn a_wiped_disk_is_empty_or_looks_initialised() {
        let mut disk = disk();
        disk.wipe(false);
        assert!(disk.recover().expect("empty").records.is_empty());
        disk.wipe(true);
        assert_eq!(disk.recover().expect("a mark").records, [Record::Init]);
    }

    #[test]
    fn what_is_lost_although_it_was_synced_is_told() {
        let mut disk = disk();
        disk.recover().expect("it is new");
        disk.append(2, &Record::Entered(View(1)));
        disk.begin_sync().and_then(|_| disk.end_sync(2)).expect("it works");
        disk.log_files.wipe();
        assert!(matches!(disk.recover(), Err(DiskError::Wrong(_))));
    }
}
