//! Would the simulator notice? Each seeded bug of core, log and driver must be caught within a number of seeds, or by a script;
//! and the plan that caught it must shrink to few faults.

mod scenarios;

use quorate_attack::Attack;
use quorate_consensus::mutation::{self as core, Mutation};
use quorate_sim::shrink::{Budget, Shrunk, shrink_plan};
use quorate_sim::{
    AttackChoice, Crypto, Guard, Plan, SavedPlan, Sim, Violation, remove_guard, run, run_with_story,
};
use quorate_store::mutation::{self as store, Mutation as StoreMutation};
use quorate_store::{DiskLog, Fault, FaultyDisk, Log, LogIdentity, LogSettings, Owner, Position, StoreError};
use quorate_types::{Digest, Frame, PublicKey, ReplicaId};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Seeds after which a bug counts as not caught.
const SEEDS_MAX: u64 = 10_000;

/// A seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bug {
    Core(Mutation),
    Log(StoreMutation),
    Driver(Guard),
}

/// Bugs that need more patience than a plan has, or a disk that counts as Byzantine anyway; a script of their own shows them.
const SCRIPTED: &[Bug] = &[
    Bug::Core(Mutation::OnlyLatestViewChange),
    Bug::Core(Mutation::RollbackUnnoticed),
    Bug::Core(Mutation::VerificationsUnbounded),
    Bug::Core(Mutation::WaitingUnbounded),
    Bug::Core(Mutation::EvidenceUnbounded),
    Bug::Log(StoreMutation::PositionUnchecked),
    Bug::Log(StoreMutation::TailKept),
    Bug::Log(StoreMutation::DamageCut),
    Bug::Driver(Guard::DigestOfChunks),
];

/// Every bug.
fn all() -> impl Iterator<Item = Bug> {
    let core = Mutation::ALL.iter().copied().map(Bug::Core);
    let log = StoreMutation::ALL.iter().copied().map(Bug::Log);
    core.chain(log).chain(Guard::ALL.iter().copied().map(Bug::Driver))
}

/// Selects one bug, or none, for this thread.
fn select(bug: Option<Bug>) {
    core::select(if let Some(Bug::Core(mutation)) = bug { Some(mutation) } else { None });
    store::select(if let Some(Bug::Log(mutation)) = bug { Some(mutation) } else { None });
    remove_guard(if let Some(Bug::Driver(guard)) = bug { Some(guard) } else { None });
}

impl std::fmt::Display for Bug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Core(mutation) => write!(f, "{mutation:?}"),
            Self::Log(mutation) => write!(f, "{mutation:?}"),
            Self::Driver(guard) => write!(f, "{guard:?}"),
        }
    }
}

/// Names the only bug to hunt, if it is set.
const ONLY: &str = "QUORATE_MUTATION";
/// Names a directory for the shrunk plans and their charts, if it is set.
const SAVE: &str = "QUORATE_MUTATION_PLANS";
/// So few faults are left when a plan that catches a bug was shrunk.
const FAULTS_MAX: usize = 12;
/// How long a plan is shrunk.
const BUDGET: Budget = Budget { runs: 3000, time: Duration::from_secs(120) };

/// How a bug was caught.
struct Catch {
    seeds: u64,
    violation: Violation,
    shrunk: Shrunk<Plan>,
}

/// Runs seeds with one bug until a property breaks. The selector belongs to this thread.
fn hunt(bug: Bug) -> Option<Catch> {
    select(Some(bug));
    let found = (0..SEEDS_MAX).find_map(|seed| {
        let plan = Plan::generate(seed, 4, Crypto::Fast, &AttackChoice::All);
        let (violation, _) = run(&plan).violation?;
        let shrunk = shrink_plan(plan, violation.property, BUDGET);
        Some(Catch { seeds: seed + 1, violation, shrunk })
    });
    if let (Some(found), Some(directory)) = (&found, std::env::var_os(SAVE)) {
        save(bug, found, directory.as_ref()).expect("the directory can be written");
    }
    select(None);
    found
}

fn save(bug: Bug, found: &Catch, directory: &Path) -> std::io::Result<()> {
    let report = run_with_story(&found.shrunk.value);
    let (violation, _) = report.violation.as_ref().expect("the shrunk plan fails too");
    let note = format!("Shrunk from seed {} with the seeded bug {bug}.", found.seeds - 1);
    let saved = SavedPlan::new(found.shrunk.value.clone(), violation, note);
    let path = saved.write(directory, &bug.to_string())?;
    let chart = report.chart.expect("it was asked for");
    std::fs::write(path.with_extension("txt"), chart.text())?;
    std::fs::write(path.with_extension("mmd"), chart.mermaid())
}

#[test]
fn every_seeded_bug_is_caught() {
    let only = std::env::var(ONLY).ok();
    let is_wanted = |bug: &Bug| only.as_ref().is_none_or(|name| bug.to_string() == *name);
    let bugs: Vec<Bug> = all().filter(is_wanted).filter(|bug| !SCRIPTED.contains(bug)).collect();
    let (next, caught) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = hunt(*bug);
                    report(&row(*bug, &found));
                    caught.lock().expect("no thread panicked").push((*bug, found));
                }
            });
        }
    });
    let mut caught = caught.into_inner().expect("no thread panicked");
    caught.sort_by_key(|(bug, _)| *bug);
    let rows = caught.iter().map(|(bug, found)| row(*bug, found));
    let table = rows.collect::<Vec<_>>().join("\n");
    let is_small = |found: &Catch| found.shrunk.value.faults_counted() <= FAULTS_MAX;
    assert!(
        caught.iter().all(|(_, found)| found.as_ref().is_some_and(is_small)),
        "bug, seeds until it was caught, faults after shrinking, property\n{table}"
    );
}

