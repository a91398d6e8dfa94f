//! Does one sync cover all that is queued, and does every failure of the log end the replica with a
//! sentence?

use quorate_consensus::{Input, Record};
use quorate_store::{Log, MemoryDisk, MemoryLog, Position, Records, StoreError};
use quorate_types::{Frame, ReplicaId, View};
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

use super::Journal;
use crate::Durability;
use crate::threads::{Done, Threads};

#[test]
fn a_fresh_log_is_marked_durably_and_a_lost_one_stays_empty() {
    let disk = MemoryDisk::new();
    assert!(records_on(&disk).is_empty());
    let opened = Journal::open(Box::new(disk.open()), true).expect("opens");
    assert_eq!(opened.recovered.records, [Record::Init]);
    disk.crash();
    assert_eq!(records_on(&disk), [Record::Init]);
}

#[test]
fn a_damaged_record_is_named() {
    let disk = MemoryDisk::new();
    let damaged = Frame { head: vec![0xff].into(), payload: bytes::Bytes::new() };
    disk.open().append(damaged).expect("room");
    let why = Journal::open(Box::new(disk.open()), true).err().expect("damaged");
    assert!(why.starts_with("record 0 is damaged"), "{why}");
}

#[test]
fn a_log_in_memory_is_written_at_once() {
    let disk = MemoryDisk::new();
    let mut scene = Scene::start(Box::new(disk.open()), Durability::Memory);
    assert!(scene.journal.hand_over().expect("nothing to do").is_none());
    scene.append(1..=3);
    let persisted = scene.journal.hand_over().expect("room");
    assert!(matches!(persisted, Some(Input::Persisted(4))), "{persisted:?}");
    disk.crash();
    assert_eq!(records_on(&disk).len(), 4, "the mark and three");
}

#[test]
fn the_core_goes_on_while_a_sync_runs_and_the_next_covers_all_that_came_meanwhile() {
    let disk = MemoryDisk::new();
    let (log, gate) = SlowLog::new(disk.open());
    let mut scene = Scene::start(Box::new(log), Durability::Sync);
    gate.began.recv().expect("the mark is synced");
    scene.append(1..=2);
    scene.hand_over();
    gate.began.recv().expect("the first sync begins");
    for number in 3..=7 {
        scene.append(number..=number);
        scene.hand_over();
    }
    assert!(scene.done.try_recv().is_err(), "nothing is durable yet");
    gate.let_go();
    assert_eq!(scene.persisted(), 2);
    gate.began.recv().expect("the second sync begins");
    gate.let_go();
    assert_eq!(scene.persisted(), 7, "five hand-overs, one sync");
    let status = scene.journal.status();
    assert_eq!((status.syncs, status.records), (2, 7));
    assert_eq!(status.bytes_held, disk.bytes());
    assert!(status.bytes > 0 && status.sync_us_max <= status.sync_us_total);
    scene.journal.stop();
}

#[test]
fn what_a_crash_leaves_is_what_was_reported_durable() {
    let disk = MemoryDisk::new();
    let (log, gate) = SlowLog::new(disk.open());
    let mut scene = Scene::start(Box::new(log), Durability::Sync);
    gate.began.recv().expect("the mark is synced");
    scene.append(1..=1);
    scene.hand_over();
    gate.began.recv().expect("a sync begins");
    gate.let_go();
    assert_eq!(scene.persisted(), 1);
    scene.append(2..=2);
    scene.hand_over();
    gate.began.recv().expect("a sync begins");
    disk.crash();
    gate.let_go();
    assert!(scene.failure().contains("closed by a crash"));
    assert_eq!(records_on(&disk).len(), 2, "the mark and record 1");
}

#[test]
fn truncation_goes_by_the_cores_numbers_over_restarts() {
    for durability in [Durability::Memory, Durability::Sync] {
        let disk = MemoryDisk::new();
        let mut scene = Scene::start(Box::new(disk.open()), durability);
        scene.write(1..=4);
        scene.journal.stop();
        // Numbers go on behind the five records.
        let mut scene = Scene::start(Box::new(disk.open()), durability);
        scene.append(1..=3);
        let base = scene.base;
        scene.journal.truncate(base + 2);
        scene.journal.truncate(base + 1);
        scene.write(4..=4);
        // A thread truncates after it has told what is durable, and before it writes on.
        scene.write(5..=5);
        scene.journal.stop();
        let views: Vec<Record> = (2..=5).map(record).collect();
        assert_eq!(records_on(&disk), views, "{durability}");
    }
}

