//! When blocks are committed (rules C1 to C4), and the certificates on the slow path.

use quorate_types::certificate::QuorumCertificate;
use quorate_types::message::{Commit, Message};
use quorate_types::{Height, Quorums, Rejection, ReplicaId, Unverified, Verified, View, VoteStatement};
use std::sync::Arc;

use crate::io::{CommitRule, Event, Halt, Peer, Recipients};
use crate::mutation::{self, Mutation};
use crate::normal::{ABOVE_CERTIFICATE_MAX, CERTIFY_INTERVAL};
use crate::record::Record;
use crate::replica::Replica;
use crate::select::BlockId;
use crate::timer::Timer;

impl Replica {
    pub(crate) fn quorums(&self) -> Quorums {
        self.config.membership.quorums()
    }

    /// A commit vote arrived over its sender's channel.
    pub(crate) fn on_commit(&mut self, from: ReplicaId, commit: Commit) -> Result<(), Rejection> {
        if commit.vote.epoch != self.config.membership.epoch() {
            return Err(Rejection::WrongEpoch);
        }
        if commit.vote.height > self.window_end().plus(ABOVE_CERTIFICATE_MAX) {
            return Err(Rejection::AboveWindow);
        }
        self.tally.on_commit(from, commit.vote);
        if self.certificate_holders().next().is_some() {
            self.want_missing();
        }
        Ok(())
    }

    /// [V3] Those who say with a commit vote that they hold a certificate of the present view,
    /// while this replica has none: not every voter votes for the first block itself, and a vote
    /// may have gone to others only.
    pub(crate) fn certificate_holders(&self) -> impl Iterator<Item = ReplicaId> {
        let lacks_certificate = self.safety.high_qc().vote.view < self.view.entered;
        let own = self.config.id;
        let others =
            self.config.membership.replicas().filter(move |replica| lacks_certificate && *replica != own);
        others.filter(|replica| self.tally.commit_of(*replica).is_some())
    }

    /// [C1] [C3] Commits what the votes and commit votes of the view prove.
    pub(crate) fn try_commit(&mut self) -> bool {
        let tip = self.blocks.tip().0;
        let mut proven = None;
        if let Some(height) = self.tally.fast(self.quorums()).filter(|height| *height > tip)
            && (self.chain.is_above_first(height) || mutation::is(Mutation::FirstBlockFast))
        {
            // [C1] R_v is never committed this way.
            proven = self.chain.at(height).map(|id| (id, CommitRule::Fast));
        }
        if let Some(id) = self.slowly_committed().filter(|id| id.0 > tip) {
            // [C3]
            proven = proven.filter(|(fast, _)| fast.0 >= id.0).or(Some((id, CommitRule::Slow)));
        }
        if let Some((id, rule)) = proven {
            self.catch_up.aim(id, rule);
        }
        self.advance_commit()
    }

    /// [C3] The block that the Q-th greatest of the commit votes on the chain reaches.
    fn slowly_committed(&self) -> Option<BlockId> {
        let commits = self.tally.commits();
        let on_chain = commits.iter().filter(|commit| self.chain.contains(commit.height, &commit.digest));
        let needed = self.quorums().quorum() - usize::from(mutation::is(Mutation::SlowQuorumMinusOne));
        let height = Quorums::reached_by(needed, on_chain.map(|commit| commit.height))?;
        self.chain.at(height)
    }

    /// [C4] Moves the tip towards the highest block that is proven, over blocks that are held.
    fn advance_commit(&mut self) -> bool {
        let Some((target, rule)) = self.catch_up.target() else { return false };
        let tip = self.blocks.tip();
        if target.0 <= tip.0 {
            self.catch_up.reached(tip.0);
            self.continue_catch_up();
            return self.catch_up.target().is_some();
        }
        let path: Vec<BlockId> = match self.blocks.path(tip, target) {
            Ok(path) => path.iter().map(|block| block.id()).collect(),
            Err(Some(_)) => {
                self.want_missing();
                self.continue_catch_up();
                return false;
            }
            Err(None) => {
                // More than f replicas are faulty: two committed blocks of one height.
                self.halt(Halt::Forked { height: tip.0, own: tip.1 });
                return false;
            }
        };
        let mut progress = false;
        for id in path {
            // What is committed and not executed is held: a slow state machine must not make it grow for ever.
            let is_far_ahead = id.0 > self.executor.executed().plus(self.config.parameters.window);
            if is_far_ahead {
                break;
            }
            if self.blocks.get(id).is_none_or(|block| block.batch().is_none()) {
                self.want_missing();
                break;
            }
            self.commit_block(id, rule);
            progress = true;
        }
        if progress {
            self.outbox.persist(Record::Committed(self.blocks.tip().0, self.blocks.tip().1));
            self.after_commit(self.blocks.tip().0.0 - tip.0.0);
        }
        progress
    }

    fn commit_block(&mut self, id: BlockId, rule: CommitRule) {
        self.log_block(id);
        self.blocks.commit(&id.1);
        let view = self.blocks.get(id).map_or(View(0), |block| block.header().view);
        self.event(Event::Committed { height: id.0, digest: id.1, view, rule });
    }

