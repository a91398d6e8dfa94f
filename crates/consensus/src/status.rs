//! Where each replica stands, and what is sent again to those that lack it.

use quorate_types::message::{Commit, Echo, Justify, Message, Propose, Status};
use quorate_types::{Height, Rejection, ReplicaId, Time, View};
use std::time::Duration;

use crate::io::Recipients;
use crate::mutation::{self, Mutation};
use crate::replica::Replica;
use crate::timer::Timer;

/// Most proposals that are sent again to one peer at a time.
const PROPOSALS_RESENT: usize = 8;
/// Most waiting bundles that are forwarded again in one period.
const FORWARDED_AGAIN: usize = 16;

impl Replica {
    pub(crate) fn on_status_timeout(&mut self) {
        self.timers.set(Timer::Status, self.now.after(self.config.timing.status_interval));
        let own = self.config.id;
        for replica in self.config.membership.replicas().filter(|replica| *replica != own) {
            self.send_status(replica);
        }
        self.resend_view_changes();
        self.check_behind();
        self.forward_again();
        self.resend_wish();
    }

    pub(crate) fn send_status(&mut self, to: ReplicaId) {
        let last_vote = self.safety.last_vote().map_or((View(0), Height(0)), |vote| (vote.view, vote.height));
        let echo = self.peers.get(to).status.map(|(status, came)| Echo {
            start: status.start,
            clock: status.clock,
            held: nanos(self.now.since(came)),
        });
        let status = Status {
            epoch: self.config.membership.epoch(),
            view: self.view.entered,
            asked: self.view.asked,
            committed: self.blocks.tip(),
            stable: self.checkpoints.stable_height(),
            base: self.blocks.base().0,
            last_vote,
            is_recovering: self.recovering.is_some(),
            start: self.config.start,
            clock: self.now,
            echo,
            seen: self.seen_of(to),
        };
        self.send_to(to, Message::Status(status));
    }

    pub(crate) fn on_status(&mut self, from: ReplicaId, status: Status) -> Result<(), Rejection> {
        if status.epoch != self.config.membership.epoch() {
            return Err(Rejection::WrongEpoch);
        }
        self.measure(from, &status);
        // Who lost its disk has not asked for anything that counts (D3).
        if !status.is_recovering {
            self.peers.asked(from, status.asked.max(status.view));
        }
        let known = self.peers.get_mut(from);
        known.told = Some((status.asked, status.last_vote));
        let earlier = known.status.map(|(earlier, _)| earlier);
        known.status = Some((status, self.now));
        let is_same = |earlier: &Status| {
            (earlier.view, earlier.committed, earlier.last_vote)
                == (status.view, status.committed, status.last_vote)
        };
        known.is_stuck = earlier.as_ref().is_some_and(is_same);
        let is_stuck = known.is_stuck;
        self.note_seen(from, &status);
        self.note_report(from, &status);
        if status.view < self.view.entered {
            self.send_view_proof(from);
        }
        if earlier.is_some_and(|earlier| earlier.stable == status.stable) {
            self.resend_checkpoint(from, status.stable);
        }
        if is_stuck && status.view == self.view.entered && self.recovering.is_none() {
            self.resend_to(from, &status);
        }
        Ok(())
    }

    fn measure(&mut self, from: ReplicaId, status: &Status) {
        // A clock that this process never told measures nothing.
        let Some(echo) = status.echo.filter(|echo| echo.start == self.config.start) else { return };
        let gone = self.now.since(echo.clock);
        if echo.clock <= self.now && echo.clock > Time(0) {
            self.peers.measured(from, gone.saturating_sub(Duration::from_nanos(echo.held)));
        }
    }

    /// The peer did not move since its last status: it may lack the last proposals, votes and
    /// commit vote of this replica.
    fn resend_to(&mut self, to: ReplicaId, status: &Status) {
        let voted = if status.last_vote.0 == self.view.entered { status.last_vote.1 } else { Height(0) };
        if self.proposer.is_some() && self.is_active() && self.outbox.has_room(to) {
            self.resend_proposals(to, status.committed.0, voted);
        }
        let certified = self.safety.high_qc().vote.height;
        self.chain.is_certificate_wanted |= certified < status.base && status.base <= self.blocks.tip().0;
        self.help_to_commit(status.committed.0);
        for vote in self.tally.votes_above(self.config.id, status.committed.0) {
            self.send_to(to, Message::Vote(vote));
        }
        if let Some(vote) =
            self.tally.commit_of(self.config.id).filter(|vote| vote.height > status.committed.0)
        {
            self.send_to(to, Message::Commit(Commit { vote }));
        }
    }

    fn resend_proposals(&mut self, to: ReplicaId, committed: Height, voted: Height) {
        let Some(proposer) = &self.proposer else { return };
        let last = proposer.last.0;
        // The first block of a view may lie below what the peer committed, but it opens the view.
        let first = self.chain.first.filter(|first| voted < *first && first.0 > 0);
        let from = committed.max(voted).next();
        let heights = first.into_iter().chain((from.0..=last.0).map(Height));
        let proposals: Vec<Propose> = heights
            .take(PROPOSALS_RESENT)
            .filter_map(|height| {
                let block = self.blocks.get(self.chain.at(height)?)?;
                let batch = block.batch()?.raw().clone();
                Some(Propose { header: *block.signed, justify: block.justify.clone(), batch })
            })
            .collect();
        for (place, mut propose) in proposals.into_iter().enumerate() {
            let qc = self.safety.high_qc();
            let is_certificate_of_use = qc.vote.view == self.view.entered
                && qc.vote.height < propose.header.header.height
                && qc.vote.height.0 > 0;
            if place == 0 && is_certificate_of_use && matches!(propose.justify, Justify::None) {
                propose.justify = Justify::Quorum(std::sync::Arc::clone(qc));
            }
            self.outbox.send_durable(Recipients::One(to), Message::Propose(propose));
        }
    }

    /// [R2] A new primary has to know what waits, or it would be blamed for what it cannot know.
    pub(crate) fn forward_waiting(&mut self) {
        if self.is_primary() || mutation::is(Mutation::RequestsNotForwarded) {
            return;
        }
        let waiting: Vec<_> = self.pool.waiting().map(|bundle| bundle.raw().clone()).collect();
        for bundle in waiting {
            self.send_to(self.primary(), Message::Request(bundle));
        }
    }

    fn forward_again(&mut self) {
        if self.is_primary() || mutation::is(Mutation::RequestsNotForwarded) {
            return;
        }
        let waiting: Vec<_> =
            self.pool.waiting().take(FORWARDED_AGAIN).map(|bundle| bundle.raw().clone()).collect();
        for bundle in waiting {
            self.send_to(self.primary(), Message::Request(bundle));
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
