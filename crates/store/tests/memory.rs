//! What does a replica find in its log after whatever happened to it?

use bytes::Bytes;
use proptest::prelude::*;
use quorate_store::{Log, MemoryDisk, MemoryLog, Position, StoreError};
use quorate_types::Frame;

fn record(head: &'static str, payload: &'static str) -> Frame {
    Frame { head: Bytes::from_static(head.as_bytes()), payload: Bytes::from_static(payload.as_bytes()) }
}

fn held(log: &MemoryLog) -> Vec<(u64, Frame)> {
    let records = log.read(Position(0)).expect("open");
    records.map(|entry| entry.map(|(position, record)| (position.0, record)).expect("readable")).collect()
}

#[test]
fn a_crash_loses_what_was_not_synced_and_nothing_else() {
    let disk = MemoryDisk::new();
    let mut log = disk.open();
    log.append(record("block 1", "batch")).expect("room");
    log.append(record("vote 1", "")).expect("room");
    log.sync().expect("open");
    log.append(record("vote 2", "")).expect("room");
    assert_eq!(held(&log).len(), 3);
    disk.crash();
    let mut log = disk.open();
    assert_eq!(held(&log), [(0, record("block 1", "batch")), (1, record("vote 1", ""))]);
    assert_eq!(log.append(record("vote 3", "")), Ok(Position(2)));
}

#[test]
fn a_clean_restart_finds_everything() {
    let disk = MemoryDisk::new();
    let mut log = disk.open();
    log.append(record("vote 1", "")).expect("room");
    drop(log);
    assert_eq!(held(&disk.clone().open()), [(0, record("vote 1", ""))]);
}

#[test]
fn a_wiped_disk_is_empty_and_counts_from_0() {
    let disk = MemoryDisk::with_bytes_max(10);
    let mut log = disk.open();
    log.append(record("vote 1", "")).expect("room");
    log.sync().expect("open");
    disk.wipe();
    let mut log = disk.open();
    assert_eq!((held(&log), disk.bytes(), log.end()), (vec![], 0, Position(0)));
    assert_eq!(log.append(record("longer than", "10")), Err(StoreError::Full { bytes: 13 }));
}

#[test]
fn the_log_of_a_stopped_replica_writes_no_more() {
    let disk = MemoryDisk::new();
    for end_of_first in [MemoryDisk::crash, MemoryDisk::wipe, |disk: &MemoryDisk| drop(disk.open())] {
        let mut log = disk.open();
        end_of_first(&disk);
        assert_eq!(log.append(record("vote 1", "")), Err(StoreError::Closed));
        assert_eq!(log.sync(), Err(StoreError::Closed));
        assert_eq!(log.truncate_front(Position(0)), Err(StoreError::Closed));
        assert_eq!(log.truncate_tail(Position(0)), Err(StoreError::Closed));
        assert!(matches!(log.read(Position(0)), Err(StoreError::Closed)));
    }
}

#[test]
fn records_are_shared_and_never_copied() {
    let payload = Bytes::from(vec![7; 1000]);
    let mut log = MemoryDisk::new().open();
    log.append(Frame { head: Bytes::new(), payload: payload.clone() }).expect("room");
    assert_eq!(held(&log)[0].1.payload.as_ptr(), payload.as_ptr());
}

#[test]
fn a_full_disk_refuses_and_has_room_again_once_its_front_is_dropped() {
    let mut log = MemoryDisk::with_bytes_max(10).open();
    log.append(record("12345", "67")).expect("room");
    let full = log.append(record("1234", "")).expect_err("no room");
    assert_eq!(
        full.to_string(),
        "the disk is full: there is no room for 4 more bytes; free some, and the log goes on where it stopped"
    );
    assert_eq!((log.end(), log.bytes()), (Position(1), 7));
    log.append(record("123", "")).expect("exactly full");
    log.truncate_front(Position(1)).expect("in range");
    assert_eq!(log.append(record("1234", "567")), Ok(Position(2)));
}

