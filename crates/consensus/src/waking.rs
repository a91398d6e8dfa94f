//! Does a replica that starts remember all that it said (rule D3)? Its peers tell what they saw of it, with
//! its own signatures, before it signs anything new.
//!
//! A disk that was rolled back looks like an older disk, so the replica cannot see it by itself. A replica
//! needs Q replicas to get anywhere, so hearing Q - 1 others first costs it nothing.

use quorate_types::message::{Fetch, Message, Seen, Status};
use quorate_types::{Evidence, Quorums, ReplicaId, Statement, Time, View};

use crate::io::Event;
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::recovering::Recovering;
use crate::replica::Replica;

/// Whom a replica heard since it started.
#[derive(Clone, Debug)]
pub(crate) struct Waking {
    heard: Vec<bool>,
    /// When each peer was last asked for another status.
    asked: Vec<Option<Time>>,
    is_awake: bool,
    /// What it said in views below this one is void: a certificate showed that those are over.
    pub(crate) whole_since: View,
}

impl Waking {
    pub(crate) fn new(quorums: Quorums) -> Self {
        let (heard, asked) = (vec![false; quorums.n()], vec![None; quorums.n()]);
        Self { heard, asked, is_awake: false, whole_since: View(0) }
    }

    pub(crate) const fn is_awake(&self) -> bool {
        self.is_awake
    }
}

impl Replica {
    /// A peer's status: what it saw of this replica, and one more that was heard.
    pub(crate) fn note_seen(&mut self, from: ReplicaId, status: &Status) {
        if let Some(seen) = &status.seen
            && self.recovering.is_none()
            && self.may_look_at_seen(from)
            && self.has_forgotten(seen)
            && !mutation::is(Mutation::RollbackUnnoticed)
        {
            self.note_rollback();
        }
        if self.waking.is_awake {
            return;
        }
        // A status that was on its way before this start, or before the peer heard of it, says nothing of what it saw.
        let knows_start = status.echo.is_some_and(|echo| echo.start == self.config.start);
        if !knows_start {
            return self.ask_for_echo(from);
        }
        self.waking.heard[from.index()] = true;
        let heard = self.waking.heard.iter().filter(|heard| **heard).count();
        self.waking.is_awake = heard + 1 >= self.quorums().quorum();
        if self.waking.is_awake {
            self.send_checkpoint_vote();
        }
    }

    /// A peer that does not echo a clock of this start is asked for a status that does, now and then only: one that
    /// never does, or that starts too, could otherwise be asked without end.
    fn ask_for_echo(&mut self, peer: ReplicaId) {
        let pause = self.config.timing.status_interval / 2;
        let asked = &mut self.waking.asked[peer.index()];
        if asked.is_none_or(|at| at.after(pause) <= self.now) {
            *asked = Some(self.now);
            self.send_status(peer);
            self.send_to(peer, Message::Fetch(Fetch::Status));
        }
    }

    /// Looking costs two signatures, so one peer can demand it now and then only.
    fn may_look_at_seen(&mut self, from: ReplicaId) -> bool {
        let pause = self.config.timing.status_interval / 2;
        let now = self.now;
        let looked = &mut self.peers.get_mut(from).seen_looked;
        let may_look = looked.is_none_or(|at| at.after(pause) <= now);
        if may_look {
            *looked = Some(now);
        }
        may_look || !self.waking.is_awake
    }

    /// [D3] Whether this replica signed something that it does not know of. Signing is deterministic, so
    /// signing again tells whether a signature is its own.
    fn has_forgotten(&self, seen: &Seen) -> bool {
        let cluster = self.config.membership.cluster();
        let is_own =
            |statement: Statement, signature| statement.sign(&self.config.key, &cluster) == signature;
        let is_vote_forgotten = seen.vote.is_some_and(|(vote, signature)| {
            let slot = (vote.view, vote.height);
            let last = self.safety.last_vote();
            let is_known = last.is_some_and(|last| {
                slot < (last.view, last.height)
                    || (slot == (last.view, last.height) && vote.digest == last.digest)
            });
            !is_known && vote.view >= self.waking.whole_since && is_own(Statement::Vote(vote), signature)
        });
        let is_view_change_forgotten = seen.view_change.is_some_and(|(view, content, signature)| {
            let epoch = self.config.membership.epoch();
            view > self.view.asked
                && view > self.waking.whole_since
                && is_own(Statement::ViewChange { epoch, view, content }, signature)
        });
        is_vote_forgotten || is_view_change_forgotten
    }

    /// [D3] A proof against this replica itself: it signed again what it had forgotten, at the same place, so that
    /// its statuses say no less than what its peers saw.
    pub(crate) fn note_own_offence(&mut self, evidence: &Evidence) {
        let is_own = evidence.replica == self.config.id;
        let is_open = evidence.view().is_some_and(|view| view >= self.waking.whole_since);
        if is_own && is_open && self.recovering.is_none() && !mutation::is(Mutation::RollbackUnnoticed) {
            self.note_rollback();
        }
    }

    /// [D3] From now on it is one that lost its disk.
    fn note_rollback(&mut self) {
        self.recovering = Some(Recovering::new(self.quorums()));
        self.outbox.forget_promises();
        self.proposer = None;
        self.outbox.persist(Record::RolledBack);
        self.event(Event::Recovering);
    }

    /// What a peer signed last as far as this replica saw, if the peer's statuses since its connection
    /// stands say less.
    pub(crate) fn seen_of(&self, peer: ReplicaId) -> Option<Seen> {
        let known = self.peers.get(peer);
        let vote = known
            .seen
            .vote
            .filter(|(vote, _)| known.told.is_none_or(|(_, last_vote)| (vote.view, vote.height) > last_vote));
        let view_change =
            known.seen.view_change.filter(|(view, ..)| known.told.is_none_or(|(asked, _)| *view > asked));
        (vote.is_some() || view_change.is_some()).then_some(Seen { vote, view_change })
    }
}
