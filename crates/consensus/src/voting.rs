//! For which blocks a replica votes (rules V1 to V6), and how votes come in (V7).

use quorate_types::message::{Message, Vote};
use quorate_types::{Height, Rejection, ReplicaId, Statement, View, VoteStatement};

use crate::blocks::Contents;
use crate::io::Recipients;
use crate::mutation::{self, Mutation};
use crate::normal::ABOVE_CERTIFICATE_MAX;
use crate::record::Record;
use crate::replica::Replica;
use crate::safety::LastVote;
use crate::select::BlockId;
use crate::timer::Timer;

/// How a block's place and content stand.
enum Order {
    /// It and all its uncommitted ancestors are in order; the ancestors that are not committed.
    Good(Vec<BlockId>),
    /// Something has to be fetched.
    Missing,
    /// The agreed time has to come closer first.
    Early,
    /// Nobody honest votes for it.
    Bad,
}

impl Replica {
    /// Votes for the next block of the chain of the view.
    pub(crate) fn try_vote(&mut self) -> bool {
        let mut progress = false;
        while let Some(id) = self.next_to_vote() {
            match self.order_of(id) {
                Order::Good(path) => {
                    if !self.vote(id, &path) {
                        break;
                    }
                    progress = true;
                }
                Order::Missing => {
                    self.want_missing();
                    break;
                }
                Order::Early | Order::Bad => break,
            }
        }
        progress
    }

    /// The block that V1 to V3 allow to vote for next.
    fn next_to_vote(&self) -> Option<BlockId> {
        // [V1]
        if !self.is_active() {
            return None;
        }
        let qc = &self.safety.high_qc().vote;
        let above_certificate = (qc.view == self.view.entered).then(|| qc.height.next());
        let last = self.safety.last_vote().filter(|vote| vote.view == self.view.entered);
        let height = match last {
            // [V2] What the chain has left behind needs no vote any more.
            Some(vote) => {
                let is_extended = self.chain.contains(vote.height, &vote.digest) || self.is_committed(&vote);
                if !is_extended {
                    return None;
                }
                vote.height.next().max(self.chain.lowest())
            }
            None => self.chain.lowest(),
        };
        let id = self.chain.at(height)?;
        let is_first = self.chain.first == Some(height) && height > Height(0);
        // [V1] The window, from which the first block of a view is exempt.
        if (!is_first || mutation::is(Mutation::LimitsOnFirstBlock)) && height > self.window_end() {
            return None;
        }
        // [V3] Above the first block: extends the own certificate of the view by at most 64. A block at or below
        // it on the same chain adds nothing to the claim, but others may need the vote for their certificate.
        if !is_first && !mutation::is(Mutation::VoteWithoutCertificate) {
            let distance = height.0.saturating_sub(above_certificate?.0);
            if distance >= ABOVE_CERTIFICATE_MAX || !self.extends_certificate(id) {
                return None;
            }
        }
        Some(id)
    }

    pub(crate) fn is_committed(&self, vote: &LastVote) -> bool {
        let is_settled = self.safety.is_vote_settled() && self.safety.last_vote() == Some(*vote);
        is_settled || self.blocks.digest_at(vote.height) == Some(vote.digest)
    }

    /// [V3] Whether every header between the own certificate and the block is held.
    fn extends_certificate(&self, id: BlockId) -> bool {
        let qc = &self.safety.high_qc().vote;
        let certified = (qc.height, qc.digest);
        self.chain.contains(certified.0, &certified.1) || self.blocks.path(certified, id).is_ok()
    }

    /// [V4] [V5] Whether the block and all its uncommitted ancestors are held and in order.
    fn order_of(&mut self, id: BlockId) -> Order {
        let tip = self.blocks.tip();
        if id.0 <= tip.0 {
            let is_committed = self.blocks.digest_at(id.0) == Some(id.1);
            return if is_committed { Order::Good(Vec::new()) } else { Order::Bad };
        }
        let path: Vec<BlockId> = match self.blocks.path(tip, id) {
            Ok(path) => path.iter().map(|block| block.id()).collect(),
            Err(Some(_)) if mutation::is(Mutation::AncestorsUnchecked) => vec![id],
            Err(Some(_)) => return Order::Missing,
            Err(None) => return Order::Bad,
        };
        for ancestor in &path {
            if mutation::is(Mutation::AncestorsUnchecked) && *ancestor != id {
                continue;
            }
            match self.block_order(*ancestor) {
                Order::Good(_) => {}
                other => return other,
            }
        }
        Order::Good(path)
    }

