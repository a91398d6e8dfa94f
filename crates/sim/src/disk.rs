//! What does a replica find on its disk after a crash? What was synced, and nothing else.
//!
//! Records are kept as values: encoding every record would cost more than the protocol's work on
//! it. They are encoded and decoded when a replica starts from them, so the written form is
//! part of every restart.

use quorate_consensus::{Record, Recovered};
use quorate_types::{Height, Rejection};
use std::collections::VecDeque;

use crate::snapshots::Snapshots;

/// One replica's disk. Sequence numbers are those of [`quorate_consensus::Action::Persist`].
#[derive(Debug)]
pub(crate) struct Disk {
    /// How many records were dropped from the front.
    first: u64,
    durable: VecDeque<Record>,
    waiting: VecDeque<(u64, Record)>,
    is_syncing: bool,
    pub(crate) snapshots: Snapshots,
}

impl Disk {
    /// A disk that was initialised and never used.
    pub(crate) fn initialised() -> Self {
        Self {
            first: 0,
            durable: [Record::Init].into(),
            waiting: VecDeque::new(),
            is_syncing: false,
            snapshots: Snapshots::default(),
        }
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, sequence: u64, record: Record) {
        self.waiting.push_back((sequence, record));
    }

    /// Begins a sync of everything that waits, unless one is running or nothing waits. Gives the
    /// last sequence number that it covers.
    pub(crate) fn begin_sync(&mut self) -> Option<u64> {
        let (through, _) = self.waiting.back()?;
        if self.is_syncing {
            return None;
        }
        self.is_syncing = true;
        Some(*through)
    }

    /// The sync that covers records up to `through` ended.
    pub(crate) fn end_sync(&mut self, through: u64) {
        self.is_syncing = false;
        while self.waiting.front().is_some_and(|(sequence, _)| *sequence <= through) {
            self.durable.extend(self.waiting.pop_front().map(|(_, record)| record));
        }
    }

    /// The machine lost power: what was not synced is gone.
    pub(crate) fn crash(&mut self) {
        self.waiting.clear();
        self.is_syncing = false;
    }

    /// The disk was replaced. With the mark it looks initialised, so its replica does not know
    /// that it lost anything.
    pub(crate) fn wipe(&mut self, with_mark: bool) {
        self.crash();
        self.durable.clear();
        self.first = 0;
        self.snapshots = Snapshots::default();
        if with_mark {
            self.durable.push_back(Record::Init);
        }
    }

    /// What a starting replica reads.
    ///
    /// # Errors
    /// A record does not survive being written and read.
    pub(crate) fn recover(&self) -> Result<Recovered, Rejection> {
        let read = |record: &Record| Record::decode(&record.encode());
        let records = self.durable.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Recovered { first: self.first, records, snapshot: None })
    }

    /// Drops records below a number and snapshots below a height.
    pub(crate) fn truncate(&mut self, number: u64, height: Height) {
        while self.first + 1 < number && self.durable.pop_front().is_some() {
            self.first += 1;
        }
        self.snapshots.forget_below(height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_types::View;

    fn entered(disk: &Disk) -> Vec<u64> {
        let views = disk.recover().expect("records are readable").records.into_iter();
        views
            .filter_map(|record| if let Record::Entered(View(view)) = record { Some(view) } else { None })
            .collect()
    }

    #[test]
    fn a_crash_loses_what_was_not_synced() {
        let mut disk = Disk::initialised();
        disk.append(1, Record::Entered(View(1)));
        assert_eq!(disk.begin_sync(), Some(1));
        disk.append(2, Record::Entered(View(2)));
        assert_eq!(disk.begin_sync(), None, "one sync runs at a time");
        disk.end_sync(1);
        assert_eq!(disk.begin_sync(), Some(2));
        disk.crash();
        assert_eq!(entered(&disk), [1]);
    }

    #[test]
    fn a_wiped_disk_is_empty_or_looks_initialised() {
        let mut disk = Disk::initialised();
        disk.wipe(false);
        assert!(disk.recover().expect("empty").records.is_empty());
        disk.wipe(true);
        assert_eq!(disk.recover().expect("a mark").records, [Record::Init]);
    }
}
