//! What a replica is after a restart: exactly what its log says (rules D2, D3, D4).

use quorate_types::certificate::SignedHeader;
use quorate_types::message::{Justify, Message, Vote};
use quorate_types::{Batch, Verified};
use std::sync::Arc;

use crate::blocks::Contents;
use crate::chain::Chain;
use crate::io::{CommitRule, Event, Halt};
use crate::mutation::{self, Mutation};
use crate::normal::Proposer;
use crate::record::{Record, Recovered};
use crate::recovering::Recovering;
use crate::replica::Replica;
use crate::safety::LastVote;
use crate::select::{BlockId, select};

impl Replica {
    /// Reads the log from its beginning. What stands in it was verified before it was written.
    pub(crate) fn recover(&mut self, recovered: Recovered) {
        if !recovered.records.contains(&Record::Init) {
            // [D3] An empty disk without the mark of `init`, or what was written since it was empty.
            self.recovering = Some(Recovering::new(self.quorums()));
            self.event(Event::Recovering);
        }
        let mut own_proposals = Vec::new();
        let mut votes = Vec::new();
        for record in recovered.records {
            if let Err(what) = self.recover_record(record, &mut own_proposals, &mut votes) {
                return self.halt(Halt::BadLog(what));
            }
        }
        if mutation::is(Mutation::LastVoteForgotten) {
            self.safety.forget_last_vote();
        }
        self.resume_view(&own_proposals, &votes);
    }

