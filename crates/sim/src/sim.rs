//! How does a test drive a cluster by hand? It stops replicas, cuts links and submits requests,
//! and lets time pass until something holds.

use bytes::Bytes;
use quorate_attack::{Adversary, Spec};
use quorate_consensus::client::{ClientError, Completed, Ticket};
use quorate_consensus::{ReplicaStatus, Timing};
use quorate_machine::{ApplicationFactory, StateMachine, Typed, encode};
use quorate_types::message::Message;
use quorate_types::{Evidence, ProtocolParameters, Rejection, ReplicaId, SecretKey};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chart::Chart;
use crate::clients::Workload;
use crate::costs::Costs;
use crate::delays::Delays;
use crate::disk::Part;
use crate::faults::Fault;
use crate::history::History;
use crate::network::NetworkParameters;
use crate::observe::Violation;
use crate::setup::{CLIENTS_MAX, Crypto, Setup, timing};
use crate::tally::Tally;
use crate::world::{Parts, World};

/// How long [`Sim::run_until`] waits at most, in simulated time.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The latency of a [`Sim`] that nobody changed.
pub const LATENCY: Duration = Duration::from_millis(1);

/// A cluster that a test drives. Its invariants are checked all the time.
pub struct Sim {
    world: World,
    names: BTreeMap<String, usize>,
    is_started: bool,
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
    /// What is replicated.
    pub application: ApplicationFactory,
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
            application: ApplicationFactory::new(Tally::default),
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

    /// A cluster with other settings.
    ///
    /// # Panics
    /// If there cannot be such a cluster.
    #[must_use]
    pub fn with(replicas: u16, seed: u64, options: SimOptions) -> Self {
        let SimOptions { crypto, network, costs, parameters, timing, application } = options;
        let setup = Arc::new(Setup::new(replicas, crypto, parameters, timing));
        let workload = Workload::none();
        let mut world = World::new(Parts { seed, setup, network, costs, application, workload });
        world.delays.switch_on();
        Self { world, names: BTreeMap::new(), is_started: false }
    }

