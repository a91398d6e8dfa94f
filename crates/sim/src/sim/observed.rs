//! What can a test see of a simulation, whatever it is about?

use quorate_consensus::ReplicaStatus;
use quorate_consensus::client::{ClientError, Completed, Ticket};
use quorate_machine::{StateMachine, Typed, decode};
use quorate_types::message::Message;
use quorate_types::{Evidence, Rejection, ReplicaId};
use std::sync::Arc;
use std::time::Duration;

use crate::chart::Chart;
use crate::delays::Delays;
use crate::disk::Part;
use crate::history::History;
use crate::sim::{AsReplica, Sim};

impl<S: StateMachine> Sim<S> {
    /// Simulated time since the start.
    #[must_use]
    pub const fn now(&self) -> Duration {
        Duration::from_nanos(self.world.now)
    }
    /// Where a replica stands, or stood when it stopped.
    #[must_use]
    pub fn status(&self, replica: impl AsReplica) -> ReplicaStatus {
        self.world.hosts[self.id_of(&replica).index()].status()
    }
    /// Whether something happened at least once: see [`crate::Report::happened`].
    #[must_use]
    pub fn happened(&self, what: &str) -> bool {
        self.world.counters.happened.contains(what)
    }
    /// How many operations that change it a replica's disk has seen.
    #[must_use]
    pub fn disk_operations(&self, replica: impl AsReplica, part: Part) -> u64 {
        self.world.hosts[self.id_of(&replica).index()].disk.files(part).operations()
    }
    /// Whether a replica's process runs.
    #[must_use]
    pub fn is_up(&self, replica: impl AsReplica) -> bool {
        self.world.hosts[self.id_of(&replica).index()].is_up()
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
    /// A replica's state machine, as it is now or was when the replica stopped.
    ///
    /// # Panics
    /// Never: all replicas run an `S`.
    #[must_use]
    pub fn state(&self, replica: impl AsReplica) -> &S {
        let application = self.world.hosts[self.id_of(&replica).index()].application();
        Typed::machine_in(application).expect("every replica runs what the simulation was made of")
    }
    /// How often a Byzantine replica really deviated from the protocol.
    #[must_use]
    pub fn fired(&self, replica: impl AsReplica) -> u64 {
        self.world.hosts[self.id_of(&replica).index()].fired()
    }
    /// The reply to a client's request; `None` while it has not ended, and where it was refused.
    #[must_use]
    pub fn reply(&self, name: &str, ticket: Ticket) -> Option<S::Reply> {
        let (outcome, _) = self.outcome(name, ticket)?;
        // Replies are encoded by the same type.
        outcome.as_ref().ok().and_then(|completed| decode(&completed.reply).ok())
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
}
