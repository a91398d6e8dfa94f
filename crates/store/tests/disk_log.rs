//! Does the log on disk keep its contract whatever happens below it? Scripts and random walks against a plain
//! list.

mod common;

use common::{choices, held, identity, open, open_with, record};
use proptest::prelude::*;
use quorate_store::{DiskLog, Fault, FaultyDisk, Log, LogSettings, Position, StoreError};
use quorate_types::Frame;

/// What may be asked of a log, with positions relative to its ends.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Sync,
    Seal,
    TruncateFront(u64),
    TruncateTail(u64),
}

/// A list, and how much of it is durable.
#[derive(Clone, Debug, Default)]
struct Model {
    first: u64,
    records: Vec<Frame>,
    /// Every position below is durable.
    synced: u64,
    /// Numbers for records, never used twice.
    next: u64,
}

impl Model {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    fn held(&self) -> Vec<(u64, Frame)> {
        (self.first..).zip(self.records.iter().cloned()).collect()
    }

    /// Whether a restart may find this: everything that was durable, and no gap.
    fn allows(&self, first: u64, held: &[(u64, Frame)]) -> bool {
        let end = first + held.len() as u64;
        first == self.first && end >= self.synced && self.held().starts_with(held)
    }

    /// Does a step to the list and to the log. After an error the list is as if it had succeeded, so that
    /// both can be compared.
    fn step(&mut self, log: &mut DiskLog, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::Append(sizes) => {
                let records: Vec<Frame> =
                    (self.next..).zip(sizes).map(|(number, size)| record(number, *size)).collect();
                self.next += records.len() as u64;
                let position = Position(self.end());
                self.records.extend(records.iter().cloned());
                log.append_all(&records).map(|given| assert_eq!(given, position))
            }
            Step::Sync | Step::Seal => {
                let result = if matches!(step, Step::Seal) { log.seal() } else { log.sync() };
                if result.is_ok() {
                    self.synced = self.end();
                }
                result
            }
            Step::TruncateFront(distance) => {
                let first = (self.first + distance).min(self.end());
                self.records.drain(..(first - self.first) as usize);
                (self.first, self.synced) = (first, self.synced.max(first));
                log.truncate_front(Position(first))
            }
            Step::TruncateTail(distance) => {
                let end = self.end().saturating_sub(*distance).max(self.first);
                self.records.truncate((end - self.first) as usize);
                self.synced = self.synced.min(end);
                log.truncate_tail(Position(end))
            }
        }
    }

    fn adopt(&mut self, log: &DiskLog) {
        self.records.truncate((log.end().0 - self.first) as usize);
        self.synced = self.end();
    }
}

fn assert_same(log: &DiskLog, model: &Model) {
    assert_eq!(held(log).expect("readable"), model.held());
    assert_eq!((log.first().0, log.end().0), (model.first, model.end()));
    let bytes: usize = model.records.iter().map(|record| record.head.len() + record.payload.len()).sum();
    assert_eq!(log.bytes(), bytes as u64);
}

/// A life with rolls, checkpoints, a cut tail and a log that becomes empty.
fn script() -> Vec<Step> {
    use Step::{Append, Seal, Sync, TruncateFront, TruncateTail};
    let append = |count: usize, size: usize| Append(vec![size; count]);
    vec![
        append(1, 0),
        Sync,
        append(2, 300),
        append(1, 20),
        Sync,
        append(3, 400),
        Sync,
        TruncateFront(2),
        append(1, 900),
        append(1, 30),
        TruncateFront(7),
        append(2, 10),
        Sync,
        append(2, 700),
        TruncateTail(3),
        append(1, 5),
        Seal,
        append(1, 5),
        Seal,
        append(4, 350),
        TruncateTail(2),
        TruncateFront(1),
        append(1, 50),
        TruncateFront(100),
        append(1, 60),
        Sync,
        append(1, 2000),
        append(1, 2000),
    ]
}