    /// A replica.
    pub fn replica(&mut self, id: ReplicaId) -> SimReplica<'_> {
        self.start();
        SimReplica { world: &mut self.world, id }
    }

    /// The client of this name; a new one if there is none.
    ///
    /// # Panics
    /// If there would be more than [`CLIENTS_MAX`].
    pub fn client(&mut self, name: &str) -> SimClient<'_> {
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
        SimClient { world: &mut self.world, index }
    }

    /// A replica lies from now on, also after restarts.
    pub fn byzantine(&mut self, id: ReplicaId, attack: impl Into<Spec>) {
        self.start();
        let attack = attack.into();
        let adversary = attack.build();
        self.world.hosts[id.index()].attack = Some(attack);
        self.turn(id, adversary, Vec::new());
    }

    /// A replica lies from now on until its process ends, with an adversary of one's own and the keys
    /// of others that collude with it.
    pub fn byzantine_with(
        &mut self,
        id: ReplicaId,
        adversary: impl Into<Box<dyn Adversary>>,
        colluders: &[ReplicaId],
    ) {
        self.start();
        let keys = colluders.iter().map(|other| (*other, self.world.setup.key(*other))).collect();
        self.turn(id, adversary.into(), keys);
    }

    fn turn(&mut self, id: ReplicaId, adversary: Box<dyn Adversary>, colluders: Vec<(ReplicaId, SecretKey)>) {
        self.world.distrust(id);
        let config = self.world.setup.config(id);
        let seed = self.world.adversary_seed;
        let host = &mut self.world.hosts[id.index()];
        host.colluders.clone_from(&colluders);
        if let Some(participant) = host.participant() {
            participant.attack(adversary, &config, colluders, seed);
        }
        host.poll_timeout();
    }

    /// Nothing passes between two replicas any more, in both directions.
    pub fn cut(&mut self, one: ReplicaId, other: ReplicaId) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// What `from` sends does not reach `to` any more.
    pub fn cut_one_way(&mut self, from: ReplicaId, to: ReplicaId) {
        self.world.network.cut(from, to);
    }

    /// Nothing passes between a replica and all others any more.
    pub fn isolate(&mut self, id: ReplicaId) {
        for other in self.world.others(id) {
            self.cut(id, other);
        }
    }

    /// All links carry all messages again, and all replicas run. Byzantine ones stay Byzantine.
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
    /// the whole run lead to. Only for clusters that add numbers.
    ///
    /// # Errors
    /// A property was broken, or they do not meet within [`WAIT_MAX`].
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.run_until(|sim| {
            let honest = || sim.history().honest().map(|replica| (sim.is_up(replica), sim.status(replica)));
            let highest = honest().map(|(_, status)| status.committed).max();
            honest().all(|(is_up, status)| is_up && Some(status.executed) == highest && !status.is_recovering)
        })?;
        self.world.judge_states();
        self.check()
    }

    /// Replaces the network's behaviour.
    pub fn set_network(&mut self, parameters: NetworkParameters) {
        self.world.network.become_like(parameters);
    }

    /// Runs until the condition holds.
    ///
    /// # Errors
    /// A property was broken, or the condition does not hold within [`WAIT_MAX`].
    pub fn run_until(&mut self, mut condition: impl FnMut(&Self) -> bool) -> Result<(), Violation> {
        self.start();
        let limit = self.world.now + nanos(WAIT_MAX);
        while !condition(self) {
            if !self.world.step(limit) {
                self.check()?;
                let what = format!("{} ms passed; {}", WAIT_MAX.as_millis(), self.describe());
                return Err(Violation::of("what a test waits for happens", what));
            }
        }
        self.check()
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A property was broken.
    pub fn run_for(&mut self, span: Duration) -> Result<(), Violation> {
        self.start();
        let end = self.world.now + nanos(span);
        while self.world.step(end) {}
        self.world.now = end;
        self.check()
    }

    /// Runs until every request has ended.
    ///
    /// # Errors
    /// A property was broken, or a request is still open after [`WAIT_MAX`].
    pub fn run_until_done(&mut self) -> Result<(), Violation> {
        self.run_until(Self::is_idle)
    }

    /// Whether every request has ended.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.world.clients.iter().all(|client| client.outstanding.is_empty())
    }

    /// Whether no property was broken so far.
    ///
    /// # Errors
    /// The first property that was broken.
    pub fn check(&self) -> Result<(), Violation> {
        self.world.violation.clone().map_or(Ok(()), Err)
    }

    /// Simulated time since the start.
    #[must_use]
    pub const fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now)
    }
    /// Where a replica stands, or stood when it stopped.
    #[must_use]
    pub fn status(&self, id: ReplicaId) -> ReplicaStatus {
        self.world.hosts[id.index()].status()
    }
    /// Whether something happened at least once: see [`crate::Report::happened`].
    #[must_use]
    pub fn happened(&self, what: &str) -> bool {
        self.world.counters.happened.contains(what)
    }
    /// How many operations that change it a replica's disk has seen.
    #[must_use]
    pub fn disk_operations(&self, id: ReplicaId, part: Part) -> u64 {
        self.world.hosts[id.index()].disk.files(part).operations()
    }
    /// Whether a replica's process runs.
    #[must_use]
    pub fn is_up(&self, id: ReplicaId) -> bool {
        self.world.hosts[id.index()].is_up()
    }
    /// Every replica's number.
    #[must_use]
    pub fn replicas(&self) -> Vec<ReplicaId> {
        self.world.setup.membership.replicas().collect()
    }
    /// How many messages of a kind replicas have sent, one for each recipient. Kinds are named in
    /// [`Message::KINDS`].
    ///
    /// # Panics
    /// If there is no such kind.
    #[must_use]
    pub fn sent(&self, kind: &str) -> u64 {
        let position = Message::KINDS.iter().position(|name| *name == kind);
        self.world.counters.sent[position.unwrap_or_else(|| panic!("no message kind {kind}"))]
    }
    /// How many messages were refused for this reason, by replicas and clients.
    #[must_use]
    pub fn rejected(&self, reason: Rejection) -> u64 {
        self.world.counters.rejections.get(&reason).copied().unwrap_or(0)
    }
    /// The proofs of misbehaviour that replicas showed.
    #[must_use]
    pub fn evidence(&self) -> &[Arc<Evidence>] {
        &self.world.counters.evidence
    }
    /// When blocks were proposed and committed, and how long requests took.
    #[must_use]
    pub const fn delays(&self) -> &Delays {
        &self.world.delays
    }
    /// What follows from all that was observed.
    #[must_use]
    pub const fn history(&self) -> &History {
        self.world.invariants.history()
    }
    /// A replica's state machine; `None` if it is of another type.
    #[must_use]
    pub fn state<S: StateMachine>(&self, id: ReplicaId) -> Option<&S> {
        Typed::<S>::machine_in(self.world.hosts[id.index()].application())
    }
    /// How often a Byzantine replica really deviated from the protocol.
    #[must_use]
    pub fn fired(&self, id: ReplicaId) -> u64 {
        self.world.hosts[id.index()].fired()
    }
    /// How a request ended, and when; `None` while it has not.
    #[must_use]
    pub fn outcome(&self, name: &str, ticket: Ticket) -> Option<&(Result<Completed, ClientError>, u64)> {
        self.world.clients.get(*self.names.get(name)?)?.ended.get(&ticket)
    }

    /// Begins to write down the main events, for a test that fails.
    pub fn tell_story(&mut self) {
        self.world.story.get_or_insert_default();
    }
    /// The main events so far.
    #[must_use]
    pub fn story(&self) -> &[String] {
        self.world.story.as_deref().unwrap_or_default()
    }

    /// Begins to record what a [`Chart`] shows.
    pub fn record(&mut self) {
        self.world.record();
    }
    /// A chart of what happened since recording began.
    #[must_use]
    pub fn chart(&self) -> Chart {
        self.world.chart()
    }

    fn start(&mut self) {
        if !std::mem::replace(&mut self.is_started, true) {
            self.world.start();
        }
    }

    fn describe(&self) -> String {
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

/// One replica in the hands of a test.
pub struct SimReplica<'a> {
    world: &'a mut World,
    id: ReplicaId,
}

