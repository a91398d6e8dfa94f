//! What happens to a cluster when disks fail? Scripts, read aloud.

mod scenarios;

use quorate_attack::Attack;
use quorate_sim::{Fault, Part, Sim, SimOptions, Tally};
use quorate_types::{Height, View};
use scenarios::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Power fails everywhere at every single write and sync of a run: nothing acknowledged is lost, nothing runs twice.
#[test]
fn all_lose_power_at_every_single_write() {
    for part in [Part::Log, Part::States] {
        let mut operation = 0;
        while power_loss_of_all(part, operation).unwrap_or_else(|why| panic!("{part:?} {operation}: {why}")) {
            operation += 1;
        }
        assert!(operation > 10, "{part:?}: {operation} operations");
    }
}

#[test]
fn a_laggard_below_the_logs_catches_up_whoever_lies_or_stalls() {
    use Attack::*;
    for liar in [
        None,
        Some(CorruptChunk),
        Some(SelfConsistentLie),
        Some(StaleSnapshot),
        Some(ProofIndexMismatch),
        Some(HeightLie),
        Some(EndlessChunks),
        Some(DripFeed),
        Some(WithholdState),
    ] {
        laggard_catches_up(liar).unwrap_or_else(|why| panic!("{liar:?}: {why}"));
    }
}

/// Its peers keep the state that it fetches, and the blocks above.
#[test]
fn a_slow_replica_joins_under_load() {
    for (seed, slowness) in [(1, 4), (2, 8), (3, 16)] {
        joins_under_load(seed, slowness).unwrap_or_else(|why| panic!("{seed} {slowness}: {why}"));
    }
}

/// The old state or the new one, never something between.
#[test]
fn a_crash_in_the_middle_of_a_transfer_leaves_the_old_state_or_the_new_one() {
    for seed in [1, 2, 3] {
        let mut operation = 0;
        while power_loss_in_transfer(operation, seed)
            .unwrap_or_else(|why| panic!("{seed} {operation}: {why}"))
        {
            operation += 1;
        }
        assert!(operation > 10, "{operation} operations");
        power_loss_after_install(seed).unwrap_or_else(|why| panic!("{seed}: {why}"));
    }
}

/// Nobody has anything to do, and still it votes again after one view change, or two where it is the next primary.
#[test]
fn a_wiped_replica_of_an_idle_cluster_comes_back() {
    for id in [R0, R1, R3] {
        let mut sim = cluster(1);
        submit(&mut sim, 5).expect("all is well");
        sim.replica(id).wipe().start();
        comes_back(&mut sim, id).unwrap_or_else(|why| panic!("{id}: {why}"));
    }
}

#[test]
fn a_rolled_back_replica_is_told_and_votes_again() {
    for id in [R0, R1, R3] {
        rolled_back_replica_is_told(id).unwrap_or_else(|why| panic!("{id}: {why}"));
    }
}

#[test]
fn a_full_disk_stops_its_replica_until_there_is_room() {
    for room in [0, 100, 700, 1500] {
        let mut sim = cluster(1);
        submit(&mut sim, 2).expect("all is well");
        sim.strike(&Fault::FillDisk { replica: R3.0, room });
        submit(&mut sim, 20).expect("three are enough");
        assert!(!sim.is_up(R3) && sim.happened("stopped: disk full"), "room for {room} bytes");
        sim.strike(&Fault::FreeDisk(R3.0));
        sim.settle().expect("it goes on where it stopped");
        is_needed_and_votes(&mut sim, R3, R2).expect("it votes");
        assert!(!sim.happened("disk known to be lost"));
    }
}

/// A flipped bit in a state is noticed, or hits nothing that is needed.
#[test]
fn flipped_bits_in_states_are_noticed() {
    let noticed = (0..40)
        .filter(|at| flipped_bit_in_states(at * 331).unwrap_or_else(|why| panic!("bit {}: {why}", at * 331)));
    assert!(noticed.count() > 5);
}

/// Damage in the middle of a log is no torn tail: the replica stops, gets an empty disk and comes back.
#[test]
fn flipped_bits_in_a_log_are_noticed() {
    for bit in (0..20).map(|at| 12_500 + 211 * at) {
        flipped_bit_in_log(bit).unwrap_or_else(|why| panic!("bit {bit}: {why}"));
    }
}

/// A write that went elsewhere is noticed, or is only missing.
#[test]
fn misdirected_writes_are_noticed() {
    for offset in (0..4000).step_by(104) {
        misdirected_write(offset).unwrap_or_else(|why| panic!("offset {offset}: {why}"));
    }
}

/// A replica whose state differs stops at the first block that shows it, and fetches the others' state at its next start.
#[test]
fn a_diverged_replica_stops_and_then_repairs_itself() {
    let made = Arc::new(AtomicUsize::new(0));
    // One for each replica, one for the oracle, then those of the first processes, of which this is the last one.
    let make = move || match made.fetch_add(1, Ordering::Relaxed) {
        8 => Tally { count: 1000, ..Tally::default() },
        _ => Tally::default(),
    };
    let mut sim = Sim::of(4, 1, SimOptions::default(), make);
    sim.replica(R3).distrust();
    submit(&mut sim, 3).expect("three are enough");
    sim.run_for(Duration::from_millis(100)).expect("nothing breaks");
    assert!(sim.status(R3).is_halted);
    assert!(sim.status(R3).executed <= Height(2), "at the first block that shows it");
    submit(&mut sim, 10).expect("three are enough");
    sim.replica(R3).restart();
    sim.run_until(|sim: &Sim| sim.status(R3).executed == sim.status(R0).executed).expect("it repairs itself");
    assert!(sim.happened("state installed"));
    assert_eq!(sim.state(R3), sim.state(R0));
    is_needed_and_votes(&mut sim, R3, R2).expect("it votes");
    assert_eq!(sim.status(R0).view, View(0));
}
