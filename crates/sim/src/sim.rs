//! How does a test drive a cluster by hand? It stops replicas, cuts links and submits requests,
//! and lets time pass until something holds.

use quorate_attack::Adversary;
use quorate_consensus::Timing;
use quorate_machine::{ApplicationFactory, StateMachine};
use quorate_types::{ProtocolParameters, ReplicaId};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::Workload;
use crate::costs::Costs;
use crate::faults::Fault;
use crate::invariants::Judged;
use crate::lab::{Check, Overlay, SimResult, Until};
use crate::network::NetworkParameters;
use crate::observe::Violation;
use crate::replay::Replay;
use crate::setup::{CLIENTS_MAX, Crypto, Setup, nanos, timing};
use crate::stream::Stream;
use crate::tally::Tally;
use crate::world::{Parts, World};

mod handles;
mod observed;

pub use handles::{AsReplica, SimClient, SimReplica, SimTraitor};

/// How long [`Sim::run_until`] waits at most, in simulated time.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The latency of a [`Sim`] that nobody changed.
pub const LATENCY: Duration = Duration::from_millis(1);

/// A cluster that a test drives, which replicates a state machine `S`. Its invariants are checked all the time.
///
/// Replicas are named by their numbers, by their ids, or by the handles of traitors: see [`AsReplica`].
pub struct Sim<S: StateMachine = Tally> {
    pub(crate) world: World,
    names: BTreeMap<String, usize>,
    is_started: bool,
    pub(crate) overlay: Overlay,
    /// What the test draws from.
    random: Option<Stream>,
    machine: PhantomData<fn() -> S>,
}

/// What a [`Sim`] is made of. The default is quiet: every message takes [`LATENCY`], nothing else
/// takes any time, nothing is lost.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// How replicas and clients sign.
    pub crypto: Crypto,
    /// How the network behaves.
    pub network: NetworkParameters,
    /// What local work costs.
    pub costs: Costs,
    /// The parameters of genesis.
    pub parameters: ProtocolParameters,
    /// The replicas' spans of time.
    pub timing: Timing,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            crypto: Crypto::Fast,
            network: NetworkParameters::quiet(LATENCY.as_micros() as u64),
            costs: Costs::default(),
            parameters: ProtocolParameters {
                checkpoint_interval: 4,
                window: 64,
                ..ProtocolParameters::default()
            },
            timing: timing(),
        }
    }
}

impl Sim {
    /// A quiet cluster of so many replicas that adds numbers.
    ///
    /// # Panics
    /// If there cannot be such a cluster.
    #[must_use]
    pub fn new(replicas: u16, seed: u64) -> Self {
        Self::with(replicas, seed, SimOptions::default())
    }

    /// A cluster that adds numbers, with other settings.
    ///
    /// # Panics
    /// If there cannot be such a cluster.
    #[must_use]
    pub fn with(replicas: u16, seed: u64, options: SimOptions) -> Self {
        Self::of(replicas, seed, options, Tally::default)
    }
}

impl<S: StateMachine> Sim<S> {
    /// A cluster of so many replicas, each of which begins with what `start` makes.
    ///
    /// # Panics
    /// If there cannot be such a cluster.
    #[must_use]
    pub fn of(
        replicas: u16,
        seed: u64,
        options: SimOptions,
        start: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        let SimOptions { crypto, network, costs, parameters, timing } = options;
        let setup = Arc::new(Setup::new(replicas, crypto, parameters, timing));
        let workload = Workload::none();
        let application = ApplicationFactory::new(start);
        let mut world = World::new(Parts { seed, setup, network, costs, application, workload });
        world.delays.switch_on();
        Self::around(world)
    }

    pub(crate) fn around(mut world: World) -> Self {
        world.replay = Some(Replay::new(&world.application));
        let (names, overlay) = (BTreeMap::new(), Overlay::default());
        Self { world, names, is_started: false, overlay, random: None, machine: PhantomData }
    }

