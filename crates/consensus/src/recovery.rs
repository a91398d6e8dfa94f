//! What a replica is after a restart: exactly what its log says (rules D2, D3, D4).

use quorate_types::certificate::SignedHeader;
use quorate_types::message::{Justify, Message, Vote};
use quorate_types::{Batch, Height, Verified, View};
use std::sync::Arc;

use crate::blocks::Contents;
use crate::chain::Chain;
use crate::io::{CommitRule, Event, Halt};
use crate::mutation::{self, Mutation};
use crate::normal::Proposer;
use crate::record::{Record, Recovered, RecoveredSnapshot, Summary};
use crate::recovering::Recovering;
use crate::replica::Replica;
use crate::safety::LastVote;
use crate::select::{BlockId, select};
use crate::session::SessionTable;

impl Replica {
    /// Reads the log from its beginning. What stands in it was verified before it was written.
    pub(crate) fn recover(&mut self, recovered: Recovered) {
        self.outbox.resume(recovered.first + recovered.records.len() as u64);
        let is_marked =
            recovered.records.iter().any(|record| matches!(record, Record::Init | Record::Summary(_)));
        if !is_marked {
            // [D3] An empty disk without the mark of `init`, or what was written since it was empty.
            self.recovering = Some(Recovering::new(self.quorums()));
        }
        let (own_proposals, votes) = match self.read_records(recovered.records, recovered.first) {
            Ok(read) => read,
            Err(what) => return self.halt(Halt::BadLog(what)),
        };
        if mutation::is(Mutation::LastVoteForgotten) {
            self.safety.forget_last_vote();
        }
        self.resume_execution(recovered.snapshot);
        if self.recovering.is_some() {
            self.event(Event::Recovering);
        }
        if self.halted.is_none() {
            self.resume_view(&own_proposals, &votes);
        }
    }

    /// What stands before the last summary counts for its blocks and votes alone.
    fn read_records(
        &mut self,
        records: Vec<Record>,
        first: u64,
    ) -> Result<(Vec<BlockId>, Vec<Vote>), &'static str> {
        let is_summary = |record: &Record| matches!(record, Record::Summary(_));
        let summarised = records.iter().rposition(is_summary).unwrap_or(0);
        let mut own_proposals = Vec::new();
        let mut votes = Vec::new();
        if let Some(Record::Summary(summary)) = records.get(summarised)
            && let Some(base) = summary.base
        {
            self.blocks.restart_on(Verified::from_own_log(base));
        }
        for (record, number) in records.into_iter().zip(first + 1..) {
            let position = usize::try_from(number - first - 1).unwrap_or(usize::MAX);
            match record {
                Record::Vote(vote) if position < summarised => votes.push(vote),
                Record::Block { .. } => {
                    self.recover_record(record, number, &mut own_proposals, &mut votes)?
                }
                Record::Summary(summary) if position == summarised => self.recover_summary(*summary)?,
                _ if position < summarised => {}
                record => self.recover_record(record, number, &mut own_proposals, &mut votes)?,
            }
        }
        Ok((own_proposals, votes))
    }

    /// [K1] Everything that earlier records said.
    fn recover_summary(&mut self, summary: Summary) -> Result<(), &'static str> {
        self.recover_commits(summary.committed)?;
        if let Some(stable) = summary.stable {
            self.become_stable_from_log(stable);
        }
        self.truncation.resume(self.checkpoints.stable_height());
        (self.view.entered, self.view.asked) = (summary.entered, summary.asked);
        for change in summary.view_changes.into_vec() {
            self.on_own_view_change(change);
        }
        let last_vote = summary
            .last_vote
            .map(|(view, height, digest, is_settled)| (LastVote { view, height, digest }, is_settled));
        self.safety.restore(Verified::from_own_log(summary.high_qc), &summary.claim, last_vote);
        for evidence in summary.evidence.into_vec() {
            self.recover_evidence(evidence);
        }
        if let Some(wished) = summary.recovering {
            let mut recovering = Recovering::new(self.quorums());
            if let Some(view) = wished {
                recovering.wished(view);
            }
            self.recovering = Some(recovering);
        }
        self.waking.whole_since = summary.whole_since;
        self.checkpoints.diverged = summary.diverged;
        Ok(())
    }

    /// Execution goes on from the snapshot that the application was restored from.
    fn resume_execution(&mut self, snapshot: Option<RecoveredSnapshot>) {
        if let Some(RecoveredSnapshot { header, head, sessions }) = snapshot {
            let Ok(sessions) = SessionTable::restore(&self.config.parameters, &sessions) else {
                return self.halt(Halt::BadSnapshot(head.height));
            };
            let (base, tip) = (self.blocks.base().0, self.blocks.tip().0);
            if head.height < base || head.height > tip {
                return self.halt(Halt::BadLog("it does not lead on from the snapshot"));
            }
            self.executor.restart(head.height, head.result_root, sessions);
            // [K2] One that may be wrong is neither served nor vouched for.
            if self.checkpoints.diverged.is_none() {
                self.checkpoints.take_head(Verified::from_own_log(header), &head);
                self.compare_with_certified(head.height);
                if self.halted.is_some() {
                    return;
                }
                self.vote_for_checkpoint(head.height);
            }
        } else if self.blocks.base().0 > Height(0) {
            return self.halt(Halt::BadLog("its front is gone, and so is the snapshot that it follows"));
        }
        if self.checkpoints.diverged.is_some() {
            self.executor.suspend();
        }
    }

    fn recover_record(
        &mut self,
        record: Record,
        number: u64,
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
                let id = self.recover_block(number, header, justify, batch)?;
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
            Record::Evidence(evidence) => self.recover_evidence(evidence),
            Record::Wished(view) => {
                if let Some(recovering) = &mut self.recovering {
                    recovering.wished(view);
                }
            }
            Record::Recovered(qc) => {
                self.recovering = None;
                self.waking.whole_since = qc.vote.view;
            }
            Record::RolledBack => self.recovering = Some(Recovering::new(self.quorums())),
            Record::Diverged(height) => self.checkpoints.diverged = Some(height),
            Record::Summary(summary) => self.recover_summary(*summary)?,
        }
        Ok(())
    }

    fn recover_evidence(&mut self, evidence: Arc<quorate_types::Evidence>) {
        self.keep_evidence(evidence);
    }

    fn recover_block(
        &mut self,
        number: u64,
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
            block.logged = Some(number);
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
        // [X2] It voted for a block of that view, or holds a certificate of it: what opened it needs no repeating.
        let voted = self.safety.last_vote().map_or(View(0), |vote| vote.view);
        self.view.note_accepted(voted.max(self.safety.high_qc().vote.view));
        self.tally.enter(view);
        let tip = self.blocks.tip();
        let is_tip_of_view = self.blocks.tip_header().is_some_and(|header| header.view == view);
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
        if self.is_primary() && (view.0 == 0 || !own.is_empty() || is_tip_of_view) {
            // Every committed block of the view is an own one, in the log or dropped from it.
            let committed = (is_tip_of_view || view.0 == 0).then_some(tip);
            let last = own.iter().copied().chain(committed).max().unwrap_or(tip);
            let certified = (last.0 == Height(0)).then_some(last.0);
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
