//! Scripts in which disks fail, shared by the tests that they pass and by the seeded bugs that they catch.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod floods;

use quorate_attack::Attack;
use quorate_sim::{Costs, Fault, Operation, Part, Sim, SimOptions, Span, Violation};
use quorate_types::{ReplicaId, View};
use std::time::Duration;

pub(crate) const R0: ReplicaId = ReplicaId(0);
pub(crate) const R1: ReplicaId = ReplicaId(1);
pub(crate) const R2: ReplicaId = ReplicaId(2);
pub(crate) const R3: ReplicaId = ReplicaId(3);

/// A quiet cluster of four whose disks take some time, so that something is under way when they fail.
pub(crate) fn cluster(seed: u64) -> Sim {
    let costs = Costs { sync_us: Span(100, 900), ..Costs::default() };
    Sim::with(4, seed, SimOptions { costs, ..SimOptions::default() })
}

/// Alice has so many requests answered, one after the other.
pub(crate) fn submit(sim: &mut Sim, requests: u64) -> Result<(), Violation> {
    for add in 1..=requests {
        sim.client("alice").submit(add);
        sim.run_until_done()?;
    }
    Ok(())
}

/// What does not hold is a violation too.
pub(crate) fn demand(holds: bool, what: &str) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::of("what a scenario demands holds", what)) }
}

pub(crate) fn fail_at(sim: &mut Sim, id: ReplicaId, part: Part, after: u64, operation: Operation) {
    sim.strike(&Fault::Disk { replica: id.0, part, after, operation });
}

/// Whether a replica does its part: without another one, nothing is committed that it did not vote for.
pub(crate) fn is_needed_and_votes(sim: &mut Sim, id: ReplicaId, other: ReplicaId) -> Result<(), Violation> {
    let view = |sim: &Sim| sim.status(id).asked;
    let before = view(sim);
    sim.replica(other).stop();
    submit(sim, 2)?;
    demand(view(sim) == before, "no view change was needed for it")?;
    sim.replica(other).start();
    sim.settle()
}

/// The whole cluster loses power when a replica is at its k-th write or sync. Says whether it came to that.
pub(crate) fn power_loss_of_all(part: Part, operation: u64) -> Result<bool, Violation> {
    let mut sim = cluster(operation);
    // The start itself changes the disk.
    sim.replica(R1);
    let before = sim.disk_operations(R1, part);
    fail_at(&mut sim, R1, part, operation, Operation::PowerLoss);
    for add in 1..=12 {
        sim.client("alice").submit(add);
        sim.run_until(|sim: &Sim| !sim.is_up(R1) || sim.is_idle())?;
    }
    let is_lost = !sim.is_up(R1);
    let done = sim.disk_operations(R1, part) - before;
    demand(is_lost == (done > operation), &format!("{is_lost}: the power failed as planned, after {done}"))?;
    for replica in sim.replicas() {
        sim.replica(replica).stop();
    }
    for replica in sim.replicas() {
        // The power may fail at the start, too.
        sim.replica(replica).start().start();
    }
    sim.run_until_done()?;
    submit(&mut sim, 1)?;
    sim.settle()?;
    Ok(is_lost)
}

/// A replica misses so many blocks that it needs a state.
pub(crate) fn with_laggard(seed: u64, liar: Option<Attack>) -> Result<Sim, Violation> {
    let mut sim = cluster(seed);
    if let Some(attack) = liar {
        sim.byzantine(R2, attack);
    }
    submit(&mut sim, 1)?;
    sim.isolate(R3);
    submit(&mut sim, 40)?;
    Ok(sim)
}

/// It catches up, whoever lies or stalls.
pub(crate) fn laggard_catches_up(liar: Option<Attack>) -> Result<(), Violation> {
    let mut sim = with_laggard(1, liar)?;
    sim.heal();
    sim.settle()?;
    demand(sim.happened("state installed"), "it installed a state")?;
    submit(&mut sim, 5)?;
    sim.settle()
}

/// A replica with an empty and slow disk joins a cluster that takes a checkpoint with every fourth request, all the time: none of
/// the states that it could ask for is the newest for long.
pub(crate) fn joins_under_load(seed: u64, slowness: u64) -> Result<(), Violation> {
    let mut sim = cluster(seed);
    submit(&mut sim, 41)?;
    sim.strike(&Fault::SlowDisk { replica: R3.0, slowness });
    sim.replica(R3).wipe().start();
    let mut served = 0;
    // One request may be on its way.
    while sim.status(R3).executed.plus(2) < sim.status(R0).executed {
        submit(&mut sim, 1)?;
        served += 1;
        demand(served < 400, "it joins while the others go on")?;
    }
    demand(sim.happened("state installed"), "it installed a state")?;
    sim.settle()?;
    is_needed_and_votes(&mut sim, R3, R2)
}

