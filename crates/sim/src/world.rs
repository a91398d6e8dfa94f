//! What happens when? The whole simulated cluster: takes the next event or timeout, gives it to
//! the machine that it is for, and performs what that machine wants done.

use quorate_consensus::{HeldOfPeer, Input, Peer, client::ClientInput};
use quorate_machine::{ApplicationFactory, Typed};
use quorate_types::message::{ClientMessage, Message};
use quorate_types::{Authenticated, Evidence, Rejection, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::Audit;
use crate::chart::Recorder;
use crate::clients::{ClientHost, Workload};
use crate::costs::Costs;
use crate::coverage::Coverage;
use crate::delays::Delays;
use crate::faults::TimedFault;
use crate::host::{Host, NEVER};
use crate::invariants::Invariants;
use crate::network::{Network, NetworkParameters};
use crate::observe::{Observation, Violation};
use crate::queue::{Event, Queue};
use crate::replay::Replay;
use crate::setup::Setup;
use crate::stream::Stream;
use crate::tally::Tally;

/// Most events of one run; who needs more runs in circles.
pub const EVENTS_MAX: u64 = 2_000_000;
/// Most actions after one input.
const ACTIONS_MAX: u32 = 20_000;
/// Most timeouts of all machines together without any time passing.
const SPINS_MAX: u32 = 10_000;

/// What a world is made of.
pub(crate) struct Parts {
    pub(crate) seed: u64,
    pub(crate) setup: Arc<Setup>,
    pub(crate) network: NetworkParameters,
    pub(crate) costs: Costs,
    pub(crate) application: ApplicationFactory,
    pub(crate) workload: Workload,
}

/// A cluster with everything around it.
pub(crate) struct World {
    pub(crate) setup: Arc<Setup>,
    pub(crate) application: ApplicationFactory,
    /// Nanoseconds since the start.
    pub(crate) now: u64,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) costs: Costs,
    pub(crate) hosts: Vec<Host>,
    pub(crate) clients: Vec<ClientHost>,
    pub(crate) workload: Workload,
    pub(crate) unreachable: Vec<(usize, u16)>,
    pub(crate) faults: Vec<TimedFault>,
    pub(crate) invariants: Invariants,
    /// Executes again what was executed; campaigns do without.
    pub(crate) replay: Option<Replay>,
    pub(crate) violation: Option<Violation>,
    pub(crate) audit: Audit,
    pub(crate) events: u64,
    pub(crate) counters: Counters,
    pub(crate) delays: Delays,
    pub(crate) story: Option<Vec<String>>,
    pub(crate) recorder: Option<Recorder>,
    /// Delays of verification, execution and disks: streams of their own, so that order varies.
    pub(crate) verify_random: Stream,
    pub(crate) execute_random: Stream,
    pub(crate) disk_random: Stream,
    /// What a loss of power leaves.
    pub(crate) power_random: Stream,
    pub(crate) adversary_seed: u64,
    pub(crate) seed: u64,
    /// What a replica holds for each other one, while it is judged.
    of_peers: Vec<HeldOfPeer>,
    spins: u32,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Messages that replicas sent, one for each recipient, by [`Message::kind`].
    pub(crate) sent: [u64; Message::KINDS.len()],
    /// Refused messages by reason.
    pub(crate) rejections: BTreeMap<Rejection, u64>,
    /// What happened at least once: faults by their kinds, stops for the disk's sake, states fetched.
    pub(crate) happened: BTreeSet<&'static str>,
    /// What became of attacks.
    pub(crate) coverage: Coverage,
    /// Proofs that honest replicas showed, each once.
    pub(crate) evidence: Vec<Arc<Evidence>>,
}