/// Runs the script with a fault at one operation. Gives the lists before and after the step that failed, if
/// one did.
fn run(disk: &FaultyDisk) -> (Model, Model, Option<StoreError>) {
    let mut before = Model::default();
    let mut log = match open(disk) {
        Ok(log) => log,
        Err(error) => return (before.clone(), before, Some(error)),
    };
    for step in script() {
        let mut after = before.clone();
        if let Err(error) = after.step(&mut log, &step) {
            return (before, after, Some(error));
        }
        before = after;
    }
    (before.clone(), before, None)
}

fn operations_of_script() -> u64 {
    let disk = FaultyDisk::new();
    let (_, model, error) = run(&disk);
    assert_eq!(error, None);
    let operations = disk.operations();
    assert_same(&open(&disk).expect("intact"), &model);
    operations
}

/// The log after a crash, which must be the list before the failed step or after it.
fn recovered(disk: &FaultyDisk, before: &Model, after: &Model, context: &str) -> (DiskLog, Model) {
    let log = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let (first, found) = (log.first().0, held(&log).expect("readable"));
    let model = [after, before].into_iter().find(|model| model.allows(first, &found));
    let model = model
        .unwrap_or_else(|| panic!("{context}: found {first} {found:?}\nbefore {before:?}\nafter {after:?}"));
    let mut model = Model { next: after.next, ..model.clone() };
    model.adopt(&log);
    assert_same(&log, &model);
    (log, model)
}

#[test]
fn the_power_may_fail_at_each_single_operation() {
    let operations = operations_of_script();
    assert!(operations > 60, "{operations}");
    for operation in 0..operations {
        for seed in 0..12 {
            let disk = FaultyDisk::new();
            disk.plan(operation, Fault::PowerLoss);
            let (before, after, error) = run(&disk);
            assert!(error.is_some());
            disk.power_on(&mut choices(seed));
            let context = format!("operation {operation}, seed {seed}");
            let (_, mut model) = recovered(&disk, &before, &after, &context);
            // What was found stays, even if the power fails again at once.
            disk.power_on(&mut choices(0));
            assert_same(&open(&disk).expect("found before"), &model);
            let mut log = open(&disk).expect("found before");
            model.step(&mut log, &Step::Append(vec![40; 3])).expect("works again");
            model.step(&mut log, &Step::Sync).expect("works again");
            disk.power_on(&mut choices(seed + 1));
            assert_same(&open(&disk).expect("durable"), &model);
        }
    }
}

#[test]
fn the_power_may_fail_while_a_log_recovers() {
    let operations = operations_of_script();
    for operation in (0..operations).step_by(3) {
        for seed in 2..12 {
            let disk = FaultyDisk::new();
            disk.plan(operation, Fault::PowerLoss);
            let (before, after, _) = run(&disk);
            disk.power_on(&mut choices(seed));
            let image = disk.image();
            for recovery in 0..8 {
                disk.roll_back(&image);
                disk.plan(disk.operations() + recovery, Fault::PowerLoss);
                drop(open(&disk));
                disk.forget_faults();
                disk.power_on(&mut choices(seed + recovery));
                recovered(
                    &disk,
                    &before,
                    &after,
                    &format!("operation {operation}, seed {seed}, then {recovery}"),
                );
            }
        }
    }
}