    /// [X1] The view timer restarts on progress; what can no longer be committed is dropped.
    fn after_commit(&mut self, blocks: u64) {
        let tip = self.blocks.tip().0;
        self.view.patience.note_progress(blocks);
        self.timers.stop(Timer::View);
        self.timers.stop(Timer::Grace);
        self.chain.is_grace_over = false;
        self.chain.is_help_wanted = false;
        self.blocks.retain_pending(|block| block.header().height > tip);
        self.fetches.forget_to(tip);
    }

    /// [C2] Has the votes on a prepared block verified, to make a certificate of them.
    pub(crate) fn try_certify(&mut self) -> bool {
        if self.chain.certifying.is_some() {
            return false;
        }
        let Some(id) = self.wanted_certificate() else { return false };
        let vote = VoteStatement {
            epoch: self.config.membership.epoch(),
            view: self.view.entered,
            height: id.0,
            digest: id.1,
        };
        self.chain.certifying = Some(id);
        let votes = self.tally.signatures(id.0, id.1);
        self.verify_own(Unverified::Votes(vote, votes));
        true
    }

    /// The block whose certificate is needed: the view's first one, the one that waits for the
    /// slow path, or one for the primary's next justification.
    fn wanted_certificate(&mut self) -> Option<BlockId> {
        let quorums = self.quorums();
        let qc = self.safety.high_qc().vote;
        let is_certified = qc.view == self.view.entered;
        if !is_certified {
            let first = self.chain.at(self.chain.first?)?;
            let is_prepared = self.tally.signatures(first.0, first.1).len() >= quorums.quorum();
            return is_prepared.then_some(first);
        }
        let next = self.proposer.as_ref().filter(|_| self.is_active());
        let is_due = next.is_some_and(|proposer| {
            let since = proposer.certified.unwrap_or(qc.height);
            proposer.last.0.0.saturating_sub(since.0) >= CERTIFY_INTERVAL - 1 && qc.height <= since
        });
        // [K3] Nobody can vote above a certificate when the blocks between went by with an installed state.
        let is_due = is_due || self.chain.is_certificate_wanted || qc.height < self.blocks.base().0;
        if !is_due && quorums.is_fast_always() {
            return None;
        }
        let prepared = self.tally.prepared(quorums, |height, digest| self.chain.contains(height, digest))?;
        if prepared.0 <= qc.height {
            return None;
        }
        let waits = !quorums.is_fast_always() && prepared.0 > self.blocks.tip().0;
        if waits && !self.chain.is_grace_over {
            self.timers.set_if_unset(Timer::Grace, self.now.after(self.config.timing.grace));
        }
        (is_due || self.chain.is_help_wanted || (waits && self.chain.is_grace_over)).then_some(prepared)
    }

    /// The votes on a block were verified.
    pub(crate) fn on_certified(
        &mut self,
        vote: VoteStatement,
        certificate: Option<Verified<Arc<QuorumCertificate>>>,
        bad: Vec<ReplicaId>,
    ) -> Result<(), Rejection> {
        if self.chain.certifying == Some((vote.height, vote.digest)) {
            self.chain.certifying = None;
        }
        self.chain.is_grace_over = false;
        for voter in bad {
            self.tally.drop_vote(voter, &vote);
            self.reject(Peer::Replica(voter), Rejection::BadSignature);
        }
        if let Some(certificate) = certificate {
            self.learn_certificate(&certificate);
        }
        self.chain.is_help_wanted = false;
        self.chain.is_certificate_wanted = false;
        Ok(())
    }

    /// A verified certificate, however it was learnt. [X2] One of a later view opens that view.
    pub(crate) fn learn_certificate(&mut self, qc: &Verified<Arc<QuorumCertificate>>) {
        if self.safety.on_certificate(qc) {
            self.outbox.persist(Record::HighQc(Arc::clone(qc)));
            let vote = qc.vote;
            self.event(Event::Certified { view: vote.view, height: vote.height, digest: vote.digest });
        }
        if qc.vote.view > self.view.entered {
            self.enter(qc.vote.view);
        }
        self.view.note_accepted(qc.vote.view);
        self.check_recovered(qc);
        self.send_commit(qc);
    }

    /// [C2] A peer does not get on in this view: who committed by votes alone may be the one whose commit vote
    /// it lacks.
    pub(crate) fn help_to_commit(&mut self, its_committed: Height) {
        let is_behind = its_committed < self.blocks.tip().0 && self.chain.commit_sent <= its_committed;
        if is_behind && !self.quorums().is_fast_always() {
            self.chain.is_help_wanted = true;
            let qc = self.safety.high_qc().clone();
            self.send_commit(&qc);
        }
    }

    /// [C2] Who holds a certificate tells all, unless it asked for a higher view: for the first
    /// block of a view always, for others where votes alone may not commit.
    fn send_commit(&mut self, qc: &QuorumCertificate) {
        let is_first = self.chain.first.is_none_or(|first| qc.vote.height == first);
        let is_needed = is_first || !self.quorums().is_fast_always();
        let is_open = qc.vote.height > self.blocks.tip().0 || self.chain.is_help_wanted;
        let is_news = is_open && qc.vote.height > self.chain.commit_sent;
        if qc.vote.view != self.view.entered || !self.is_active() || !is_needed || !is_news {
            return;
        }
        self.chain.commit_sent = qc.vote.height;
        let commit = Commit { vote: qc.vote };
        self.outbox.send_durable(Recipients::All, Message::Commit(commit));
    }
}