impl SimReplica<'_> {
    /// Ends its process: what was not synced is lost. Nothing happens if it does not run.
    pub fn stop(&mut self) -> &mut Self {
        self.world.crash(self.id);
        self
    }
    /// Ends its process; the operating system still writes what it was told.
    pub fn kill(&mut self) -> &mut Self {
        self.world.kill(self.id);
        self
    }
    /// From now on it counts as Byzantine, whatever it does.
    pub fn distrust(&mut self) -> &mut Self {
        self.world.distrust(self.id);
        self
    }
    /// Starts its process if it does not run.
    pub fn start(&mut self) -> &mut Self {
        self.world.start_replica(self.id);
        self
    }
    /// Starts its process from its disk, after ending the one that may run.
    pub fn restart(&mut self) -> &mut Self {
        self.world.crash(self.id);
        self.world.start_replica(self.id);
        self
    }
    /// Ends its process and replaces its disk by an empty one (rule D3).
    pub fn wipe(&mut self) -> &mut Self {
        self.world.wipe(self.id, false);
        self
    }
    /// Ends its process and puts its disk back to how `init` left it. As it does not know what it
    /// forgot, it counts as Byzantine from then on.
    pub fn roll_back(&mut self) -> &mut Self {
        self.world.wipe(self.id, true);
        self
    }
    /// Where it stands, or stood when it stopped.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.world.hosts[self.id.index()].status()
    }
    /// Whether its process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.world.hosts[self.id.index()].is_up()
    }
}

/// One client in the hands of a test.
pub struct SimClient<'a> {
    world: &'a mut World,
    index: usize,
}

impl SimClient<'_> {
    /// Submits a number to a cluster that adds them.
    ///
    /// # Panics
    /// Never: a number has an encoding.
    pub fn submit(&mut self, add: u64) -> Ticket {
        self.submit_bytes(encode(&add, usize::MAX).expect("a number has an encoding"))
    }
    /// Submits a command of any state machine, encoded.
    pub fn submit_bytes(&mut self, command: impl Into<Bytes>) -> Ticket {
        self.world.submit(self.index, command.into())
    }
    /// It never reaches this replica, from now on.
    pub fn lose_sight_of(&mut self, id: ReplicaId) -> &mut Self {
        self.world.unreachable.push((self.index, id.0));
        self
    }
    /// How many of its requests have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.world.clients[self.index].outstanding.len()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
