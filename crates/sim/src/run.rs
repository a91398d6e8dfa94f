//! How does a run go? Faults, healing, then everything that was asked for must come to its end.

use quorate_attack::combinators::Group;
use quorate_attack::{Attack, Spec};
use quorate_consensus::Timing;
use quorate_machine::ApplicationFactory;
use quorate_types::message::Message;
use quorate_types::{Height, Rejection, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::audit::Audit;
use crate::chart::Chart;
use crate::coverage::Coverage;
use crate::faults::Fault;
use crate::host::Host;
use crate::observe::Violation;
use crate::panics::catch_quietly;
use crate::plan::Plan;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::world::{Parts, World};

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Events that happened.
    pub events: u64,
    /// Simulated time that passed.
    pub simulated: Duration,
    /// The height up to which honest replicas committed.
    pub commits: u64,
    /// The highest view that an honest replica entered.
    pub view_changes: u64,
    /// How many checkpoints became stable.
    pub checkpoints: u64,
    /// The attacks of each traitor, and how often it deviated from the protocol with each.
    pub attacks: Vec<(Attack, u64)>,
    /// What became of them.
    pub coverage: Coverage,
    /// How many messages were refused, by reason.
    pub rejections: BTreeMap<Rejection, u64>,
    /// What happened at least once: faults by their kinds, stops for the disk's sake, states fetched.
    pub happened: BTreeSet<&'static str>,
    /// The first property that was broken, and the number of the event that broke it.
    pub violation: Option<(Violation, u64)>,
    /// Messages that replicas sent, by their kind in [`Message::KINDS`].
    pub sent: [u64; Message::KINDS.len()],
    /// The hash over every event.
    pub audit: Audit,
    /// The main events in words, if they were asked for.
    pub story: Vec<String>,
    /// A chart, if it was asked for.
    pub chart: Option<Chart>,
}

/// Runs a plan. A panic of a machine is a violation like any other.
///
/// # Panics
/// If [`Plan::validate`] refuses the plan.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    run_guarded(plan, false)
}

/// Runs a plan, tells its main events and draws a chart of them.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn run_with_story(plan: &Plan) -> Report {
    run_guarded(plan, true)
}

fn run_guarded(plan: &Plan, with_story: bool) -> Report {
    plan.validate().unwrap_or_else(|error| panic!("{error}"));
    let mut run = Run::new(plan, with_story);
    // What a panic leaves half done is only counted, not driven any further.
    if let Err(words) = catch_quietly(|| run.go()) {
        run.world.violate(Violation::of("machines do not panic", words));
    }
    run.report()
}

/// How long after healing everything may take that was asked for: every liar in turn is primary for
/// as long as it may be, twice, as replicas may have to meet in one view first; statuses fill the gaps
/// between; and a primary that is as slow as it can be handles one request of each client at a time.
#[must_use]
pub fn liveness_bound(timing: &Timing, liars: u32, requests: u32) -> Duration {
    timing.view_timeout_max * (4 * liars + 4 + requests) + timing.status_interval * 16
}

/// After so many statuses whoever is behind has caught up.
pub const STATUSES_TO_SETTLE: u32 = 4;

struct Run<'a> {
    plan: &'a Plan,
    world: World,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, with_story: bool) -> Self {
        let setup = Setup::planned(plan.replicas, plan.crypto, plan.bounds);
        let application = ApplicationFactory::new(Tally::default);
        let mut world = World::new(Parts {
            seed: plan.seed,
            setup,
            network: plan.network.clone(),
            costs: plan.costs,
            application,
            workload: plan.workload.clone(),
        });
        world.faults.clone_from(&plan.faults);
        if with_story {
            world.story = Some(Vec::new());
            world.record();
        }
        for (host, skew_us) in world.hosts.iter_mut().zip(&plan.skews_us) {
            host.skew = skew_us * 1000;
        }
        let mut run = Self { plan, world };
        run.turn_traitors();
        run
    }

    /// Traitors know each other's keys, and what the others hear if they collude.
    fn turn_traitors(&mut self) {
        let liars: Vec<ReplicaId> =
            self.plan.byzantine.iter().map(|traitor| ReplicaId(traitor.replica)).collect();
        let group = self.plan.colluding.then(Group::default);
        for traitor in &self.plan.byzantine {
            let replica = ReplicaId(traitor.replica);
            let colluders = liars.iter().filter(|other| **other != replica);
            let colluders = colluders.map(|other| (*other, self.world.setup.key(*other))).collect();
            let host = &mut self.world.hosts[replica.index()];
            host.attack = Some(traitor.attack.clone());
            host.colluders = colluders;
            host.group.clone_from(&group);
            self.world.distrust(replica);
        }
    }

    fn go(&mut self) {
        self.world.start();
        self.world.demand(self.plan.workload.requests);
        let healed = self.plan.faults.iter().rfind(|timed| timed.fault == Fault::Heal);
        let healed = healed.map_or(0, |timed| timed.at_us * 1000);
        while self.world.step(healed) {}
        self.world.now = self.world.now.max(healed);
        self.world.close(self.plan.workload.requests);
    }

    fn report(self) -> Report {
        let world = self.world;
        let statuses = || world.honest().map(|replica| world.hosts[replica.index()].status());
        let commits = statuses().map(|status| status.committed).max().unwrap_or(Height(0)).0;
        let stable = statuses().map(|status| status.stable).max().unwrap_or(Height(0)).0;
        Report {
            seed: self.plan.seed,
            events: world.events,
            simulated: Duration::from_nanos(world.now),
            commits,
            view_changes: statuses().map(|status| status.view.0).max().unwrap_or(0),
            checkpoints: stable / self.plan.bounds.checkpoint_interval,
            attacks: world.hosts.iter().flat_map(deviations).collect(),
            chart: world.recorder.is_some().then(|| world.chart()),
            sent: world.counters.sent,
            happened: world.counters.happened,
            coverage: world.counters.coverage,
            rejections: world.counters.rejections,
            audit: world.audit,
            violation: world.violation.clone().map(|violation| (violation, world.events)),
            story: world.story.unwrap_or_default(),
        }
    }
}

/// How often each attack of a traitor deviated.
fn deviations(host: &Host) -> impl Iterator<Item = (Attack, u64)> + '_ {
    let attacks: BTreeSet<Attack> =
        host.attack.iter().flat_map(Spec::parts).map(|part| part.attack).collect();
    attacks.into_iter().map(|attack| (attack, host.fired_of(attack.name())))
}