    /// [V4] [V5] One block alone.
    fn block_order(&mut self, id: BlockId) -> Order {
        let Some(block) = self.blocks.get(id) else { return Order::Missing };
        match block.contents {
            Contents::Missing => return Order::Missing,
            Contents::Bad => return Order::Bad,
            Contents::Good(_) => {}
        }
        let time = block.header().time;
        if self.parent_time(id).is_some_and(|parent| time < parent) {
            return Order::Bad;
        }
        let earliest = time.before(self.config.parameters.clock_bound());
        if earliest > self.now {
            self.timers.set_if_unset(Timer::Clock, earliest);
            return Order::Early;
        }
        Order::Good(Vec::new())
    }

    /// [X3] Whether a claimed block is held and passes V5; `None` if it must be fetched or waits.
    pub(crate) fn is_in_order(&mut self, id: BlockId) -> Option<bool> {
        match self.block_order(id) {
            Order::Good(_) => Some(true),
            Order::Missing | Order::Early => None,
            Order::Bad => Some(false),
        }
    }

    /// [V6] Writes ahead, then votes. Without a claim that reaches back to the own certificate
    /// it does not vote.
    fn vote(&mut self, id: BlockId, path: &[BlockId]) -> bool {
        let view = self.view.entered;
        let claimed = self.path_above_claim(id);
        if claimed.is_empty() && self.is_claimed(view, id.0) {
            return false;
        }
        for ancestor in path {
            self.log_block(*ancestor);
        }
        self.safety.on_vote(LastVote { view, height: id.0, digest: id.1 }, claimed);
        self.send_vote(id);
        true
    }

    /// Signs a vote for a block of the present view; it leaves once it is durable.
    pub(crate) fn send_vote(&mut self, id: BlockId) {
        let (epoch, view) = (self.config.membership.epoch(), self.view.entered);
        let statement = VoteStatement { epoch, view, height: id.0, digest: id.1 };
        let signature = Statement::Vote(statement).sign(&self.config.key, &self.config.membership.cluster());
        let (executed, result_root) = self.executor.last_result();
        let vote = Vote { vote: statement, signature, executed, result_root };
        self.outbox.persist(Record::Vote(vote));
        self.outbox.send_durable(Recipients::All, Message::Vote(vote));
    }

    /// [D1] Whether a vote adds to the claim: it is in the certificate's view and above it.
    pub(crate) fn is_claimed(&self, view: View, height: Height) -> bool {
        let qc = &self.safety.high_qc().vote;
        view == qc.view && height > qc.height
    }

    /// [D1] The headers that a vote for the block adds to the claim.
    pub(crate) fn path_above_claim(
        &self,
        id: BlockId,
    ) -> Vec<(quorate_types::Digest, quorate_types::certificate::SignedHeader)> {
        let path = self.blocks.path(self.safety.claim_tip(), id).unwrap_or_default();
        path.iter().map(|block| (block.digest, *block.signed)).collect()
    }

    /// A vote arrived over its voter's channel.
    pub(crate) fn on_vote(&mut self, from: ReplicaId, vote: Vote) -> Result<(), Rejection> {
        if vote.vote.epoch != self.config.membership.epoch() {
            return Err(Rejection::WrongEpoch);
        }
        if vote.vote.height > self.window_end().plus(ABOVE_CERTIFICATE_MAX) {
            return Err(Rejection::AboveWindow);
        }
        self.note_result_root(from, vote.executed, vote.result_root);
        self.peers.saw_vote(from, &vote);
        self.count_vote(from, vote);
        Ok(())
    }

    /// [V7] A vote for a block that is not on the own chain: if another one stands there, the
    /// other's header is fetched, as it may convict the primary.
    pub(crate) fn note_unknown_vote(&mut self, voter: ReplicaId, vote: Vote) {
        let id = (vote.vote.height, vote.vote.digest);
        match self.chain.candidate(id.0) {
            Some(digest) if digest != id.1 => self.fetch_header(voter, id),
            _ => self.want_later(),
        }
    }

    /// [V7] Two votes of one voter for one height.
    pub(crate) fn on_conflicting_votes(&mut self, voter: ReplicaId, earlier: Vote, later: Vote) {
        let statement = |vote: &Vote| (Statement::Vote(vote.vote), vote.signature);
        self.report(voter, statement(&earlier), statement(&later));
        // The other vote may be for another block of the primary.
        self.note_unknown_vote(voter, later);
    }
}