#[test]
fn a_log_is_not_cut_outside_of_itself() {
    let mut log = MemoryDisk::new().open();
    for _ in 0..4 {
        log.append(record("vote", "")).expect("room");
    }
    log.truncate_front(Position(2)).expect("in range");
    let above = log.truncate_front(Position(5)).expect_err("above the end");
    assert_eq!(above.to_string(), "position 5 lies outside the log, which goes from 2 to 4");
    assert!(matches!(log.truncate_tail(Position(1)), Err(StoreError::OutOfRange { .. })));
    log.truncate_front(Position(1)).expect("already dropped");
    log.truncate_tail(Position(u64::MAX)).expect("nothing to drop");
    assert_eq!((log.first(), log.end()), (Position(2), Position(4)));
    assert_eq!(log.read(Position(3)).expect("open").count(), 1);
    assert_eq!(log.read(Position(u64::MAX)).expect("open").count(), 0);
}

/// What may happen to a log, with positions relative to where it begins.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>, Vec<u8>),
    Sync,
    Crash,
    Reopen,
    Wipe,
    TruncateFront(u64),
    TruncateTail(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..4);
    let step = prop_oneof![
        12 => (bytes(), bytes()).prop_map(|(head, payload)| Step::Append(head, payload)),
        4 => Just(Step::Sync),
        2 => Just(Step::Crash),
        1 => Just(Step::Reopen),
        1 => (0..30_u64).prop_map(Step::TruncateFront),
        1 => (0..30_u64).prop_map(Step::TruncateTail),
    ];
    let rare = Just(Step::Wipe);
    prop::collection::vec(prop_oneof![40 => step, 1 => rare], 0..80)
}

/// Two whole lists, the one in memory and the one on disk: slow and plain.
#[derive(Clone, Default)]
struct Model {
    held: Vec<(u64, Frame)>,
    end: u64,
    durable: Vec<(u64, Frame)>,
    durable_end: u64,
}

impl Model {
    fn first(&self) -> u64 {
        self.held.first().map_or(self.end, |(position, _)| *position)
    }

    fn truncate_front(&mut self, first: u64) -> bool {
        if first > self.end {
            return false;
        }
        if first > self.first() {
            self.held.retain(|(position, _)| *position >= first);
            self.durable.retain(|(position, _)| *position >= first);
            self.durable_end = self.durable_end.max(first);
        }
        true
    }

    fn truncate_tail(&mut self, end: u64) -> bool {
        if end < self.first() {
            return false;
        }
        self.held.retain(|(position, _)| *position < end);
        self.durable.retain(|(position, _)| *position < end);
        self.end = self.end.min(end);
        self.durable_end = self.durable_end.min(end);
        true
    }
}

proptest! {
    #[test]
    fn the_log_is_what_a_plain_list_would_be(steps in steps()) {
        let disk = MemoryDisk::new();
        let mut log = disk.open();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(head, payload) => {
                    let record = Frame { head: head.into(), payload: payload.into() };
                    prop_assert_eq!(log.append(record.clone()), Ok(Position(model.end)));
                    model.held.push((model.end, record));
                    model.end += 1;
                }
                Step::Sync => {
                    log.sync().expect("open");
                    (model.durable, model.durable_end) = (model.held.clone(), model.end);
                }
                Step::Crash => {
                    disk.crash();
                    log = disk.open();
                    (model.held, model.end) = (model.durable.clone(), model.durable_end);
                }
                Step::Reopen => log = disk.open(),
                Step::Wipe => {
                    disk.wipe();
                    log = disk.open();
                    model = Model::default();
                }
                Step::TruncateFront(distance) => {
                    let first = model.first() + distance;
                    prop_assert_eq!(log.truncate_front(Position(first)).is_ok(), model.truncate_front(first));
                }
                Step::TruncateTail(distance) => {
                    let end = (model.first() + distance).saturating_sub(2);
                    prop_assert_eq!(log.truncate_tail(Position(end)).is_ok(), model.truncate_tail(end));
                }
            }
            prop_assert_eq!(held(&log), model.held.clone());
            prop_assert_eq!((log.first().0, log.end().0), (model.first(), model.end));
            let bytes: usize = model.held.iter().map(|(_, record)| record.head.len() + record.payload.len()).sum();
            prop_assert_eq!((log.bytes(), disk.bytes()), (bytes as u64, bytes as u64));
        }
    }
}
