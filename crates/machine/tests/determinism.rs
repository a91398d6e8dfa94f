//! Does the determinism check find the machines that would stop a cluster?

use quorate_machine::determinism::{Divergence, Moment, check_determinism};
use quorate_machine::{Context, Outcome, StateMachine};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
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
