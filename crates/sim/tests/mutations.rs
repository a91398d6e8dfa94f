//! Would the simulator notice? Each seeded bug of the core must be caught within a number of seeds.

use quorate_consensus::mutation::{Mutation, select};
use quorate_sim::{AttackChoice, Crypto, Plan, Violation, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds after which a bug counts as not caught.
const SEEDS_MAX: u64 = 20_000;

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
    let (next, caught) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutation) = Mutation::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt(*mutation);
                    caught.lock().expect("no thread panicked").push((*mutation, found));
                }
            });
        }
    });
    let mut caught = caught.into_inner().expect("no thread panicked");
    caught.sort_by_key(|(mutation, _)| *mutation);
    let rows = caught.iter().map(|(mutation, found)| match found {
        Some((seeds, violation)) => format!("{:<24} {seeds:>6}  {}", format!("{mutation:?}"), violation.property),
        None => format!("{:<24}   NOT CAUGHT in {SEEDS_MAX} seeds", format!("{mutation:?}")),
    });
    let table = rows.collect::<Vec<_>>().join("\n");
    // The harness shows this with `--nocapture`, and when a bug was not caught.
    assert!(caught.iter().all(|(_, found)| found.is_some()), "bug, seeds until it was caught, property\n{table}");
    report(&table);
}

#[allow(clippy::print_stdout)]
fn report(table: &str) {
    println!("bug, seeds until it was caught, property\n{table}");
}
