//! What is known of each other replica: where it stands, how far away it is, how much it is owed.

use quorate_types::certificate::ViewChange;
use quorate_types::message::{Seen, Status, Vote};
use quorate_types::{Height, PublicKey, Quorums, Rejection, ReplicaId, Statement, Time, View, VoteStatement};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::io::Peer;
use crate::mutation::{self, Mutation};

/// Most verifications for all clients together.
const CLIENT_VERIFICATIONS_MAX: usize = 4096;

/// What is known of one replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The last status and when it came.
    pub(crate) status: Option<(Status, Time)>,
    /// The highest view asked for and the last vote that it told since its connection stands.
    pub(crate) told: Option<(View, (View, Height))>,
    /// The last statements of it that were seen here, for the case that it forgets them (rule D3).
    pub(crate) seen: Seen,
    /// When what it saw of this replica was last looked at.
    pub(crate) seen_looked: Option<Time>,
    /// Whether the last status said the same as the one before, so that what it lacks was lost.
    pub(crate) is_stuck: bool,
    /// The highest view that it asked for or entered.
    pub(crate) asked: View,
    /// The smoothed round trip.
    pub(crate) round_trip: Option<Duration>,
    /// Messages of it in verification.
    pub(crate) verifying: usize,
    /// The view of its last wish and when it was first heard (rule D3).
    pub(crate) wish: Option<(View, Time)>,
    /// When a header was last fetched because of its vote.
    pub(crate) header_asked: Option<Time>,
}

impl Known {
    /// Whether it says that it has blocks directly above this height.
    pub(crate) fn serves_above(&self, height: Height) -> bool {
        self.status.is_some_and(|(status, _)| status.committed.0 > height && status.base <= height)
    }
}

/// All peers.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    known: Vec<Known>,
    clients_verifying: BTreeMap<PublicKey, usize>,
    clients_total: usize,
    per_peer_max: usize,
}

impl Peers {
    pub(crate) fn new(quorums: Quorums, per_peer_max: usize) -> Self {
        Self {
            known: vec![Known::default(); quorums.n()],
            clients_verifying: BTreeMap::new(),
            clients_total: 0,
            per_peer_max,
        }
    }

    pub(crate) fn get(&self, replica: ReplicaId) -> &Known {
        &self.known[replica.index()]
    }
    pub(crate) fn get_mut(&mut self, replica: ReplicaId) -> &mut Known {
        &mut self.known[replica.index()]
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ReplicaId, &Known)> {
        (0..).map(ReplicaId).zip(&self.known)
    }

    /// Admits one more verification for a peer.
    pub(crate) fn begin_verification(&mut self, peer: Peer) -> Result<(), Rejection> {
        match peer {
            Peer::Replica(replica) => {
                let most = self.per_peer_max;
                let known = self.get_mut(replica);
                if known.verifying >= most && !mutation::is(Mutation::VerificationsUnbounded) {
                    return Err(Rejection::TooManyPending);
                }
                known.verifying += 1;
            }
            Peer::Client(client) => {
                let of_client = self.clients_verifying.get(&client).copied().unwrap_or(0);
                if of_client >= self.per_peer_max || self.clients_total >= CLIENT_VERIFICATIONS_MAX {
                    return Err(Rejection::TooManyPending);
                }
                self.clients_total += 1;
                self.clients_verifying.insert(client, of_client + 1);
            }
        }
        Ok(())
    }

    /// A verification ended.
    pub(crate) fn end_verification(&mut self, peer: Peer) {
        match peer {
            Peer::Replica(replica) => {
                let known = self.get_mut(replica);
                known.verifying = known.verifying.saturating_sub(1);
            }
            Peer::Client(client) => {
                self.clients_total = self.clients_total.saturating_sub(1);
                if let Some(of_client) = self.clients_verifying.get_mut(&client) {
                    *of_client -= 1;
                    if *of_client == 0 {
                        self.clients_verifying.remove(&client);
                    }
                }
            }
        }
    }

    /// Bundles of all clients in verification.
    pub(crate) const fn clients_verifying(&self) -> usize {
        self.clients_total
    }

    /// How many say that they have blocks directly above this height.
    pub(crate) fn serving_above(&self, height: Height) -> usize {
        self.known.iter().filter(|known| known.serves_above(height)).count()
    }

    /// A vote of this replica was seen.
    pub(crate) fn saw_vote(&mut self, voter: ReplicaId, vote: &Vote) {
        let slot = |vote: &VoteStatement| (vote.view, vote.height);
        let seen = &mut self.get_mut(voter).seen.vote;
        if seen.as_ref().is_none_or(|(known, _)| slot(known) < slot(&vote.vote)) {
            *seen = Some((vote.vote, vote.signature));
        }
    }

    /// A verified view change was seen.
    pub(crate) fn saw_view_change(&mut self, change: &ViewChange) {
        let Statement::ViewChange { view, content, .. } = change.statement() else { return };
        let seen = &mut self.get_mut(change.replica).seen.view_change;
        if seen.as_ref().is_none_or(|(known, ..)| *known < view) {
            *seen = Some((view, content, change.signature));
        }
    }

    /// Notes that a replica asked for or entered a view.
    pub(crate) fn asked(&mut self, replica: ReplicaId, view: View) {
        let known = self.get_mut(replica);
        known.asked = known.asked.max(view);
    }

    /// Takes a measured round trip into account.
    pub(crate) fn measured(&mut self, replica: ReplicaId, round_trip: Duration) {
        let known = self.get_mut(replica);
        known.round_trip = Some(known.round_trip.map_or(round_trip, |old| (old * 7 + round_trip) / 8));
    }

    /// The round trip within which a quorum answers: f liars cannot raise it above the slowest
    /// honest replica's.
    pub(crate) fn quorum_round_trip(&self, quorums: Quorums) -> Duration {
        let mut trips: Vec<Duration> = self.known.iter().filter_map(|known| known.round_trip).collect();
        trips.sort_unstable();
        // The replica itself answers at once, so the (Q-1)-th of the others completes a quorum.
        let needed = quorums.quorum() - 1;
        trips.get(needed - 1).or(trips.last()).copied().unwrap_or_default()
    }

    /// The height that W replicas say they committed.
    pub(crate) fn committed_by_weak(&self, quorums: Quorums) -> Height {
        let heights =
            self.known.iter().filter_map(|known| known.status).map(|(status, _)| status.committed.0);
        Quorums::reached_by(quorums.weak(), heights).unwrap_or_default()
    }
}
