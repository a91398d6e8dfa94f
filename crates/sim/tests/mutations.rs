//! Would the simulator notice? Each seeded bug of the core must be caught within a number of seeds.

use quorate_consensus::mutation::{Mutation, select};
use quorate_sim::{AttackChoice, Crypto, Plan, Violation, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds after which a bug counts as not caught.
const SEEDS_MAX: u64 = 10_000;

/// Bugs that the simulator cannot see, each with the rule test that catches it: statuses tell what every replica
/// asked for, so that in the short faults of a plan replicas meet in a view in spite of this one
/// (`x2_` in `crates/consensus/tests/rules_view_change.rs`).
const UNSEEN: &[Mutation] = &[Mutation::OnlyLatestViewChange];

/// Names the only bug to hunt, if it is set.
const ONLY: &str = "QUORATE_MUTATION";

/// Runs seeds with one bug until a property breaks. The selector belongs to this thread.
fn hunt(mutation: Mutation) -> Option<(u64, Violation)> {
    select(Some(mutation));
    let found = (0..SEEDS_MAX).find_map(|seed| {
        let report = run(&Plan::generate(seed, 4, Crypto::Fast, AttackChoice::All));
        report.violation.map(|(violation, _)| (seed + 1, violation))
    });
    select(None);
    found
}

#[test]
fn every_seeded_bug_is_caught() {
    let only = std::env::var(ONLY).ok();
    let is_wanted = |mutation: &&Mutation| only.as_ref().is_none_or(|name| format!("{mutation:?}") == *name);
    let is_seen = |mutation: &&Mutation| !UNSEEN.contains(mutation);
    let mutations: Vec<Mutation> = Mutation::ALL.iter().filter(is_wanted).filter(is_seen).copied().collect();
    let (next, caught) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutation) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt(*mutation);
                    report(&row(*mutation, &found));
                    caught.lock().expect("no thread panicked").push((*mutation, found));
                }
            });
        }
    });
    let mut caught = caught.into_inner().expect("no thread panicked");
    caught.sort_by_key(|(mutation, _)| *mutation);
    let rows = caught.iter().map(|(mutation, found)| row(*mutation, found));
    let table = rows.collect::<Vec<_>>().join("\n");
    assert!(
        caught.iter().all(|(_, found)| found.is_some()),
        "bug, seeds until it was caught, property\n{table}"
    );
}

fn row(mutation: Mutation, found: &Option<(u64, Violation)>) -> String {
    let name = format!("{mutation:?}");
    match found {
        Some((seeds, violation)) => format!("{name:<24} {seeds:>6}  {}", violation.property),
        None => format!("{name:<24}   NOT CAUGHT in {SEEDS_MAX} seeds"),
    }
}

#[allow(clippy::print_stdout)]
fn report(row: &str) {
    println!("{row}");
}