#[test]
fn a_full_disk_ends_the_replica_with_a_sentence_that_says_what_to_do() {
    for durability in [Durability::Memory, Durability::Sync] {
        let mark = MemoryDisk::new();
        drop(Journal::open(Box::new(mark.open()), true));
        let disk = MemoryDisk::with_bytes_max(mark.bytes() + 8);
        let mut scene = Scene::start(Box::new(disk.open()), durability);
        scene.append(1..=100);
        let why = match scene.journal.hand_over() {
            Err(why) => why,
            Ok(_) => scene.failure(),
        };
        assert!(why.contains("is full") && why.contains("nothing is lost: free space"), "{why}");
    }
}

/// A journal, and what its thread gives back.
struct Scene {
    journal: Journal,
    done: mpsc::UnboundedReceiver<Done>,
    /// The core's number of the last record that was there at the start.
    base: u64,
}

impl Scene {
    fn start(log: Box<dyn Log>, durability: Durability) -> Self {
        let (sender, done) = mpsc::unbounded_channel();
        let threads = Threads { replica: ReplicaId(0), meter: Arc::default(), done: sender };
        let (recovered, writer) = Journal::open(log, true).expect("opens").split();
        let base = recovered.first + recovered.records.len() as u64;
        Self { journal: Journal::start(&threads, writer, durability).expect("a thread"), done, base }
    }

    fn append(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let base = self.base;
        numbers.into_iter().for_each(|number| self.journal.append(base + number, record(number)));
    }

    fn hand_over(&mut self) {
        assert!(self.journal.hand_over().expect("it runs").is_none());
    }

    /// Appends and waits until the last of the numbers is durable.
    fn write(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        let last = *numbers.end();
        self.append(numbers);
        let mut durable = match self.journal.hand_over().expect("room") {
            Some(Input::Persisted(number)) => number,
            _ => 0,
        };
        while durable < last {
            durable = self.persisted();
        }
    }

    fn persisted(&mut self) -> u64 {
        match self.done.blocking_recv() {
            Some(Done::Inputs(inputs)) => match inputs[..] {
                [Input::Persisted(number)] => number - self.base,
                _ => panic!("one number: {inputs:?}"),
            },
            other => panic!("no failure: {other:?}"),
        }
    }

    fn failure(&mut self) -> String {
        match self.done.blocking_recv() {
            Some(Done::Failed(why)) => why,
            other => panic!("a failure: {other:?}"),
        }
    }
}

/// A log whose syncs, but for the first, wait until they are let go.
struct SlowLog {
    log: MemoryLog,
    began: std_mpsc::Sender<()>,
    go: Mutex<std_mpsc::Receiver<()>>,
}

struct Gate {
    began: std_mpsc::Receiver<()>,
    go: std_mpsc::Sender<()>,
}

impl Gate {
    fn let_go(&self) {
        self.go.send(()).expect("a sync waits");
    }
}

impl SlowLog {
    fn new(log: MemoryLog) -> (Self, Gate) {
        let (began_sender, began) = std_mpsc::channel();
        let (go, go_receiver) = std_mpsc::channel();
        // The mark of a fresh start.
        go.send(()).expect("it is there");
        (Self { log, began: began_sender, go: Mutex::new(go_receiver) }, Gate { began, go })
    }
}

impl Log for SlowLog {
    fn append_all(&mut self, records: &[Frame]) -> Result<Position, StoreError> {
        self.log.append_all(records)
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        self.began.send(()).map_err(|_| StoreError::Closed)?;
        self.go.get_mut().expect("not poisoned").recv().map_err(|_| StoreError::Closed)?;
        self.log.sync()
    }
    fn seal(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
    fn read(&self, from: Position) -> Result<Records<'_>, StoreError> {
        self.log.read(from)
    }
    fn truncate_front(&mut self, first: Position) -> Result<(), StoreError> {
        self.log.truncate_front(first)
    }
    fn truncate_tail(&mut self, end: Position) -> Result<(), StoreError> {
        self.log.truncate_tail(end)
    }
    fn first(&self) -> Position {
        self.log.first()
    }
    fn end(&self) -> Position {
        self.log.end()
    }
    fn bytes(&self) -> u64 {
        self.log.bytes()
    }
}

fn record(number: u64) -> Record {
    Record::Entered(View(number))
}

fn records_on(disk: &MemoryDisk) -> Vec<Record> {
    Journal::open(Box::new(disk.open()), false).expect("opens").recovered.records
}
