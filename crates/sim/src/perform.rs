//! What does a replica's driver do? Performs the actions of its machine, in simulated time.

use quorate_consensus::{Action, Event as Said, Execution, Input, Peer, Recipients};
use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{Bundle, PublicKey, ReplicaId, Unverified};

use crate::observe::{Observation, Violation};
use crate::queue::Event;
use crate::world::World;

impl World {
    /// Performs one action.
    pub(crate) fn perform(&mut self, replica: ReplicaId, action: Action) {
        match action {
            Action::Persist(sequence, record) => self.persist(replica, sequence, &record),
            Action::Send(to, message) => self.send(replica, to, message),
            Action::Verify(peer, work) => self.verify(replica, peer, work),
            Action::Execute(execution) => self.execute(replica, &execution),
            Action::TakeSnapshot(order) => self.take_snapshot(replica, &order),
            Action::BeginTransfer(head, header) => {
                self.use_states(replica, |states| states.begin(head, header));
            }
            Action::AbandonTransfer => {
                self.use_states(replica, |states| states.abandon());
            }
            Action::LookInto(page) => {
                if let Some(missing) = self.use_states(replica, |states| states.look_into(&page)) {
                    let after = self.disk_cost(replica);
                    self.push_input(after, replica, Input::Looked(page, missing));
                }
            }
            Action::StoreChunk(id, bytes) => {
                if let Some((taken, bytes)) = self.use_states(replica, |states| states.store(&id, &bytes)) {
                    self.observe_of(replica, Observation::Gathered(replica, taken, bytes));
                }
            }
            Action::Install(head) => self.install(replica, head),
            Action::ReadChunks(to, digests) => self.read_chunks(replica, to, digests),
            Action::Truncate(number, height) => self.truncate(replica, number, height),
            Action::Certified(_) => {}
            Action::Reply(client, message) => self.reply(replica, client, message),
            Action::Report(evidence) => {
                self.observe_of(replica, Observation::Reported(replica, &evidence));
                self.tell(|| format!("replica {replica} shows proof against replica {}", evidence.replica));
                self.note_of(replica, || format!("evidence: R{}", evidence.replica).into());
                let is_honest = self.is_trusted(replica);
                let known = &mut self.counters.evidence;
                if is_honest && known.len() < EVIDENCE_MAX && !known.iter().any(|other| **other == **evidence)
                {
                    known.push(evidence.into_inner());
                }
            }
            Action::Reject(peer, reason) => {
                *self.counters.rejections.entry(reason).or_default() += 1;
                if let Peer::Replica(from) = peer {
                    self.count_rejected(replica, from, reason);
                }
                self.tell(|| format!("replica {replica} refuses a message of {peer:?}: {reason}"));
            }
            Action::Event(event) => self.on_event(replica, &event),
            Action::Halt(halt) => {
                self.tell(|| format!("replica {replica} halts: {halt}"));
                self.note_of(replica, || "HALT".into());
                self.observe_of(replica, Observation::Halted(replica, &halt));
            }
        }
    }

    fn send(&mut self, from: ReplicaId, to: Recipients, message: Message) {
        if self.is_trusted(from) {
            self.observe(Observation::Sent(from, &message));
        } else {
            self.observe(Observation::Shown(&message));
        }
        if let Message::Propose(propose) = &message {
            self.delays.on_propose(self.now, &propose.header.header);
        }
        self.note_sent(from, to, &message);
        match to {
            Recipients::One(to) => self.send_one(from, to, message),
            Recipients::All => {
                for to in self.others(from) {
                    self.send_one(from, to, message.clone());
                }
            }
        }
    }

    fn send_one(&mut self, from: ReplicaId, to: ReplicaId, message: Message) {
        self.counters.sent[message.kind()] += 1;
        if to.index() >= self.hosts.len() || !self.hosts[to.index()].is_up() {
            return;
        }
        let connection = self.connection(from, to);
        let is_deviation = self.hosts[from.index()].is_deviation();
        let [first, second] = self.network.send(self.now, from, to);
        if let Some(time) = second {
            self.queue
                .push(time, Event::Message { from, to, connection, message: message.clone(), is_deviation });
        }
        if let Some(time) = first {
            self.queue.push(time, Event::Message { from, to, connection, message, is_deviation });
        }
    }

    /// Checks at once; the result arrives later, so that results overtake each other.
    fn verify(&mut self, replica: ReplicaId, peer: Peer, work: Unverified) {
        self.note_traitors_bundle(replica, peer, &work);
        let result = self.setup.verifier.check(work);
        let after = self.costs.verify_us.draw(&mut self.verify_random);
        self.push_input(after, replica, Input::Verified(peer, result));
    }

    /// A traitor may be a client too, with a key that no other client has.
    fn note_traitors_bundle(&mut self, replica: ReplicaId, peer: Peer, work: &Unverified) {
        let Unverified::Bundle(raw) = work else { return };
        let is_own = matches!(peer, Peer::Client(key) if self.clients.iter().all(|client| client.key != key));
        if is_own
            && !self.is_trusted(replica)
            && let Ok(bundle) = Bundle::parse(raw.clone())
        {
            self.observe(Observation::Issued(&bundle));
        }
    }

    fn execute(&mut self, replica: ReplicaId, execution: &Execution) {
        match self.hosts[replica.index()].execute(execution) {
            Ok(outcomes) => {
                self.observe_of(replica, Observation::Executed(replica, execution, &outcomes));
                self.replay_block(replica, execution);
                let after = self.queue_up(replica);
                self.push_input(after, replica, Input::Executed(execution.height, outcomes));
            }
            Err(panicked) => self.violate(Violation::of("the state machine does not panic", panicked)),
        }
    }

    /// One state machine does one thing after the other. Gives when the next thing is done.
    pub(crate) fn queue_up(&mut self, replica: ReplicaId) -> u64 {
        let cost = self.costs.execute_us.draw(&mut self.execute_random);
        let host = &mut self.hosts[replica.index()];
        host.busy_until = host.busy_until.max(self.now) + cost;
        host.busy_until - self.now
    }

    fn reply(&mut self, replica: ReplicaId, key: PublicKey, message: ReplicaMessage) {
        let Some(client) = self.clients.iter().position(|client| client.key == key) else { return };
        if self.unreachable.contains(&(client, replica.0)) {
            return;
        }
        self.note_reply(replica, client);
        let is_opening = matches!(message, ReplicaMessage::Welcome { .. });
        let host = &self.hosts[replica.index()];
        let (incarnation, is_deviation) = (host.incarnation, host.is_deviation());
        if let Some(time) = self.network.send_to_client(self.now, is_opening) {
            self.queue
                .push(time, Event::ReplicaMessage { client, replica, incarnation, message, is_deviation });
        }
    }

    fn on_event(&mut self, replica: ReplicaId, event: &Said) {
        if let Said::Committed { digest, .. } = event {
            self.delays.on_commit(self.now, replica, digest);
        }
        match event {
            Said::Fetching(_) => drop(self.counters.happened.insert("state asked for")),
            Said::Recovering => drop(self.counters.happened.insert("disk known to be lost")),
            _ => {}
        }
        self.tell(|| format!("replica {replica}: {event:?}"));
        self.note_event(replica, event);
        self.observe_of(replica, Observation::Event(replica, event));
    }
}

/// Most proofs that are kept of one run.
const EVIDENCE_MAX: usize = 256;