#[test]
fn a_failed_operation_closes_the_log_and_what_is_found_then_is_durable() {
    for operation in 0..operations_of_script() {
        let disk = FaultyDisk::new();
        disk.plan(operation, Fault::Failure);
        let (before, after, error) = run(&disk);
        // A reserve or a leftover that fails is the only thing that may go unnoticed, and this script has
        // none.
        assert!(matches!(error, Some(StoreError::Failed { .. })), "operation {operation}: {error:?}");
        // Another process: it sees what the system's cache holds, part of which the disk refused.
        let (log, model) = recovered(&disk, &before, &after, &format!("operation {operation}"));
        drop(log);
        disk.power_on(&mut choices(0));
        assert_same(&open(&disk).expect("what was found is durable"), &model);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_tried_again() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    log.append(record(0, 10)).expect("room");
    disk.plan(disk.operations(), Fault::Failure);
    let error = log.sync().expect_err("the disk fails");
    assert_eq!(
        error.to_string(),
        "the disk failed to sync 00000000000000000000.log (the disk reports an error): check the disk, then start the replica again"
    );
    let operations = disk.operations();
    assert_eq!(log.sync(), Err(error.clone()));
    assert_eq!(log.append(record(1, 10)), Err(error.clone()));
    assert_eq!(log.truncate_front(Position(1)), Err(error.clone()));
    assert_eq!(log.truncate_tail(Position(0)), Err(error.clone()));
    assert!(log.read(Position(0)).is_err());
    assert_eq!(disk.operations(), operations, "the disk is left alone");
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was_and_it_goes_on_when_there_is_room() {
    for bytes_max in (0..12_000).step_by(37) {
        let disk = FaultyDisk::new();
        disk.set_bytes_max(Some(bytes_max));
        let Ok(mut log) = open(&disk) else {
            disk.set_bytes_max(None);
            assert_same(&open(&disk).expect("room"), &Model::default());
            continue;
        };
        let mut model = Model::default();
        for step in script() {
            let mut after = model.clone();
            match after.step(&mut log, &step) {
                Ok(()) => model = after,
                Err(StoreError::Full { .. }) => {
                    assert!(!matches!(step, Step::TruncateFront(_)), "needs no room");
                    assert_same(&log, &model);
                    // The disk is full until somebody makes room.
                    disk.set_bytes_max(None);
                    let mut after = Model { next: after.next, ..model.clone() };
                    after.step(&mut log, &step).expect("there is room");
                    model = after;
                    disk.set_bytes_max(Some(bytes_max.max(disk.bytes())));
                }
                Err(error) => panic!("{bytes_max}: {error}"),
            }
            assert_same(&log, &model);
        }
        log.sync().expect("room");
        disk.power_on(&mut choices(0));
        disk.set_bytes_max(None);
        assert_same(&open(&disk).expect("intact"), &model);
    }
}

#[test]
fn a_full_disk_can_be_emptied_from_the_front() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    disk.set_bytes_max(Some(10_000));
    let full = loop {
        if let Err(error) = log.append(record(log.end().0, 100)) {
            break error;
        }
    };
    assert!(full.to_string().starts_with("the disk is full: there is no room for"), "{full}");
    log.truncate_front(log.end()).expect("needs no room");
    log.append(record(1000, 100)).expect("room again");
    assert!(disk.bytes() < 5300, "{}", disk.bytes());
}

/// A disk that lies may lose whatever it claimed to have. What is found is never wrong and has no gap, or it
/// is refused.
#[test]
fn a_lying_disk_loses_the_end_or_is_found_out() {
    let mut found_out = 0;
    for operation in 0..operations_of_script() {
        for seed in 0..10 {
            let disk = FaultyDisk::new();
            disk.plan(operation, Fault::Lost);
            let (before, _, error) = run(&disk);
            disk.power_on(&mut choices(seed));
            match open(&disk) {
                Ok(log) => {
                    let known: Vec<Frame> = (0..before.next).flat_map(script_sizes).collect();
                    for (_, frame) in held(&log).expect("readable") {
                        assert!(known.contains(&frame), "operation {operation}, seed {seed}: {error:?}");
                    }
                }
                Err(StoreError::Damaged { .. } | StoreError::Missing { .. }) => found_out += 1,
                Err(error) => panic!("operation {operation}, seed {seed}: {error}"),
            }
        }
    }
    assert!(found_out > 20, "{found_out}");
}

/// The records of the script with this number, of every size that occurs.
fn script_sizes(number: u64) -> impl Iterator<Item = Frame> {
    [0, 5, 10, 20, 30, 50, 60, 300, 350, 400, 700, 900, 2000]
        .into_iter()
        .map(move |size| record(number, size))
}

#[test]
fn a_lost_sync_is_found_out_by_the_next_one() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    log.append(record(0, 500)).expect("room");
    disk.plan(disk.operations(), Fault::Lost);
    log.sync().expect("so the disk says");
    log.append(record(1, 10)).expect("room");
    // The first record is lost with the power, the second is not.
    let mut answers = [1, 0, 0, 3].into_iter();
    disk.power_on(&mut |_| answers.next().unwrap_or(0));
    let error = open(&disk).expect_err("record 0 had been durable");
    assert!(matches!(error, StoreError::Damaged { position: Position(0), .. }), "{error:?}");
}