/// A laggard loses power at the k-th operation of its states' disk: while it gathers, installs or tidies up. Says whether it
/// came to that.
pub(crate) fn power_loss_in_transfer(operation: u64, seed: u64) -> Result<bool, Violation> {
    let mut sim = with_laggard(seed, None)?;
    sim.heal();
    fail_at(&mut sim, R3, Part::States, operation, Operation::PowerLoss);
    sim.run_until(|sim: &Sim| !sim.is_up(R3) || sim.status(R3).executed == sim.status(R0).executed)?;
    let is_lost = !sim.is_up(R3);
    sim.replica(R3).restart();
    // The start itself changes the disk too.
    sim.replica(R3).start();
    sim.settle()?;
    submit(&mut sim, 3)?;
    sim.settle()?;
    Ok(is_lost)
}

/// A laggard loses power soon after it went on from the state of the others.
pub(crate) fn power_loss_after_install(seed: u64) -> Result<(), Violation> {
    let mut sim = with_laggard(seed, None)?;
    sim.heal();
    sim.run_until(|sim: &Sim| sim.status(R3).executed == sim.status(R0).executed)?;
    sim.run_for(Duration::from_millis(5))?;
    sim.replica(R3).restart();
    sim.settle()
}

/// A replica whose disk went back to an earlier image is told so by its peers, and votes again.
pub(crate) fn rolled_back_replica_is_told(id: ReplicaId) -> Result<(), Violation> {
    let mut sim = cluster(1);
    submit(&mut sim, 3)?;
    sim.strike(&Fault::TakeImage(id.0));
    submit(&mut sim, 3)?;
    sim.strike(&Fault::RollBack(id.0));
    sim.replica(id).start();
    sim.run_for(Duration::from_secs(1))?;
    demand(sim.happened("disk known to be lost"), "its peers tell it")?;
    comes_back(&mut sim, id)
}

/// A replica that lost its disk takes part again with one view change, with two where it is the next primary itself.
pub(crate) fn comes_back(sim: &mut Sim, id: ReplicaId) -> Result<(), Violation> {
    sim.run_until(|sim: &Sim| !sim.status(id).is_recovering)?;
    let changes = if id == R1 { 2 } else { 1 };
    let other = sim.replicas().into_iter().find(|other| *other != id && *other != R1 && *other != R2);
    demand(sim.status(R2).view <= View(changes), "it takes no more view changes")?;
    is_needed_and_votes(sim, id, other.unwrap_or(R3))
}

/// One bit of a replica's states is flipped while it is down. Either that is noticed, or its state is right.
pub(crate) fn flipped_bit_in_states(bit: u64) -> Result<bool, Violation> {
    let mut sim = cluster(1);
    submit(&mut sim, 9)?;
    sim.settle()?;
    sim.replica(R3).stop();
    sim.strike(&Fault::Flip { replica: R3.0, part: Part::States, bit });
    sim.replica(R3).start();
    let is_noticed = sim.happened("stopped: damage found");
    let right = sim.state(R0).clone();
    sim.run_until(|sim: &Sim| sim.is_up(R3) && sim.status(R3).executed == sim.status(R0).executed)?;
    demand(sim.state(R3).clone() == right, "its state is that of the others")?;
    Ok(is_noticed)
}

/// One bit of a replica's log is flipped, so far from the end that later records prove it to have been durable.
pub(crate) fn flipped_bit_in_log(bit: u64) -> Result<(), Violation> {
    let mut sim = cluster(1);
    submit(&mut sim, 3)?;
    sim.settle()?;
    sim.replica(R3).stop();
    sim.strike(&Fault::Flip { replica: R3.0, part: Part::Log, bit });
    sim.replica(R3).start();
    demand(sim.happened("stopped: damage found"), "damage is never cut off like a torn tail")?;
    sim.run_for(Duration::from_millis(50))?;
    comes_back(&mut sim, R3)
}

/// One write of a replica's log goes to this offset, and then its power fails.
pub(crate) fn misdirected_write(offset: u64) -> Result<(), Violation> {
    let mut sim = cluster(1);
    submit(&mut sim, 3)?;
    sim.run_for(Duration::from_millis(200))?;
    fail_at(&mut sim, R3, Part::Log, 0, Operation::Misdirected { place: offset });
    let before = sim.disk_operations(R3, Part::Log);
    sim.client("alice").submit(1);
    sim.run_until(|sim: &Sim| sim.disk_operations(R3, Part::Log) >= before + 2)?;
    sim.replica(R3).restart();
    sim.run_until_done()
}
