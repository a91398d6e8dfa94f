//! What becomes of a replica whose state machine panics?

use quorate_machine::{
    ApplicationFactory, BlockContext, ChunkReader, ChunkSink, Content, Context, Frozen, MemoryChunks,
    OpenSnapshot, Outcome, Request, RestoreError, Runner, RunnerError, Snapshot, StateMachine, Typed,
    chunk_stream, content_of, decode, encode, root_of,
};
use quorate_types::{Digest, Height, PublicKey, RequestNumber, Time};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Adds up; panics half-way through a change.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Fragile {
    total: u64,
    halves: u64,
}

const PANIC: u64 = 13;

impl StateMachine for Fragile {
    type Command = u64;
    type Reply = u64;
    type Query = u64;
    type Answer = u64;
    fn apply(&mut self, add: u64, _: &Context) -> u64 {
        self.halves += 1;
        assert!(add != PANIC, "unlucky");
        self.halves -= 1;
        self.total += add;
        self.total
    }
    fn query(&self, divisor: u64) -> u64 {
        self.total / divisor
    }
}

fn block(height: u64) -> BlockContext {
    BlockContext { height: Height(height), time: Time(height), digest: Digest([height as u8; 32]) }
}

/// Each command comes from a client of its own.
fn requests(commands: &[u64]) -> Vec<Request> {
    let request = |(command, number): (&u64, u8)| Request {
        client: PublicKey([number; 32]),
        number: RequestNumber(1),
        command: encode(command, 10).expect("short").into(),
    };
    commands.iter().zip(1..).map(request).collect()
}

/// The totals, `None` for a panic.
fn totals(outcomes: &[Outcome]) -> Vec<Option<u64>> {
    let total = |outcome: &Outcome| match outcome {
        Outcome::Executed(bytes) => Some(decode(bytes).expect("a number")),
        Outcome::Panicked => None,
        other => panic!("{other:?}"),
    };
    outcomes.iter().map(total).collect()
}

fn runner<S: StateMachine + Default>() -> Runner {
    Runner::new(ApplicationFactory::new(S::default)).expect("makes its initial state")
}

fn execute(runner: &mut Runner, height: u64, commands: &[u64]) -> Vec<Option<u64>> {
    totals(&runner.execute(block(height), requests(commands)).expect("goes on"))
}

fn state(runner: &Runner) -> (u64, u64) {
    let machine = Typed::<Fragile>::machine_in(runner.application()).expect("its type");
    (machine.total, machine.halves)
}

fn snapshot(runner: &mut Runner, height: u64) -> (MemoryChunks, Content) {
    let mut chunks = MemoryChunks::default();
    let frozen = runner.freeze(Height(height)).expect("freezes");
    let content = content_of(frozen, &mut chunks).expect("memory takes it");
    (chunks, content)
}

fn opener((chunks, content): (MemoryChunks, Content), opened: &Arc<AtomicU64>) -> OpenSnapshot {
    let (chunks, opened) = (Arc::new(chunks), Arc::clone(opened));
    Box::new(move || {
        opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(ChunkReader::new(Arc::clone(&chunks), &content)))
    })
}

#[test]
fn a_command_that_panics_is_rejected_and_has_no_effect() {
    let mut runner = runner::<Fragile>();
    assert_eq!(execute(&mut runner, 1, &[1, PANIC, 2]), [Some(1), None, Some(3)]);
    assert_eq!(state(&runner), (3, 0));
    assert_eq!(execute(&mut runner, 2, &[PANIC, PANIC]), [None, None]);
    assert_eq!(execute(&mut runner, 4, &[PANIC, 5, PANIC]), [None, Some(8), None]);
    assert_eq!((state(&runner), runner.height()), ((8, 0), Some(Height(4))));
}

#[test]
fn after_a_panic_the_rest_of_its_client_in_this_block_is_rejected_too() {
    let mut runner = runner::<Fragile>();
    let mut block_1 = requests(&[1, PANIC, 2, 4, 8]);
    for request in [0, 1, 3] {
        block_1[request].client = PublicKey([9; 32]);
    }
    let outcomes = totals(&runner.execute(block(1), block_1).expect("goes on"));
    assert_eq!(outcomes, [Some(1), None, Some(3), None, Some(11)]);
    let mut block_2 = requests(&[16]);
    block_2[0].client = PublicKey([9; 32]);
    assert_eq!(totals(&runner.execute(block(2), block_2).expect("goes on")), [Some(27)]);
}