#[test]
fn a_misdirected_write_is_never_taken_for_what_should_be_there() {
    let files = ["00000000000000000000.log", "00000000000000000001.log", "00000000000000000002.log"];
    for operation in 0..operations_of_script() {
        for file in files {
            for offset in [0, 512, 1024, 1536, 1600, 2000] {
                let disk = FaultyDisk::new();
                disk.plan(operation, Fault::Misdirected { file: file.to_owned(), offset });
                let (before, after, _) = run(&disk);
                let Ok(log) = open(&disk) else { continue };
                let Ok(found) = held(&log) else { continue };
                let is_prefix = [before, after].iter().any(|model| {
                    let frames: Vec<&Frame> = found.iter().map(|(_, frame)| frame).collect();
                    frames.iter().all(|frame| {
                        (0..model.next).any(|number| script_sizes(number).any(|known| known == **frame))
                    })
                });
                assert!(is_prefix, "operation {operation} to {file} at {offset}: {found:?}");
            }
        }
    }
}

#[test]
fn one_write_carries_all_records_of_an_append() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    let before = disk.operations();
    log.append_all(&[record(0, 100), record(1, 0), record(2, 1)]).expect("room");
    assert_eq!(disk.operations() - before, 1);
    log.sync().expect("works");
    log.sync().expect("works");
    assert_eq!(disk.operations() - before, 2, "a sync that has nothing to do asks nothing of the disk");
    assert_eq!(log.append_all(&[]), Ok(Position(3)));
    assert_eq!(disk.operations() - before, 2);
}

#[test]
fn space_is_given_back_at_every_checkpoint() {
    let disk = FaultyDisk::new();
    let settings = LogSettings { segment_bytes_max: 64 << 10, reserve_bytes: 8 << 10 };
    let mut log = open_with(&disk, settings).expect("empty");
    for number in 0..2000 {
        log.append(record(number, 1000)).expect("room");
        if number % 50 == 49 {
            log.truncate_front(Position(number - 20)).expect("in range");
            assert!(disk.bytes() < 3 * (72 << 10), "{}", disk.bytes());
        }
    }
    assert_eq!(held(&open_with(&disk, settings).expect("intact")).expect("readable").len(), 21);
}

#[test]
fn a_record_larger_than_any_message_is_refused() {
    let mut log = open(&FaultyDisk::new()).expect("empty");
    let error = log.append(record(0, quorate_types::wire::PAYLOAD_BYTES_MAX + 1)).expect_err("too large");
    assert!(error.to_string().ends_with("bytes is larger than any that could be read back"), "{error}");
    assert_eq!((log.end(), log.append(record(0, 10))), (Position(0), Ok(Position(0))));
}

