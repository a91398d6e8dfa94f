//! Does the determinism check find the machines that would stop a cluster?

use quorate_machine::determinism::{Divergence, Moment, Run, check_determinism, check_in_this_process};
use quorate_machine::{ChunkId, ChunkSink, Context, Frozen, Outcome, RestoreError, Snapshot, StateMachine};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// A machine with a name and a one-line `apply`; queries do not matter here.
macro_rules! machine {
    ($(#[$meta:meta])* $name:ident { $($(#[$on:meta])* $field:ident: $kind:ty),* }, $command:ty => $reply:ty, |$self:ident, $input:ident, $context:ident| $body:expr) => {
        $(#[$meta])*
        #[derive(Default, Clone, Serialize, Deserialize)]
        struct $name { $($(#[$on])* $field: $kind),* }
        impl StateMachine for $name {
            type Command = $command;
            type Reply = $reply;
            type Query = ();
            type Answer = ();
            fn apply(&mut $self, $input: $command, $context: &Context) -> $reply { $body }
            fn query(&self, _: ()) {}
        }
    };
}

machine!(Dice { rolls: Vec<u64>, owners: BTreeMap<u64, u64> }, u64 => u64, |self, sides, context| {
    let rolled = context.random().below(sides) + context.random().below(sides);
    self.rolls.push(rolled + context.time().0);
    self.owners.insert(rolled, context.height().0);
    rolled
});

#[test]
fn a_machine_that_uses_only_its_context_passes() {
    check_determinism(Dice::default, 1..40).expect("deterministic");
    check_determinism(Dice::default, []).expect("nothing to differ");
    check_determinism(Dice::default, [6]).expect("deterministic");
}

static REQUESTS_SEEN: AtomicU64 = AtomicU64::new(0);

machine!(Global { last: u64 }, u64 => u64, |self, add, _context| {
    if add == 3 { self.last = REQUESTS_SEEN.fetch_add(1, Ordering::Relaxed); }
    self.last
});

#[test]
fn a_global_is_found_at_the_first_command_that_reads_it() {
    let found = check_determinism(Global::default, 0..8).expect_err("not deterministic");
    assert!(matches!(found, Divergence::Reply { index: 3, first: Outcome::Executed(_), .. }), "{found}");
    assert!(found.to_string().starts_with("command 3 got different replies: "), "{found}");
}

machine!(Unordered { names: HashMap<u64, u64> }, u64 => usize, |self, name, _context| {
    self.names.insert(name, name);
    self.names.len()
});

#[test]
fn the_order_of_a_hash_map_is_found_in_the_state_root() {
    let found = check_determinism(Unordered::default, 0..100).expect_err("not deterministic");
    assert!(matches!(found, Divergence::Root { moment: Moment::Applied { .. }, .. }), "{found}");
}

machine!(MapCommand { size: usize }, HashMap<u64, u64> => usize, |self, names, _context| {
    self.size += names.len();
    self.size
});

#[test]
fn the_order_of_a_hash_map_is_found_in_a_command() {
    let names: HashMap<u64, u64> = (0..50).map(|name| (name, name)).collect();
    let found = check_determinism(MapCommand::default, [names]).expect_err("no canonical encoding");
    assert!(matches!(found, Divergence::Rejected { index: 0, outcome: Outcome::Malformed }), "{found}");
}

machine!(Forgetful { kept: u64, #[serde(skip)] forgotten: u64 }, u64 => u64, |self, add, _context| {
    self.kept += add;
    self.forgotten += add;
    self.forgotten
});

#[test]
fn state_that_no_snapshot_carries_is_found_after_the_restore() {
    let found = check_determinism(Forgetful::default, [1; 10]).expect_err("not deterministic");
    assert!(matches!(found, Divergence::Reply { index: 5, .. }), "{found}");
}

static STARTS: AtomicU64 = AtomicU64::new(0);

#[test]
fn an_initial_state_that_differs_is_found_before_the_first_command() {
    let make = || Dice { rolls: vec![STARTS.fetch_add(1, Ordering::Relaxed)], ..Dice::default() };
    let found = check_determinism(make, [6]).expect_err("not deterministic");
    assert!(found.to_string().starts_with("the state roots differ before the first command"), "{found}");
}

static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

machine!(Seeded { last: u64 }, u64 => u64, |self, value, _context| {
    if value == 4 { self.last = SEED.hash_one(value); }
    self.last
});

#[test]
fn a_seed_that_is_the_same_throughout_a_process_is_found_by_another() {
    check_in_this_process(Seeded::default, 0..8).expect("nothing differs here");
    let found = check_determinism(Seeded::default, 0..8).expect_err("not deterministic");
    assert!(matches!(found, Divergence::Reply { index: 4, run: Run::OtherProcess, .. }), "{found}");
    assert!(found.to_string().contains(", and in another process Executed("), "{found}");
}

machine!(Addressed { seen: u64 }, u64 => u64, |self, value, _context| {
    self.seen = std::process::id().into();
    value
});

#[test]
fn state_that_differs_between_processes_is_found_in_the_root() {
    let found = check_determinism(Addressed::default, 0..8).expect_err("not deterministic");
    let first = Moment::Applied { index: 0 };
    assert!(
        matches!(found, Divergence::Root { moment, run: Run::OtherProcess, .. } if moment == first),
        "{found}"
    );
}

#[test]
fn an_initial_state_that_differs_between_processes_is_found_before_the_first_command() {
    let make = || Addressed { seen: std::process::id().into() };
    let found = check_determinism(make, []).expect_err("not deterministic");
    let at_start = Moment::Start;
    assert!(
        matches!(found, Divergence::Root { moment, run: Run::OtherProcess, .. } if moment == at_start),
        "{found}"
    );
}

#[test]
fn each_of_several_checks_in_one_test_has_its_own_process() {
    check_determinism(Dice::default, 1..4).expect("deterministic");
    check_determinism(Seeded::default, [1, 2]).expect("never reads its seed");
    let chance = RandomState::new().hash_one(0);
    check_determinism(Dice::default, [1 + chance % 100]).expect("the other process gets these commands");
}

#[test]
fn a_check_on_a_thread_of_no_test_says_what_to_do() {
    let check = || check_determinism(Dice::default, 1..4).expect_err("cannot be started again");
    let on = |name: Option<&str>| {
        let builder = name
            .map_or_else(std::thread::Builder::new, |name| std::thread::Builder::new().name(name.to_owned()));
        builder.spawn(check).expect("a thread").join().expect("no panic").to_string()
    };
    assert!(on(None).contains("this thread has no name"), "{}", on(None));
    let named = on(Some("worker"));
    assert!(named.contains("without reaching the check; its last words: "), "{named}");
    assert!(named.ends_with("call check_in_this_process"), "{named}");
}

machine!(Fragile { total: u64 }, u64 => u64, |self, divisor, _context| {
    self.total += 10 / divisor;
    self.total
});

#[test]
fn a_panic_is_found_with_its_command() {
    let found = check_determinism(Fragile::default, [2, 1, 0]).expect_err("panics");
    assert_eq!(found.to_string(), "the machine panics on command 2: attempt to divide by zero");
}

machine!(FragileThere { total: u64 }, u32 => u64, |self, id, _context| {
    assert_eq!(id, std::process::id());
    self.total
});

#[test]
fn a_panic_in_the_other_process_alone_is_told() {
    let found = check_determinism(FragileThere::default, [std::process::id()]).expect_err("panics there");
    let text = found.to_string();
    assert!(
        text.starts_with("after command 0, only the run in another process fails: the machine"),
        "{text}"
    );
}

/// Remembers the id of its one chunk, and does not forget it when the state changes.
struct Stale {
    total: u64,
    id: ChunkId,
}

impl Snapshot for Stale {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        Box::new(Self { ..*self })
    }
    fn restore(source: &mut dyn io::Read) -> Result<Self, RestoreError> {
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes)?;
        Ok(Self { total: u64::from_le_bytes(bytes), id: ChunkId::of(&bytes) })
    }
}

impl Frozen for Stale {
    fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
        if !out.reuse(&self.id)? {
            out.chunk(&self.total.to_le_bytes())?;
        }
        Ok(())
    }
}

impl StateMachine for Stale {
    type Command = u64;
    type Reply = ();
    type Query = ();
    type Answer = ();
    fn apply(&mut self, add: u64, _: &Context) {
        self.total += add;
    }
    fn query(&self, (): ()) {}
}

#[test]
fn a_chunk_id_that_outlives_its_chunk_is_found() {
    let make = || Stale { total: 0, id: ChunkId::of(&[0; 8]) };
    let found = check_determinism(make, [0, 0, 5, 0, 0, 0]).expect_err("the root does not follow the state");
    let changed = Moment::Applied { index: 2 };
    assert!(matches!(found, Divergence::Root { moment, .. } if moment == changed), "{found}");
}