#[test]
fn a_panic_is_the_same_for_a_replica_with_and_without_a_snapshot() {
    let opened = Arc::default();
    let (mut with, mut without) = (runner::<Fragile>(), runner::<Fragile>());
    for runner in [&mut with, &mut without] {
        execute(runner, 1, &[1, PANIC]);
        execute(runner, 2, &[2]);
    }
    let taken = opener(snapshot(&mut with, 2), &opened);
    execute(&mut with, 3, &[PANIC, 3]);
    execute(&mut without, 3, &[PANIC, 3]);
    with.on_snapshot_durable(Height(2), taken);
    assert_eq!((with.history_len(), without.history_len()), (2, 5), "only what follows the snapshot");
    for runner in [&mut with, &mut without] {
        assert_eq!(execute(runner, 4, &[4, PANIC]), [Some(10), None]);
    }
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    let root = |runner: &mut Runner| root_of(runner.freeze(Height(4)).expect("freezes")).expect("hashes");
    assert_eq!(root(&mut with), root(&mut without));
}

#[test]
fn a_replica_goes_on_from_a_snapshot_of_another() {
    let opened = Arc::default();
    let mut source = runner::<Fragile>();
    execute(&mut source, 1, &[40]);
    let taken = snapshot(&mut source, 1);
    let mut joined = runner::<Fragile>();
    joined.restore(Height(1), opener(taken.clone(), &opened)).expect("restores");
    assert_eq!(joined.height(), Some(Height(1)));
    assert_eq!(execute(&mut joined, 2, &[2, PANIC]), [Some(42), None]);
    assert_eq!(opened.load(Ordering::Relaxed), 2, "once to begin with, once after the panic");

    let older = opener(taken, &opened);
    joined.on_snapshot_durable(Height(0), older);
    assert_eq!(execute(&mut joined, 3, &[PANIC]), [None]);
    assert_eq!(state(&joined), (42, 0), "an older snapshot does not replace a newer one");
}

#[test]
fn a_snapshot_that_cannot_be_read_leaves_the_state_as_it_was() {
    let mut runner = runner::<Fragile>();
    execute(&mut runner, 1, &[5]);
    let missing: OpenSnapshot = Box::new(|| Err(io::ErrorKind::NotFound.into()));
    let error = runner.restore(Height(9), missing).expect_err("not there");
    assert!(matches!(error, RunnerError::Open { height: Height(9), .. }), "{error}");
    let broken: OpenSnapshot = Box::new(|| Ok(Box::new(&[0x80_u8][..])));
    let error = runner.restore(Height(9), broken).expect_err("no state");
    assert!(error.to_string().starts_with("the snapshot at height 9 cannot be restored"), "{error}");
    assert_eq!(execute(&mut runner, 2, &[PANIC, 1]), [None, Some(6)]);
}

#[test]
fn after_a_panic_a_snapshot_that_is_gone_stops_the_replica() {
    let mut runner = runner::<Fragile>();
    execute(&mut runner, 1, &[5]);
    runner.on_snapshot_durable(Height(1), Box::new(|| Err(io::ErrorKind::NotFound.into())));
    let error = runner.execute(block(2), requests(&[PANIC])).expect_err("no state is left");
    assert!(matches!(error, RunnerError::Open { .. }), "{error}");
}

#[test]
fn a_query_that_panics_changes_nothing() {
    let mut runner = runner::<Fragile>();
    execute(&mut runner, 1, &[6]);
    let query = |divisor: u64| runner.query(&encode(&divisor, 10).expect("short"));
    assert_eq!(query(0), Outcome::Panicked);
    assert_eq!(totals(&[query(2)]), [Some(3)]);
    assert_eq!(runner.query(&[0x80]), Outcome::Malformed);
}

#[test]
#[should_panic(expected = "blocks are executed in their order")]
fn a_block_is_not_executed_twice() {
    let mut runner = runner::<Fragile>();
    execute(&mut runner, 2, &[1]);
    execute(&mut runner, 2, &[1]);
}

static GLOBAL: AtomicU64 = AtomicU64::new(0);

