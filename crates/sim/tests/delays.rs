//! How many message delays does a request take? Counted in a network where each message takes one
//! latency and nothing else takes time, so that a time is a number of causal hops.

use quorate_sim::{LATENCY, Sim};
use quorate_types::ReplicaId;

/// Spans as numbers of message delays.
fn hops(nanoseconds: u64) -> u64 {
    let latency = u64::try_from(LATENCY.as_nanos()).expect("a latency is short");
    assert_eq!(nanoseconds % latency, 0, "only messages take time");
    nanoseconds / latency
}

fn warmed_up(replicas: u16) -> Sim {
    let mut sim = Sim::new(replicas, 1);
    sim.client("alice").submit(1);
    sim.run_until_done().expect("the first request runs");
    sim
}

/// The most hops from proposal to commit over all replicas, for blocks above this height.
fn commit_hops(sim: &Sim, above: u64) -> Vec<u64> {
    let blocks = sim.delays().blocks().into_iter().filter(|block| block.height.0 > above);
    let last = |committed: &u64, proposed: u64| hops(committed - proposed);
    let most = blocks.map(|block| block.committed.values().map(|time| last(time, block.proposed)).max());
    most.map(|most| most.expect("each block was committed")).collect()
}

fn request_hops(sim: &Sim) -> Vec<u64> {
    sim.delays().requests().values().skip(1).map(|time| hops(*time)).collect()
}

#[test]
fn a_request_commits_after_two_delays_and_is_answered_after_four() {
    let mut sim = warmed_up(4);
    for number in 0..8 {
        sim.client("alice").submit(number);
        sim.run_until_done().expect("requests run");
    }
    assert_eq!(commit_hops(&sim, 1), [2; 8]);
    assert_eq!(request_hops(&sim), [4; 8]);
}

#[test]
fn a_crashed_backup_costs_no_delay() {
    let mut sim = warmed_up(4);
    sim.replica(ReplicaId(3)).stop();
    for number in 0..8 {
        sim.client("alice").submit(number);
        sim.run_until_done().expect("requests run");
    }
    assert_eq!(commit_hops(&sim, 1), [2; 8]);
    assert_eq!(request_hops(&sim), [4; 8]);
}

#[test]
fn seven_replicas_need_two_delays_with_one_missing() {
    let mut sim = warmed_up(7);
    sim.replica(ReplicaId(6)).stop();
    for number in 0..4 {
        sim.client("alice").submit(number);
        sim.run_until_done().expect("requests run");
    }
    assert_eq!(commit_hops(&sim, 1), [2; 4]);
}
