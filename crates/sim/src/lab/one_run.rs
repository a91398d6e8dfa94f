//! How does one run of a test go? The body under a plan, and what is judged afterwards.

use quorate_machine::{ApplicationFactory, StateMachine};
use std::sync::Arc;
use std::time::Duration;

use crate::chart::Chart;
use crate::clients::Workload;
use crate::lab::{Overlay, SimResult, TestPlan};
use crate::observe::Violation;
use crate::panics::catch_quietly;
use crate::setup::{Crypto, Setup, timing};
use crate::sim::{Sim, SimOptions, SimTraitor};
use crate::world::{Parts, World};

/// What a test is, without any plan.
pub(crate) struct Body<S: StateMachine> {
    /// Makes the state machine with which each replica begins.
    pub(crate) start: Arc<dyn Fn() -> S + Send + Sync>,
    /// What the user wrote.
    pub(crate) run: fn(&mut Sim<S>) -> SimResult,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The property that was broken first.
    pub(crate) violation: Option<Violation>,
    /// Whether that is an invariant, which holds whatever the body does.
    pub(crate) is_invariant: bool,
    /// How many events had happened by then, the one that broke it included.
    pub(crate) events: u64,
    /// The simulated time of then.
    pub(crate) at: Duration,
    /// The replicas that the body turned, and how often each deviated from the protocol.
    pub(crate) turned: Vec<(SimTraitor, u64)>,
    /// How many requests the body made.
    pub(crate) requests: u32,
    /// The proofs that honest replicas showed, in words.
    pub(crate) evidence: Vec<String>,
    /// The names of the clients, each behind the one that the chart gives it.
    pub(crate) clients: Vec<String>,
    /// What happened, if a chart was asked for.
    pub(crate) chart: Option<Chart>,
}

/// Keys and rules of a cluster of this size, for all runs of a test.
///
/// # Panics
/// If there cannot be such a cluster.
pub(crate) fn setup(replicas: u16) -> Arc<Setup> {
    Arc::new(Setup::new(replicas, Crypto::Fast, SimOptions::default().parameters, timing()))
}

impl<S: StateMachine> Body<S> {
    /// Runs the body under a plan.
    pub(crate) fn run(&self, plan: &TestPlan, setup: &Arc<Setup>, with_chart: bool) -> Ran {
        let mut sim = match catch_quietly(|| self.prepare(plan, setup, with_chart)) {
            Ok(sim) => sim,
            Err(words) => return Ran::failed_at_once(Violation::of("the test does not panic", words)),
        };
        let result = catch_quietly(|| (self.run)(&mut sim))
            .unwrap_or_else(|words| Err(Violation::of("the test does not panic", words)));
        // A body that goes on after a violation does not hide it.
        let result = sim.verdict().and(result).and_then(|()| has_committed(&sim));
        let fired = |traitor: &SimTraitor| (*traitor, sim.fired(*traitor));
        Ran {
            violation: result.err(),
            is_invariant: sim.world.violation.is_some(),
            events: sim.world.events,
            at: sim.now(),
            turned: sim.overlay.turned().iter().map(fired).collect(),
            requests: sim.overlay.submitted(),
            evidence: sim.evidence().iter().map(ToString::to_string).collect(),
            clients: sim.client_names(),
            chart: with_chart.then(|| sim.world.chart()),
        }
    }

    fn prepare(&self, plan: &TestPlan, setup: &Arc<Setup>, with_chart: bool) -> Sim<S> {
        let start = Arc::clone(&self.start);
        let mut world = World::new(Parts {
            seed: plan.seed,
            setup: Arc::clone(setup),
            network: plan.environment.network.clone(),
            costs: plan.environment.costs,
            application: ApplicationFactory::new(move || start()),
            workload: Workload::none(),
        });
        world.faults.clone_from(&plan.environment.faults);
        if with_chart {
            world.record();
        }
        for (host, skew_us) in world.hosts.iter_mut().zip(&plan.environment.skews_us) {
            host.skew = skew_us * 1000;
        }
        let mut sim = Sim::around(world);
        sim.overlay = Overlay::new(plan);
        sim
    }
}

impl Ran {
    fn failed_at_once(violation: Violation) -> Self {
        let (events, at, requests) = (0, Duration::ZERO, 0);
        let (turned, evidence, clients, chart) = (Vec::new(), Vec::new(), Vec::new(), None);
        Self {
            violation: Some(violation),
            is_invariant: false,
            events,
            at,
            turned,
            requests,
            evidence,
            clients,
            chart,
        }
    }
}

fn has_committed<S: StateMachine>(sim: &Sim<S>) -> SimResult {
    if sim.overlay.taken() == 0 {
        return Err(Violation::of("a test submits something", "it made no request"));
    }
    match &sim.world.replay {
        Some(replay) if replay.commands > 0 => Ok(()),
        _ => {
            let what = format!("no command was executed of the {} that were submitted", sim.overlay.taken());
            Err(Violation::of("a run commits something", what))
        }
    }
}