#[test]
fn a_reserve_is_no_torn_tail_and_is_given_up_when_the_disk_is_full() {
    let disk = FaultyDisk::new();
    let settings = LogSettings { segment_bytes_max: 20_000, reserve_bytes: 4096 };
    let mut log = open_with(&disk, settings).expect("empty");
    log.append(record(0, 100)).expect("room");
    log.sync().expect("works");
    assert!(disk.bytes() > 1536 + 4096);
    let log = DiskLog::open(Box::new(disk.files()), identity(), settings).expect("intact");
    assert_eq!(held(&log).expect("readable").len(), 1);
    assert!(disk.bytes() < 1536 + 200);
    let mut log = open_with(&disk, settings).expect("intact");
    disk.set_bytes_max(Some(disk.bytes() + 1000));
    log.append(record(1, 800)).expect("room for the record, if not for the reserve");
    assert!(matches!(log.append(record(2, 800)), Err(StoreError::Full { .. })));
    assert_eq!(log.end(), Position(2));
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8)>> {
    let step = prop_oneof![
        8 => prop::collection::vec(0..900_usize, 0..4).prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => Just(Step::Seal),
        1 => (0..12_u64).prop_map(Step::TruncateFront),
        1 => (0..5_u64).prop_map(Step::TruncateTail),
    ];
    prop::collection::vec((step, any::<u8>()), 0..50)
}

proptest! {
    #[test]
    fn the_log_is_what_a_plain_list_would_be_over_crashes_and_restarts(steps in steps(), seed in 2..u64::MAX / 2) {
        let disk = FaultyDisk::new();
        let mut log = open(&disk).expect("empty");
        let mut model = Model::default();
        let mut choose = choices(seed);
        for (step, fate) in steps {
            let before = model.clone();
            if fate < 40 {
                disk.plan(disk.operations() + u64::from(fate) % 4, Fault::PowerLoss);
            }
            let result = model.step(&mut log, &step);
            if result.is_err() || fate > 240 {
                disk.power_on(&mut choose);
                disk.forget_faults();
                (log, model) = recovered(&disk, &before, &model, "a random walk");
            }
            assert_same(&log, &model);
        }
        disk.forget_faults();
        let log = open(&disk).expect("intact");
        assert_same(&log, &model);
    }
}

/// A sync that fails after the segment was shortened leaves the reserve behind the last record, once the power fails. The
/// process between saw the file shortened and had no reason to do it again.
#[test]
fn a_reserve_that_comes_back_behind_a_segment_is_no_damage() {
    let disk = FaultyDisk::new();
    let settings = LogSettings { segment_bytes_max: 4000, reserve_bytes: 1000 };
    let mut log = open_with(&disk, settings).unwrap();
    log.append(record(0, 500)).unwrap();
    log.sync().unwrap();
    // The next append rolls: it shortens the file, then syncs it.
    disk.plan(disk.operations() + 1, Fault::Failure);
    assert!(matches!(log.append(record(1, 3000)), Err(StoreError::Failed { .. })));
    let mut log = open_with(&disk, settings).unwrap();
    log.append(record(1, 3000)).unwrap();
    log.sync().unwrap();
    disk.power_on(&mut choices(0));
    let log = open_with(&disk, settings).unwrap();
    assert_eq!(held(&log).unwrap(), [(0, record(0, 500)), (1, record(1, 3000))]);
}

/// The disk is full when a segment is begun, and the power fails before its remains are removed.
#[test]
fn a_segment_that_found_no_room_is_no_damage() {
    for room in [0, 7, 100, 200, 445, 512, 600, 1024, 1300] {
        let disk = FaultyDisk::new();
        let mut log = open(&disk).unwrap();
        log.append(record(0, 500)).unwrap();
        log.sync().unwrap();
        disk.set_bytes_max(Some(disk.bytes() + room));
        // The next append rolls: sync, create, write, and remove what was written.
        disk.plan(disk.operations() + 3, Fault::PowerLoss);
        assert!(log.append(record(1, 2500)).is_err(), "room for {room} bytes");
        disk.set_bytes_max(None);
        disk.power_on(&mut choices(1));
        let mut log = open(&disk).unwrap_or_else(|error| panic!("room for {room} bytes: {error}"));
        assert_eq!(held(&log).unwrap(), [(0, record(0, 500))]);
        log.append(record(1, 2500)).unwrap();
        log.sync().unwrap();
    }
}