impl World {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { seed, setup, network, costs, application, workload } = parts;
        let replicas = setup.replicas();
        let hosts = setup.membership.replicas().map(|id| Host::new(id, &setup, application.make())).collect();
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            network: Network::new(replicas, network, seed),
            costs,
            hosts,
            clients: Vec::new(),
            unreachable: workload.unreachable.clone(),
            workload,
            faults: Vec::new(),
            invariants: Invariants::new(Arc::clone(&setup), application.clone(), seed),
            replay: None,
            violation: None,
            audit: Audit::default(),
            events: 0,
            counters: Counters::default(),
            delays: Delays::default(),
            story: None,
            recorder: None,
            verify_random: Stream::new(seed, "verification"),
            execute_random: Stream::new(seed, "execution"),
            disk_random: Stream::new(seed, "disks"),
            power_random: Stream::new(seed, "power"),
            adversary_seed: Stream::new(seed, "adversaries").draw(),
            seed,
            of_peers: Vec::new(),
            spins: 0,
            application,
            setup,
        };
        world.invariants.set_first_primaries(&world.setup.first_primaries);
        for _ in 0..world.workload.clients {
            world.add_client();
        }
        world
    }

    /// Starts all replicas and schedules the faults.
    pub(crate) fn start(&mut self) {
        for index in 0..self.faults.len() {
            let at = self.faults[index].at_us * 1000;
            self.push(at, Event::Fault(index));
        }
        for replica in self.setup.membership.replicas() {
            self.start_replica(replica);
        }
    }

    /// Lets the next thing happen, unless that is later than `limit` or a property was broken. Says
    /// whether something happened.
    pub(crate) fn step(&mut self, limit: u64) -> bool {
        if self.violation.is_some() {
            return false;
        }
        let (timeout, machine) = self.next_timeout();
        let event = self.queue.next_time().unwrap_or(NEVER);
        let time = timeout.min(event);
        if time > limit || time == NEVER {
            return false;
        }
        self.count_event(time);
        if event <= timeout {
            if let Some((_, event)) = self.queue.pop() {
                self.audit.event(time, &event);
                self.happen(event);
            }
        } else {
            self.audit.timeout(time, machine);
            self.time_out(machine);
        }
        true
    }

    fn count_event(&mut self, time: u64) {
        if time > self.now {
            self.spins = 0;
        }
        self.now = self.now.max(time);
        self.events += 1;
        if self.events >= EVENTS_MAX {
            self.violate(Violation::of("a run ends", format!("{EVENTS_MAX} events were not enough")));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Message { from, to, connection, message, is_deviation } => {
                if connection == self.connection(from, to) {
                    self.note_delivered(from, to, &message);
                    if is_deviation {
                        self.count_reached(from, to);
                    }
                    self.feed(to, Input::Message(Authenticated::from_channel(from, message)));
                }
            }
            Event::Input { replica, incarnation, input } => {
                if self.is_same(replica, incarnation) {
                    self.feed(replica, input);
                }
            }
            Event::Synced { replica, incarnation, through } => {
                if self.is_same(replica, incarnation) {
                    self.on_synced(replica, through);
                }
            }
            Event::SnapshotSynced { replica, incarnation, header, head } => {
                if self.is_same(replica, incarnation) {
                    self.on_snapshot_synced(replica, header, head);
                }
            }
            Event::ClientMessage { client, replica, incarnation, message } => {
                if self.is_same(replica, incarnation) {
                    let key = self.clients[client].key;
                    let input = match message {
                        ClientMessage::Request(bundle) => Input::Request(key, bundle),
                        ClientMessage::Hello => Input::Connected(Peer::Client(key)),
                    };
                    self.feed(replica, input);
                }
            }
            Event::ReplicaMessage { client, replica, incarnation, message, is_deviation } => {
                if self.is_same(replica, incarnation) {
                    if is_deviation {
                        self.count_reached_client(replica);
                    }
                    let message = Authenticated::from_channel(replica, message);
                    self.feed_client(client, ClientInput::Message(message));
                }
            }
            Event::Connection { client, replica, is_up } => {
                let input =
                    if is_up { ClientInput::Connected(replica) } else { ClientInput::Disconnected(replica) };
                self.feed_client(client, input);
            }
            Event::Think { client } => self.on_thought(client),
            Event::Replace { replica, incarnation } => {
                if self.is_same(replica, incarnation) {
                    self.wipe(replica, false);
                    self.start_replica(replica);
                }
            }
            // Healing clears what is still to come.
            Event::Fault(index) => {
                if let Some(fault) = self.faults.get(index).map(|timed| timed.fault.clone()) {
                    self.strike(&fault);
                }
            }
        }
    }

    fn time_out(&mut self, machine: usize) {
        self.spins += 1;
        if self.spins > SPINS_MAX {
            let what = format!("machine {machine} wants timeouts without end at {} ns", self.now);
            return self.violate(Violation::of("time passes", what));
        }
        match machine.checked_sub(self.hosts.len()) {
            None => self.feed(self.hosts[machine].id, Input::Timeout),
            Some(client) => self.feed_client(client, ClientInput::Timeout),
        }
    }

    /// The earliest timeout that a machine wants, and which: replicas first, then clients.
    fn next_timeout(&self) -> (u64, usize) {
        let timeouts = self.hosts.iter().map(|host| host.timeout);
        let timeouts = timeouts.chain(self.clients.iter().map(|client| client.timeout));
        let (mut earliest, mut machine) = (NEVER, 0);
        for (index, timeout) in timeouts.enumerate() {
            if timeout < earliest {
                (earliest, machine) = (timeout, index);
            }
        }
        // A machine whose timeout has passed gets it now, not in the past.
        (if earliest == NEVER { NEVER } else { earliest.max(self.now) }, machine)
    }

    /// Gives a replica an input and performs what it wants done.
    pub(crate) fn feed(&mut self, replica: ReplicaId, input: Input) {
        self.hosts[replica.index()].handle(self.now, input);
        self.judge_memory(replica);
        self.drain(replica);
    }

    /// Shows the invariants what arrives at an honest replica.
    fn note_delivered(&mut self, from: ReplicaId, to: ReplicaId, message: &Message) {
        let host = &self.hosts[to.index()];
        if host.is_up() && self.is_trusted(to) {
            let view = host.status().view;
            self.observe(Observation::Delivered { at: self.now, from, to, view, message });
        }
    }

    /// Shows the invariants what an honest replica holds for others.
    fn judge_memory(&mut self, replica: ReplicaId) {
        if !self.is_trusted(replica) {
            return;
        }
        let mut of_peers = std::mem::take(&mut self.of_peers);
        if let Some(held) = self.hosts[replica.index()].held(&mut of_peers) {
            self.observe(Observation::Held(replica, held, &of_peers));
        }
        self.of_peers = of_peers;
    }

    pub(crate) fn drain(&mut self, replica: ReplicaId) {
        let mut actions = 0;
        while let Some(action) = self.hosts[replica.index()].participant().and_then(|p| p.poll_action()) {
            self.perform(replica, action);
            actions += 1;
            if actions > ACTIONS_MAX {
                let what = format!("replica {replica} does more than {ACTIONS_MAX} things after one input");
                return self.violate(Violation::of("an input has an end", what));
            }
        }
        self.count_fired(replica);
        self.hosts[replica.index()].poll_timeout();
    }

    /// Schedules an event after so many nanoseconds.
    pub(crate) fn push(&mut self, after: u64, event: Event) {
        self.queue.push(self.now + after, event);
    }

    /// Schedules an input of a replica's own driver; it dies with the process.
    pub(crate) fn push_input(&mut self, after: u64, replica: ReplicaId, input: Input) {
        let incarnation = self.hosts[replica.index()].incarnation;
        self.push(after, Event::Input { replica, incarnation, input });
    }

    /// A connection is as old as both of its ends.
    pub(crate) fn connection(&self, one: ReplicaId, other: ReplicaId) -> u32 {
        self.hosts[one.index()].incarnation + self.hosts[other.index()].incarnation
    }

    fn is_same(&self, replica: ReplicaId, incarnation: u32) -> bool {
        self.hosts[replica.index()].incarnation == incarnation
    }

    /// Whether the replica is honest and never lost its memory unnoticed.
    pub(crate) fn is_trusted(&self, replica: ReplicaId) -> bool {
        self.invariants.history().is_trusted(replica)
    }

    /// Shows the invariants something that an honest replica did; nothing of Byzantine ones.
    pub(crate) fn observe_of(&mut self, replica: ReplicaId, observation: Observation<'_>) {
        if self.is_trusted(replica) {
            self.observe(observation);
        }
    }

    /// Shows the invariants in which state every honest replica is.
    pub(crate) fn judge_states(&mut self) {
        for replica in self.invariants.history().honest().collect::<Vec<_>>() {
            self.replay_state(replica);
            let host = &self.hosts[replica.index()];
            let Some(state) = Typed::<Tally>::machine_in(host.application()).cloned() else { continue };
            let executed = host.status().executed;
            self.observe(Observation::Final(replica, executed, &state));
        }
    }

    /// Shows the invariants something.
    pub(crate) fn observe(&mut self, observation: Observation<'_>) {
        if self.violation.is_none()
            && let Err(violation) = self.invariants.observe(&observation)
        {
            self.violate(violation);
        }
    }

    /// Ends the run.
    pub(crate) fn violate(&mut self, violation: Violation) {
        self.tell(|| format!("VIOLATION of {violation}"));
        self.note_everywhere(|| format!("VIOLATION of {violation}").into());
        self.violation.get_or_insert(violation);
    }

    /// Adds a sentence to the story, if one is told.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            let (ms, us) = (self.now / 1_000_000, self.now / 1000 % 1000);
            story.push(format!("{ms:>6}.{us:03} ms  {}", line()));
        }
    }
}
