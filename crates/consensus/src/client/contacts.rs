//! Which replicas answer, and what do W or Q of them say together? The only place of the client
//! that counts replicas.

use quorate_types::{Quorums, ReplicaId, Time, View};

use super::ClientError;

/// What each replica told.
#[derive(Debug)]
pub(super) struct Contacts {
    quorums: Quorums,
    replicas: Vec<Contact>,
    /// The primary of the highest view that W replicas told of.
    primary: Option<ReplicaId>,
    /// When the first of the present clocks was told.
    clocks_since: Time,
}

#[derive(Clone, Debug, Default)]
struct Contact {
    is_connected: bool,
    /// Whether it told anything on this connection.
    has_answered: bool,
    /// The highest view it told.
    view: Option<View>,
    /// The clock it told for the session that is to be born.
    clock: Option<Time>,
}

impl Contacts {
    pub(super) fn new(quorums: Quorums) -> Self {
        let replicas = vec![Contact::default(); quorums.n()];
        Self { quorums, replicas, primary: None, clocks_since: Time::default() }
    }

    pub(super) fn on_connection(&mut self, replica: ReplicaId, is_connected: bool) {
        if let Some(contact) = self.replicas.get_mut(replica.index()) {
            contact.is_connected = is_connected;
            contact.has_answered = false;
        }
    }

    pub(super) fn on_view(&mut self, replica: ReplicaId, view: View) {
        let Some(contact) = self.replicas.get_mut(replica.index()) else { return };
        contact.has_answered = true;
        if contact.view < Some(view) {
            contact.view = Some(view);
            // [R2] A liar alone reaches no view: one of W tells the truth.
            let views = self.replicas.iter().filter_map(|contact| contact.view);
            let view = Quorums::reached_by(self.quorums.weak(), views);
            self.primary = view.map(|view| self.primary_of(view));
        }
    }

    fn primary_of(&self, view: View) -> ReplicaId {
        let position = view.0 % self.quorums.n() as u64;
        ReplicaId(u16::try_from(position).expect("there are fewer replicas than numbers for them"))
    }

    /// Takes a clock for the next birth.
    pub(super) fn on_clock(&mut self, now: Time, replica: ReplicaId, clock: Time) {
        if self.replicas.iter().all(|contact| contact.clock.is_none()) {
            self.clocks_since = now;
        }
        if let Some(contact) = self.replicas.get_mut(replica.index()) {
            contact.clock = Some(clock);
        }
    }

    /// [R1] The W-th smallest of Q clocks, and when the first of them was told; forgets the clocks.
    pub(super) fn take_birth(&mut self) -> Option<(Time, Time)> {
        let clocks = || self.replicas.iter().filter_map(|contact| contact.clock);
        if clocks().count() < self.quorums.quorum() {
            return None;
        }
        // The W-th smallest of Q is the one that Q - W + 1 reach.
        let rank = self.quorums.quorum() - self.quorums.weak() + 1;
        let birth = Quorums::reached_by(rank, clocks())?;
        self.replicas.iter_mut().for_each(|contact| contact.clock = None);
        Some((birth, self.clocks_since))
    }

    /// The primary hint, if it is connected.
    pub(super) fn primary(&self) -> Option<ReplicaId> {
        self.primary.filter(|primary| self.replicas[primary.index()].is_connected)
    }

    pub(super) fn connected(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        (0..).map(ReplicaId).zip(&self.replicas).filter(|(_, contact)| contact.is_connected).map(|(id, _)| id)
    }

    /// Those connected whose clock for the next birth is not known.
    pub(super) fn without_clock(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.connected().filter(|replica| self.replicas[replica.index()].clock.is_none())
    }

    pub(super) fn is_member(&self, replica: ReplicaId) -> bool {
        replica.index() < self.replicas.len()
    }

    /// Whether one of this many replicas is honest.
    pub(super) const fn is_weak_quorum(&self, count: usize) -> bool {
        count >= self.quorums.weak()
    }

    pub(super) const fn is_quorum(&self, count: usize) -> bool {
        count >= self.quorums.quorum()
    }

    /// The error that says who is missing.
    pub(super) fn no_quorum(&self) -> ClientError {
        let all = (0..).map(ReplicaId).zip(&self.replicas);
        let missing: Vec<ReplicaId> = all
            .filter(|(_, contact)| !contact.is_connected || !contact.has_answered)
            .map(|(id, _)| id)
            .collect();
        let reached = self.replicas.len() - missing.len();
        ClientError::NoQuorum { reached, needed: self.quorums.quorum(), missing }
    }
}