fn row(bug: Bug, found: &Option<Catch>) -> String {
    let name = bug.to_string();
    match found {
        Some(Catch { seeds, violation, shrunk }) => {
            let (faults, runs) = (shrunk.value.faults_counted(), shrunk.runs);
            let is_minimal = if shrunk.is_minimal { ' ' } else { '+' };
            format!("{name:<24} {seeds:>6} {faults:>3} {runs:>6}{is_minimal} {}", violation.property)
        }
        None => format!("{name:<24}   NOT CAUGHT in {SEEDS_MAX} seeds"),
    }
}

#[allow(clippy::print_stdout)]
fn report(row: &str) {
    println!("{row}");
}

/// One replica is alone for long with work to do, then has to meet the two others; the fourth is silent.
fn meet_again(bug: Option<Bug>) -> bool {
    select(bug);
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
    assert!(!meet_again(Some(Bug::Core(Mutation::OnlyLatestViewChange))), "not caught");
}

/// Whether one of several scripts fails with a bug, when all pass without it.
fn is_caught<T>(
    bug: Bug,
    script: impl Fn(u64) -> Result<T, Violation>,
    mut cases: impl Iterator<Item = u64> + Clone,
) -> bool {
    for case in cases.clone() {
        if let Err(violation) = script(case) {
            panic!("case {case} fails without the bug: {violation}");
        }
    }
    select(Some(bug));
    let is_caught = cases.any(|case| script(case).is_err());
    select(None);
    is_caught
}

#[test]
fn a_rolled_back_replica_is_told() {
    let script = |_| scenarios::rolled_back_replica_is_told(scenarios::R3);
    assert!(is_caught(Bug::Core(Mutation::RollbackUnnoticed), script, 0..1));
}

#[test]
fn a_flood_fills_no_memory() {
    let floods = scenarios::floods::flood_of_future_views;
    assert!(is_caught(Bug::Core(Mutation::VerificationsUnbounded), floods, 0..3));
    let questions = scenarios::floods::flood_of_questions;
    assert!(is_caught(Bug::Core(Mutation::WaitingUnbounded), questions, 0..3));
    let many_views = scenarios::floods::equivocation_in_many_views;
    assert!(is_caught(Bug::Core(Mutation::EvidenceUnbounded), many_views, 0..3));
}

#[test]
fn a_flipped_bit_in_states_is_noticed() {
    let bits = (0..200).map(|at| at * 131);
    assert!(is_caught(Bug::Driver(Guard::DigestOfChunks), scenarios::flipped_bit_in_states, bits));
}

#[test]
fn a_flipped_bit_in_a_log_is_not_taken_for_a_torn_tail() {
    assert!(is_caught(Bug::Log(StoreMutation::DamageCut), scenarios::flipped_bit_in_log, 13_000..13_001));
}

/// Of two records that were never synced, the power leaves the second. When another record takes the first one's place, the
/// second must not come back behind it.
fn is_tail_cut() -> bool {
    let disk = FaultyDisk::new();
    let mut log = open_log(&disk).expect("the disk is new");
    log.append_all(&[record(1), record(2)]).expect("there is room");
    // Torn: the first record's sectors are lost, and the second one's survive.
    let mut choices = [0, 1, 0, 0, 0, 0, 1, 1, 1, 1].into_iter();
    disk.power_on(&mut |possibilities| choices.next().unwrap_or(possibilities - 1));
    let mut log = open_log(&disk).expect("nothing durable is damaged");
    assert_eq!(log.end(), Position(0), "the first record is gone");
    log.append(record(4)).and_then(|_| log.sync()).expect("there is room");
    drop(log);
    open_log(&disk).expect("nothing durable is damaged").end() == Position(1)
}

fn open_log(disk: &FaultyDisk) -> Result<DiskLog, StoreError> {
    let owner = Owner { cluster: Digest([1; 32]), replica: PublicKey([2; 32]) };
    let settings = LogSettings { reserve_bytes: 0, ..LogSettings::default() };
    DiskLog::open(Box::new(disk.files()), LogIdentity { owner, mark: 3 }, settings)
}

/// A record that fills four sectors with what stands before it.
fn record(byte: u8) -> Frame {
    Frame { head: vec![byte; 2048 - 48].into(), payload: bytes::Bytes::new() }
}

#[test]
fn what_follows_a_torn_record_does_not_come_back() {
    assert!(is_tail_cut());
    select(Some(Bug::Log(StoreMutation::TailKept)));
    let is_cut = is_tail_cut();
    select(None);
    assert!(!is_cut, "not caught");
}

/// A record comes to the place of an earlier one of the same length: it is intact, and not the one that belongs there.
fn is_misdirection_noticed() -> bool {
    let disk = FaultyDisk::new();
    let mut log = open_log(&disk).expect("the disk is new");
    log.append_all(&[record(1), record(2)]).and_then(|_| log.sync()).expect("there is room");
    let (file, _) = disk.list().remove(0);
    disk.plan(disk.operations(), Fault::Misdirected { file, offset: 3 * 512 });
    log.append(record(3)).and_then(|_| log.sync()).expect("nothing tells");
    drop(log);
    let read = open_log(&disk).and_then(|log| log.read(Position(0))?.next().transpose());
    read.map_or(true, |first| first == Some((Position(0), record(1))))
}

#[test]
fn a_misdirected_record_is_noticed() {
    assert!(is_misdirection_noticed());
    select(Some(Bug::Log(StoreMutation::PositionUnchecked)));
    let is_noticed = is_misdirection_noticed();
    select(None);
    assert!(!is_noticed, "not caught");
}
