//! Would the simulator notice? Each seeded bug of the core must be caught within a number of seeds.

use quorate_attack::Attack;
use quorate_consensus::mutation::{Mutation, select};
use quorate_sim::{AttackChoice, Crypto, Plan, Sim, Violation, run};
use quorate_types::ReplicaId;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Seeds after which a bug counts as not caught.
const SEEDS_MAX: u64 = 10_000;

/// Bugs that need more patience than a plan has; a scenario of their own shows them.
const SLOW: &[Mutation] = &[Mutation::OnlyLatestViewChange];

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
    let is_seen = |mutation: &&Mutation| !SLOW.contains(mutation);
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

/// One replica is alone for long with work to do, then has to meet the two others; the fourth is silent.
fn meet_again(mutation: Option<Mutation>) -> bool {
    select(mutation);
    let mut sim = Sim::new(4, 1);
    sim.byzantine(ReplicaId(3), Attack::Silent);
    sim.client("alice").submit(1);
    sim.run_until_done().expect("three replicas are enough");
    let before = sim.status(ReplicaId(1)).committed;
    for other in [0, 2] {
        sim.replica(ReplicaId(other)).stop();
    }
    sim.client("alice").submit(2);
    let is_well = sim.run_for(Duration::from_secs(60)).is_ok();
    for other in [0, 2] {
        sim.replica(ReplicaId(other)).restart();
    }
    sim.client("alice").submit(3);
    let is_run = sim.run_for(Duration::from_secs(10)).is_ok();
    let is_met = is_run && [0, 1, 2].iter().all(|id| sim.status(ReplicaId(*id)).committed > before);
    select(None);
    is_well && is_met
}

#[test]
fn replicas_that_drifted_apart_meet_again() {
    assert!(meet_again(None));
    assert!(!meet_again(Some(Mutation::OnlyLatestViewChange)), "not caught");
}
