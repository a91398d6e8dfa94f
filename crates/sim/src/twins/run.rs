//! How does a scenario run? In the simulator, with nothing in the way: no chance, no faults of disks, one client.

use quorate_attack::{Sides, twins};
use quorate_consensus::Timing;
use quorate_machine::ApplicationFactory;
use quorate_types::{ProtocolParameters, ReplicaId, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Instance, REPLICAS, Round, Scenario};
use crate::clients::Workload;
use crate::costs::Costs;
use crate::faults::Fault;
use crate::network::NetworkParameters;
use crate::observe::Violation;
use crate::panics::catch_quietly;
use crate::setup::{Crypto, Setup};
use crate::tally::Tally;
use crate::world::{Parts, World};

/// The pair of twins.
const TWINS: ReplicaId = ReplicaId(0);
/// What a message takes.
const LATENCY: Duration = Duration::from_millis(1);
const STATUS_INTERVAL: Duration = Duration::from_millis(5);
/// A replica that is behind needs four statuses and a transfer to take part.
const VIEW_TIMEOUT: Duration = Duration::from_millis(60);
/// Until everybody has heard everybody and the client can open a session.
const WARM_UP: Duration = Duration::from_millis(12);
/// View changes are sent again in every status period; then there are ten latencies for the view.
const ROUND: Duration = Duration::from_millis(15);
/// A request is everywhere in a few latencies, and then everybody loses patience.
const APART: Duration = Duration::from_millis(70);
/// Before the client sends to all.
const CLIENT_RETRY: Duration = LATENCY;

/// What came out of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Events that happened.
    pub events: u64,
    /// The height up to which honest replicas committed.
    pub commits: u64,
    /// The highest view that an honest replica entered.
    pub view_changes: u64,
    /// Views and heights for which the twins showed two blocks.
    pub conflicts: u64,
    /// How often the twins contradicted each other in anything.
    pub contradictions: u64,
    /// How many proofs against the twins honest replicas showed.
    pub evidence: u64,
    /// The first property that was broken.
    pub violation: Option<Violation>,
    /// The main events in words, if they were asked for.
    pub story: Vec<String>,
}

/// Runs a scenario. A panic of a machine is a violation like any other.
///
/// # Panics
/// If [`Scenario::validate`] refuses it.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    run_guarded(scenario, false)
}

/// Runs a scenario and tells its main events.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn run_with_story(scenario: &Scenario) -> Outcome {
    run_guarded(scenario, true)
}

fn run_guarded(scenario: &Scenario, with_story: bool) -> Outcome {
    scenario.validate().unwrap_or_else(|error| panic!("{error}"));
    let primaries = scenario.rounds.iter().map(|round| round.primary).collect();
    let workload = Workload { clients: 1, ..Workload::none() };
    let mut world = World::new(Parts {
        seed: 0,
        setup: setup(primaries),
        network: NetworkParameters::quiet(LATENCY.as_micros() as u64),
        costs: Costs::default(),
        application: ApplicationFactory::new(Tally::default),
        workload,
    });
    world.story = with_story.then(Vec::new);
    // What a panic leaves half done is only counted, not driven any further.
    if let Err(words) = catch_quietly(|| go(&mut world, &scenario.rounds)) {
        world.violate(Violation::of("machines do not panic", words));
    }
    outcome(world)
}

fn go(world: &mut World, rounds: &[Round]) {
    world.start();
    pass(world, WARM_UP);
    world.distrust(TWINS);
    turn(world, rounds);
    world.demand(1);
    for (place, round) in rounds.iter().enumerate() {
        if place > 0 {
            world.strike(&Fault::Partition { groups: Vec::new() });
            world.demand(1);
            pass(world, APART);
        }
        world.strike(&Fault::Partition { groups: groups(round) });
        pass(world, ROUND);
    }
    world.strike(&Fault::Heal);
    world.close(rounds.len() as u32);
}

fn pass(world: &mut World, span: Duration) {
    let end = world.now + span.as_nanos() as u64;
    while world.step(end) {}
    world.now = end;
}

/// Who can hear whom through the network; which of the twins it is, the twins themselves see to.
fn groups(round: &Round) -> Vec<Vec<u16>> {
    let honest = |part: &Vec<Instance>| {
        let honest = part.iter().map(|instance| instance.replica()).filter(|replica| *replica != TWINS.0);
        honest.chain([TWINS.0]).collect()
    };
    round.parts.iter().map(honest).collect()
}

/// Makes replica 0 a pair.
fn turn(world: &mut World, rounds: &[Round]) {
    let (config, now) = (world.setup.config(TWINS, u64::MAX), world.now);
    let host = &mut world.hosts[TWINS.index()];
    let mut end = now;
    let mut until: Vec<(Time, Sides)> = Vec::new();
    for (place, round) in rounds.iter().enumerate() {
        if place > 0 {
            end += APART.as_nanos() as u64;
            until.push((host.clock(end), Sides::default()));
        }
        end += ROUND.as_nanos() as u64;
        until.push((host.clock(end), sides(round)));
    }
    let all: Vec<ReplicaId> = (1..REPLICAS).map(ReplicaId).collect();
    until.push((Time(u64::MAX), Sides { first: all.clone(), second: all }));
    if let Some(participant) = host.participant() {
        participant.attack(twins().sides(until), &config, Vec::new(), 0);
    }
    host.poll_timeout();
}

/// The honest replicas in the part of each twin.
fn sides(round: &Round) -> Sides {
    let with = |twin| {
        let part = round.parts.iter().find(|part| part.contains(&twin)).into_iter().flatten();
        part.map(|instance| ReplicaId(instance.replica())).filter(|replica| *replica != TWINS).collect()
    };
    Sides { first: with(Instance::FIRST), second: with(Instance::SECOND) }
}

fn outcome(world: World) -> Outcome {
    let statuses = || world.honest().map(|replica| world.hosts[replica.index()].status());
    Outcome {
        events: world.events,
        commits: statuses().map(|status| status.committed.0).max().unwrap_or(0),
        view_changes: statuses().map(|status| status.view.0).max().unwrap_or(0),
        conflicts: world.invariants.history().chain.forks() as u64,
        contradictions: world.hosts[TWINS.index()].fired(),
        evidence: world.counters.evidence.len() as u64,
        violation: world.violation,
        story: world.story.unwrap_or_default(),
    }
}

/// The cluster in which these lead the first views, made once per thread.
fn setup(primaries: Vec<u16>) -> Arc<Setup> {
    thread_local! {
        static MADE: RefCell<BTreeMap<Vec<u16>, Arc<Setup>>> = const { RefCell::new(BTreeMap::new()) };
    }
    MADE.with_borrow_mut(|made| {
        let make = |primaries: &Vec<u16>| {
            let parameters =
                ProtocolParameters { checkpoint_interval: 4, window: 64, ..ProtocolParameters::default() };
            let first = primaries.iter().copied().map(ReplicaId).collect();
            let setup = Setup::new(REPLICAS, Crypto::Fast, parameters, timing());
            Arc::new(setup.exploring(first, CLIENT_RETRY))
        };
        Arc::clone(made.entry(primaries).or_insert_with_key(make))
    })
}

/// Every view gets equally long.
fn timing() -> Timing {
    Timing {
        batch_delay: Duration::from_micros(200),
        view_timeout_min: VIEW_TIMEOUT,
        view_timeout_max: VIEW_TIMEOUT,
        status_interval: STATUS_INTERVAL,
        fairness_timeout: VIEW_TIMEOUT * 4,
        fetch_timeout: LATENCY * 3,
        ..crate::setup::timing()
    }
}