/// Replies with a global.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Global;

impl StateMachine for Global {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = ();
    fn apply(&mut self, command: u64, _: &Context) -> u64 {
        assert!(command != PANIC, "unlucky");
        GLOBAL.fetch_add(1, Ordering::Relaxed)
    }
    fn query(&self, (): ()) {}
}

#[test]
fn another_reply_the_second_time_stops_the_replica_and_is_named() {
    let mut runner = runner::<Global>();
    let error = runner.execute(block(3), requests(&[1, PANIC])).expect_err("not reproduced");
    let text = error.to_string();
    assert!(
        text.starts_with(
            "the state machine is not deterministic: request 1 of client 0101010101010101 at \
             height 3, executed again, gives another reply"
        ),
        "{text}"
    );
}

static IS_AGAIN: AtomicBool = AtomicBool::new(false);

/// Panics on what went well the first time.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Moody;

impl StateMachine for Moody {
    type Command = u64;
    type Reply = ();
    type Query = ();
    type Answer = ();
    fn apply(&mut self, command: u64, _: &Context) {
        assert!(!IS_AGAIN.load(Ordering::Relaxed), "not in the mood");
        if command == PANIC {
            IS_AGAIN.store(true, Ordering::Relaxed);
            panic!("unlucky");
        }
    }
    fn query(&self, (): ()) {}
}

#[test]
fn a_panic_that_was_none_the_first_time_stops_the_replica() {
    let mut runner = runner::<Moody>();
    let error = runner.execute(block(3), requests(&[1, PANIC])).expect_err("not reproduced");
    assert!(error.to_string().contains("executed again, panics: not in the mood"), "{error}");
}

/// Panics in everything around a snapshot.
struct Unwritable;

impl Snapshot for Unwritable {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        panic!("no snapshot")
    }
    fn restore(_: &mut dyn io::Read) -> Result<Self, RestoreError> {
        panic!("no restore")
    }
}

impl StateMachine for Unwritable {
    type Command = ();
    type Reply = ();
    type Query = ();
    type Answer = ();
    fn apply(&mut self, (): (), _: &Context) {}
    fn query(&self, (): ()) {}
}

#[test]
fn a_panic_around_a_snapshot_is_an_error_that_says_where() {
    let mut runner = Runner::new(ApplicationFactory::new(|| Unwritable)).expect("makes it");
    let error = runner.freeze(Height(4)).err().expect("panics").to_string();
    assert!(error.contains("panicked on a snapshot at height 4: no snapshot; mend"), "{error}");
    let open: OpenSnapshot = Box::new(|| Ok(Box::new(io::empty())));
    let error = runner.restore(Height(4), open).expect_err("panics").to_string();
    assert!(error.contains("panicked on restoring the snapshot at height 4: no restore"), "{error}");
    let factory = ApplicationFactory::new(|| -> Fragile { panic!("no state") });
    let error = Runner::new(factory).expect_err("panics").to_string();
    assert!(error.contains("panicked on the initial state: no state"), "{error}");
}

/// The frozen form is not used here; it shows that one without `Clone` runs as well.
struct Bare(u64);

impl Snapshot for Bare {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        Box::new(Self(self.0))
    }
    fn restore(source: &mut dyn io::Read) -> Result<Self, RestoreError> {
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes)?;
        Ok(Self(u64::from_le_bytes(bytes)))
    }
}

impl Frozen for Bare {
    fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
        chunk_stream(out, |out| out.write_all(&self.0.to_le_bytes()))
    }
}

impl StateMachine for Bare {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = ();
    fn apply(&mut self, add: u64, _: &Context) -> u64 {
        self.0 += add;
        assert!(add != PANIC, "unlucky");
        self.0
    }
    fn query(&self, (): ()) {}
}

#[test]
fn a_state_that_cannot_be_cloned_recovers_too() {
    let mut runner = Runner::new(ApplicationFactory::new(|| Bare(100))).expect("makes it");
    assert_eq!(execute(&mut runner, 1, &[1, PANIC]), [Some(101), None]);
    let taken = opener(snapshot(&mut runner, 1), &Arc::default());
    runner.on_snapshot_durable(Height(1), taken);
    assert_eq!(execute(&mut runner, 2, &[PANIC, 1]), [None, Some(102)]);
}