    /// A replica.
    ///
    /// # Panics
    /// If the cluster has no such replica, here and wherever else one is named.
    pub fn replica(&mut self, replica: impl AsReplica) -> SimReplica<'_> {
        self.start();
        let id = self.id_of(&replica);
        SimReplica { world: &mut self.world, id }
    }

    /// The client of this name; a new one if there is none. It borrows the simulation: ask for it again, by its
    /// name, after time has passed.
    ///
    /// # Panics
    /// If there would be more than [`CLIENTS_MAX`].
    pub fn client(&mut self, name: &str) -> SimClient<'_, S> {
        self.start();
        let index = match self.names.get(name) {
            Some(index) => *index,
            None => {
                assert!(self.names.len() < CLIENTS_MAX, "a simulation has at most {CLIENTS_MAX} clients");
                let index = self.world.add_client();
                self.names.insert(name.to_owned(), index);
                index
            }
        };
        SimClient::new(&mut self.world, &mut self.overlay, index)
    }

    /// A replica lies from now on, also after restarts: its adversary keeps what it knows.
    pub fn byzantine(
        &mut self,
        replica: impl AsReplica,
        adversary: impl Into<Box<dyn Adversary>>,
    ) -> SimTraitor {
        self.byzantine_with(replica, adversary, &[])
    }

    /// The same with the keys of others that collude with it.
    pub fn byzantine_with(
        &mut self,
        replica: impl AsReplica,
        adversary: impl Into<Box<dyn Adversary>>,
        colluders: &[ReplicaId],
    ) -> SimTraitor {
        self.start();
        let (id, adversary) = (self.id_of(&replica), adversary.into());
        let traitor = SimTraitor { id, name: adversary.name() };
        self.world.distrust(id);
        let Some(adversary) = self.overlay.turn(traitor, adversary) else { return traitor };
        let keys: Vec<_> = colluders.iter().map(|other| (*other, self.world.setup.key(*other))).collect();
        let config = self.world.setup.config(id, u64::from(self.world.hosts[id.index()].incarnation));
        let seed = self.world.adversary_seed;
        self.world.hosts[id.index()].turn(adversary, &config, keys, seed);
        traitor
    }

    /// Nothing passes between two replicas any more, in both directions.
    pub fn cut(&mut self, one: impl AsReplica, other: impl AsReplica) {
        let (one, other) = (self.id_of(&one), self.id_of(&other));
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// What `from` sends does not reach `to` any more.
    pub fn cut_one_way(&mut self, from: impl AsReplica, to: impl AsReplica) {
        let (from, to) = (self.id_of(&from), self.id_of(&to));
        self.world.network.cut(from, to);
    }

    /// Nothing passes between a replica and all others any more.
    pub fn isolate(&mut self, replica: impl AsReplica) {
        let id = self.id_of(&replica);
        for other in self.world.others(id) {
            self.cut(id, other);
        }
    }

    /// Replicas of different groups do not hear each other; who is in none hears nobody.
    pub fn partition(&mut self, groups: &[&[u16]]) {
        let groups = groups.iter().map(|group| group.to_vec()).collect();
        self.strike(&Fault::Partition { groups });
    }

    /// The clients in their order, behind the names that charts give them.
    pub(crate) fn client_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.iter().map(|(name, index)| (index, name)).collect();
        names.sort();
        names.into_iter().map(|(index, name)| format!("C{index} is {name}")).collect()
    }

    /// A number below `end`, from the seed: for tests that vary what they do. The same for every plan of a seed.
    pub fn draw(&mut self, end: u64) -> u64 {
        let seed = self.world.seed;
        self.random.get_or_insert_with(|| Stream::new(seed, "body of a test")).below(end)
    }

    /// A client of this name submits what no state machine understands, so many times.
    pub(crate) fn probe(&mut self, name: &str, command: &[u8], requests: u32) {
        let client = self.client(name).index();
        self.world.clients[client].is_probe = true;
        for _ in 0..requests {
            self.world.submit(client, bytes::Bytes::copy_from_slice(command));
        }
    }

    /// All links carry all messages again, none is late, disks work, and all replicas run. What the environment still
    /// had in store does not happen any more. Byzantine replicas stay Byzantine.
    pub fn heal(&mut self) {
        self.start();
        self.world.heal();
    }

    /// Lets a fault of plans strike.
    pub fn strike(&mut self, fault: &Fault) {
        self.start();
        self.world.strike(fault);
    }

    /// Runs until all honest replicas have executed the same blocks, and compares their states with what the blocks of
    /// the whole run lead to.
    ///
    /// # Errors
    /// A property was broken, or they do not meet within [`WAIT_MAX`].
    pub fn settle(&mut self) -> SimResult {
        self.run_until(|sim: &Self| {
            let honest = || sim.history().honest().map(|replica| (sim.is_up(replica), sim.status(replica)));
            let highest = honest().map(|(_, status)| status.committed).max();
            honest().all(|(is_up, status)| is_up && Some(status.executed) == highest && !status.is_recovering)
        })?;
        self.world.judge_states();
        self.verdict()
    }

    /// Replaces the network's behaviour.
    pub fn set_network(&mut self, parameters: NetworkParameters) {
        self.world.network.become_like(parameters);
    }

    /// Runs until the goal is reached: [`crate::lab::views`], [`crate::lab::seconds`], several of them, or a
    /// condition of one's own, `|sim: &Sim<S>| ..`.
    ///
    /// # Errors
    /// A property was broken, or the goal is not reached within [`WAIT_MAX`].
    pub fn run_until(&mut self, goal: impl Until<S>) -> SimResult {
        self.start();
        let limit = self.world.now + nanos(WAIT_MAX);
        if self.run_to(goal, limit) || self.world.violation.is_some() {
            return self.verdict();
        }
        let what = format!("{} ms passed; {}", WAIT_MAX.as_millis(), self.describe());
        Err(Violation::of("what a test waits for happens", what))
    }

    /// Runs until the goal is reached, the time has come, or a property is broken. Says whether the goal is reached.
    pub(crate) fn run_to(&mut self, mut goal: impl Until<S>, limit: u64) -> bool {
        self.start();
        loop {
            if goal.is_reached(self) {
                return true;
            }
            let end = goal.by().map_or(limit, |by| limit.min(nanos(by)));
            if !self.world.step(end) {
                if self.world.violation.is_some() {
                    return false;
                }
                // Nothing happens before: only time passes.
                self.world.now = self.world.now.max(end);
                if end >= limit {
                    return goal.is_reached(self);
                }
            }
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A property was broken.
    pub fn run_for(&mut self, span: Duration) -> SimResult {
        self.start();
        let end = self.world.now + nanos(span);
        while self.world.step(end) {}
        self.world.now = end;
        self.verdict()
    }

    /// Runs until every request has ended.
    ///
    /// # Errors
    /// A property was broken, or a request is still open after [`WAIT_MAX`].
    pub fn run_until_done(&mut self) -> SimResult {
        self.run_until(Self::is_idle)
    }

    /// Whether every request has ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.world.clients.iter().all(|client| client.outstanding.is_empty())
    }

    /// Judges the run so far: [`crate::lab::safety`], [`crate::lab::live`], [`crate::lab::evidence`],
    /// [`crate::lab::fired`], or a check of one's own.
    ///
    /// # Errors
    /// The first property that was broken.
    pub fn check(&mut self, check: impl Check<S>) -> Result<&mut Self, Violation> {
        self.start();
        check.check(self)?;
        Ok(self)
    }

    /// Demands something of the state of every honest replica, as it is now. A replica that is behind has an earlier
    /// state.
    ///
    /// # Errors
    /// A state is not as it should be, or a property was broken before.
    pub fn check_state(&mut self, holds: impl Fn(&S) -> bool) -> SimResult {
        self.start();
        self.verdict()?;
        match self.honest_states().find(|(_, state)| !holds(state)) {
            None => Ok(()),
            Some((replica, _)) => {
                let executed = self.world.hosts[replica.index()].applied;
                let what = format!("it is not at replica {replica}, which executed up to height {executed}");
                Err(Violation::of("the state is as the test demands", what))
            }
        }
    }

    /// The states of all honest replicas, as they are now, with their replicas.
    pub fn honest_states(&self) -> impl Iterator<Item = (ReplicaId, &S)> {
        self.history().honest().map(|replica| (replica, self.state(replica)))
    }

    /// Whether no property was broken so far.
    pub(crate) fn verdict(&self) -> SimResult {
        self.world.violation.clone().map_or(Ok(()), Err)
    }

    /// From now on only this counts; what was broken so far is forgotten, so that a test can go on beyond a violation
    /// that it expected.
    pub fn judge(&mut self, judged: Judged) {
        self.world.violation = None;
        self.world.invariants.judged = judged;
    }

    pub(crate) fn start(&mut self) {
        if !std::mem::replace(&mut self.is_started, true) {
            self.world.start();
        }
    }

    pub(crate) fn id_of(&self, replica: &impl AsReplica) -> ReplicaId {
        let (id, replicas) = (replica.id(), self.world.hosts.len());
        assert!(id.index() < replicas, "there is no replica {id}: {replicas} replicas are numbered from 0");
        id
    }

    pub(crate) fn describe(&self) -> String {
        let one = |host: &crate::host::Host| {
            let (id, status) = (host.id, host.status());
            let state = if host.is_up() { "" } else { " (down)" };
            format!(
                "replica {id}{state}: view {}, committed {}, executed {}",
                status.view, status.committed, status.executed
            )
        };
        self.world.hosts.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}