    fn recover_record(
        &mut self,
        record: Record,
        own_proposals: &mut Vec<BlockId>,
        votes: &mut Vec<Vote>,
    ) -> Result<(), &'static str> {
        match record {
            Record::Init => {}
            Record::Entered(view) => {
                self.view.entered = view;
                self.view.asked = self.view.asked.max(view);
            }
            Record::Block { header, justify, batch } => {
                let id = self.recover_block(header, justify, batch)?;
                if self.config.membership.primary(header.header.view) == self.config.id {
                    own_proposals.push(id);
                }
            }
            Record::HighQc(qc) => {
                self.safety.on_certificate(&Verified::from_own_log(qc));
            }
            Record::Vote(vote) => {
                let id = (vote.vote.height, vote.vote.digest);
                let is_claimed = self.is_claimed(vote.vote.view, id.0);
                let claimed = if is_claimed { self.path_above_claim(id) } else { Vec::new() };
                if is_claimed && claimed.is_empty() {
                    return Err("a vote without the blocks below it");
                }
                let last = LastVote { view: vote.vote.view, height: id.0, digest: id.1 };
                self.safety.on_vote(last, claimed);
                votes.push(vote);
            }
            Record::ViewChange(change) => {
                self.view.asked = self.view.asked.max(change.new_view);
                self.on_own_view_change(change);
            }
            Record::Committed(height, digest) => self.recover_commits((height, digest))?,
            Record::Checkpoint(certificate) => self.become_stable_from_log(certificate),
            Record::Evidence(evidence) => {
                let offence = (evidence.first.0.offence(), evidence.view());
                self.peers.get_mut(evidence.replica).offences.push(offence);
                self.evidence.entry(evidence.replica).or_default().push(evidence);
            }
            Record::Wished(view) => {
                if let Some(recovering) = &mut self.recovering {
                    recovering.wished(view);
                }
            }
            Record::Recovered(_) => self.recovering = None,
        }
        Ok(())
    }

    fn recover_block(
        &mut self,
        header: SignedHeader,
        justify: Justify,
        batch: bytes::Bytes,
    ) -> Result<BlockId, &'static str> {
        let id = (header.header.height, header.header.digest());
        let batch = Batch::parse(batch).map_err(|_| "a block whose batch cannot be read")?;
        if batch.digest() != header.header.batch {
            return Err("a block whose batch is another one");
        }
        self.blocks.insert(Verified::from_own_log(header), id.1);
        self.blocks.set_contents(&id.1, Contents::Good(Arc::new(Verified::from_own_log(batch))));
        if let Some(block) = self.blocks.pending_mut(&id.1) {
            block.justify = justify;
            block.is_logged = true;
        }
        Ok(id)
    }

    fn recover_commits(&mut self, target: BlockId) -> Result<(), &'static str> {
        let path: Vec<BlockId> = match self.blocks.path(self.blocks.tip(), target) {
            Ok(path) => path.iter().map(|block| block.id()).collect(),
            Err(_) => return Err("a committed block without its ancestors"),
        };
        for id in path {
            self.blocks.commit(&id.1);
            let view = self.blocks.get(id).map(|block| block.header().view).unwrap_or_default();
            self.event(Event::Committed { height: id.0, digest: id.1, view, rule: CommitRule::Log });
        }
        let tip = self.blocks.tip().0;
        self.blocks.retain_pending(|block| block.header().height > tip);
        Ok(())
    }

    /// [D2] Goes on in the view that is durable: with the own votes to be sent again, and as its
    /// primary above the last own proposal.
    fn resume_view(&mut self, own_proposals: &[BlockId], votes: &[Vote]) {
        // [X2] A certificate opens its view; the record of that may not have become durable.
        self.view.entered = self.view.entered.max(self.safety.high_qc().vote.view);
        self.view.asked = self.view.asked.max(self.view.entered);
        let view = self.view.entered;
        self.tally.enter(view);
        let tip = self.blocks.tip();
        let is_tip_of_view = self.blocks.get(tip).is_some_and(|block| block.header().view == view);
        if view.0 > 0 || is_tip_of_view {
            self.chain = Chain::on(tip);
        }
        let in_view = |id: &&BlockId| self.blocks.get(**id).is_some_and(|block| block.header().view == view);
        let own: Vec<BlockId> = own_proposals.iter().filter(in_view).copied().collect();
        let voted: Vec<BlockId> =
            votes.iter().filter(|v| v.vote.view == view).map(|v| (v.vote.height, v.vote.digest)).collect();
        if let Some(first) = own.first().filter(|_| !is_tip_of_view) {
            self.resume_base(*first);
        }
        if let Some(lowest) = voted.iter().min().filter(|_| !is_tip_of_view) {
            self.resume_on(*lowest);
        }
        if self.is_primary() && (view.0 == 0 || !own.is_empty()) {
            let genesis = (quorate_types::Height(0), self.config.membership.genesis_block());
            let last = own.iter().copied().max().unwrap_or(genesis);
            let certified = (view.0 == 0 && own.is_empty()).then_some(genesis.0);
            self.proposer = Some(Proposer::after(last, certified));
        }
        for id in voted.into_iter().filter(|id| id.0 > tip.0) {
            self.resume_candidates(id);
        }
        for id in own.into_iter().filter(|id| id.0 > tip.0) {
            self.chain.add_candidate(id);
        }
        // [V6] A vote that is durable may still have waited when a view change was made.
        if self.view.asked != view || self.recovering.is_some() {
            return;
        }
        // [D2] One that never left leaves now: later it could follow a view change.
        let votes = votes.iter().filter(|vote| vote.vote.view == view && vote.vote.height > tip.0);
        for vote in votes.copied().collect::<Vec<_>>() {
            self.count_vote(self.config.id, vote);
            self.send_to_all(Message::Vote(vote));
        }
    }

    /// The base of a view whose first block this replica proposed itself.
    fn resume_base(&mut self, first: BlockId) {
        let Some(block) = self.blocks.get(first) else { return };
        let Justify::ViewChange(certificate) = &block.justify else { return };
        let certificate = Arc::clone(certificate);
        let changes: Vec<_> = certificate.view_changes.iter().collect();
        let primary_of = |view| self.config.membership.primary(view);
        if let Ok(base) = select(&changes, self.quorums(), primary_of) {
            self.set_base(base);
            self.view.proof = Some(certificate);
        }
    }

    /// The chain goes on from the lowest own vote. It may not be for the view's first block, but
    /// everything above it stands above the first block, which is what C1 needs.
    fn resume_on(&mut self, lowest: BlockId) {
        let Some(parent) = self.blocks.get(lowest).map(|block| block.header().parent) else { return };
        if self.chain.first.is_none() {
            self.set_base((lowest.0.minus(1), parent));
        }
    }

    /// The blocks of the view down from a vote are the candidates for their heights.
    fn resume_candidates(&mut self, id: BlockId) {
        let mut next = id;
        while let Some(block) = self.blocks.get(next).filter(|block| block.header().view == self.view.entered)
        {
            let parent = (next.0.minus(1), block.header().parent);
            if self.chain.candidate(next.0).is_some() || next.0.0 == 0 {
                break;
            }
            self.chain.add_candidate(next);
            next = parent;
        }
    }
}
