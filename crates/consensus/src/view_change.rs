//! How a primary is replaced (rules X1 to X4).

use quorate_types::certificate::{SignedHeader, ViewChange, ViewChangeCertificate};
use quorate_types::message::{Justify, Message, ViewProof};
use quorate_types::{Justification, Quorums, Rejection, ReplicaId, Unverified, Verified, View};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::chain::Chain;
use crate::io::{Cause, Event, Peer, Recipients};
use crate::mutation::{self, Mutation};
use crate::normal::Proposer;
use crate::record::Record;
use crate::replica::Replica;
use crate::select::{BlockId, select};
use crate::timer::Timer;
use crate::view_timer::Patience;

/// Most view changes that are kept of each replica, the latest ones.
pub(crate) const VIEW_CHANGES_KEPT: usize = 8;

/// Views, view changes and the view timer's length.
#[derive(Clone, Debug)]
pub(crate) struct ViewState {
    /// The view that was entered.
    pub(crate) entered: View,
    /// The highest view that was asked for, at least the entered one.
    pub(crate) asked: View,
    /// The highest view of which a proposal or certificate was accepted.
    accepted: View,
    /// Why the entered view was entered, for those that are behind.
    pub(crate) proof: Option<Arc<ViewChangeCertificate>>,
    /// Per replica its latest view changes, the own ones included.
    changes: Vec<BTreeMap<View, Arc<Verified<ViewChange>>>>,
    /// The own view changes as they were sent.
    own: VecDeque<Arc<ViewChange>>,
    /// Whether something came that may open a view.
    is_changed: bool,
    /// How long views get.
    pub(crate) patience: Patience,
}

impl ViewState {
    pub(crate) fn new(quorums: Quorums) -> Self {
        Self {
            entered: View(0),
            asked: View(0),
            accepted: View(0),
            proof: None,
            changes: vec![BTreeMap::new(); quorums.n()],
            own: VecDeque::new(),
            is_changed: false,
            patience: Patience::default(),
        }
    }

    /// A proposal or certificate of this view was accepted: view changes for it, and for views below, opened it or
    /// were overtaken.
    pub(crate) fn note_accepted(&mut self, view: View) {
        self.accepted = self.accepted.max(view);
    }

    /// Keeps a view change of a replica; says whether it is new.
    fn keep(&mut self, change: Arc<Verified<ViewChange>>) -> bool {
        let Some(kept) = self.changes.get_mut(change.replica.index()) else { return false };
        if kept.contains_key(&change.new_view) {
            return false;
        }
        kept.insert(change.new_view, change);
        if kept.len() > VIEW_CHANGES_KEPT && !mutation::is(Mutation::ViewChangesUnbounded) {
            kept.pop_first();
        }
        self.is_changed = true;
        true
    }

    fn kept(&self, replica: ReplicaId, view: View) -> Option<&Arc<Verified<ViewChange>>> {
        self.changes.get(replica.index())?.get(&view)
    }

    /// How many view changes of a replica are kept.
    pub(crate) fn held_of(&self, replica: ReplicaId) -> usize {
        self.changes[replica.index()].len()
    }

    /// All view changes for one view.
    fn changes_for(&self, view: View) -> Vec<Arc<Verified<ViewChange>>> {
        self.changes.iter().filter_map(|kept| kept.get(&view)).cloned().collect()
    }

    /// The own view changes that may have to be sent again.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Arc<ViewChange>> {
        self.own.iter()
    }

    /// Keeps an own view change to be sent again.
    pub(crate) fn keep_own(&mut self, change: Arc<ViewChange>) {
        self.own.push_back(change);
        if self.own.len() > VIEW_CHANGES_KEPT {
            self.own.pop_front();
        }
    }
}

impl Replica {
    /// [X1] [X2] Stops voting and asks for a view.
    pub(crate) fn ask_for_view(&mut self, view: View, cause: Cause) {
        if view <= self.view.asked || self.is_mute() {
            return;
        }
        self.view.asked = view;
        self.outbox.forget_below(view);
        self.timers.stop(Timer::View);
        let unsigned = ViewChange {
            epoch: self.config.membership.epoch(),
            new_view: view,
            replica: self.config.id,
            high_qc: (**self.safety.high_qc()).as_ref().clone(),
            claim: self.safety.claim(),
            signature: quorate_types::Signature([0; 64]),
        };
        let cluster = self.config.membership.cluster();
        let signature = unsigned.statement().sign(&self.config.key, &cluster);
        let change = Arc::new(ViewChange { signature, ..unsigned });
        self.outbox.persist(Record::ViewChange(Arc::clone(&change)));
        self.outbox.send_durable(Recipients::All, Message::ViewChange(change));
        self.event(Event::ViewChange { view, cause });
    }

    /// An own view change has become durable and leaves.
    pub(crate) fn on_own_view_change(&mut self, change: Arc<ViewChange>) {
        let verified = Verified::from_own_log((*change).clone());
        self.view.keep_own(change);
        self.view.keep(Arc::new(verified));
    }

    pub(crate) fn on_view_change(
        &mut self,
        from: ReplicaId,
        change: Arc<ViewChange>,
    ) -> Result<(), Rejection> {
        if change.replica != from {
            return Err(Rejection::WrongSender);
        }
        if change.epoch != self.config.membership.epoch() {
            return Err(Rejection::WrongEpoch);
        }
        let is_of_this_view = change.new_view == self.view.entered && self.lacks_first_block();
        if change.new_view <= self.view.entered && !is_of_this_view {
            // A retransmission that is overtaken is no fault of its sender.
            return Ok(());
        }
        if let Some(kept) = self.view.kept(from, change.new_view) {
            if kept.statement() != change.statement() {
                let kept = (kept.statement(), kept.signature);
                self.report(from, kept, (change.statement(), change.signature));
            }
            return Ok(());
        }
        self.verify(Peer::Replica(from), Unverified::ViewChange(change));
        Ok(())
    }

    fn lacks_first_block(&self) -> bool {
        self.is_primary() && self.proposer.is_none()
    }

    pub(crate) fn on_verified_view_change(
        &mut self,
        change: Arc<Verified<ViewChange>>,
    ) -> Result<(), Rejection> {
        self.peers.asked(change.replica, change.new_view);
        self.peers.saw_view_change(&change);
        // [V7] Another one for the same view may have been in verification at the same time.
        if let Some(kept) = self.view.kept(change.replica, change.new_view)
            && kept.statement() != change.statement()
            && !mutation::is(Mutation::SecondInVerificationForgotten)
        {
            let kept = (kept.statement(), kept.signature);
            self.report(change.replica, kept, (change.statement(), change.signature));
        }
        // Its certificate may be news, but opens no view here: Q must ask for that.
        self.view.keep(change);
        Ok(())
    }

    /// [X1] W replicas ask for higher views: join the smallest of those W.
    pub(crate) fn try_join_view(&mut self) -> bool {
        let own = self.config.id;
        let others = self.peers.iter().filter(|(replica, _)| *replica != own).map(|(_, known)| known.asked);
        let wanted = Quorums::reached_by(self.quorums().weak(), others).unwrap_or_default();
        if wanted <= self.view.asked || self.is_mute() {
            return false;
        }
        self.ask_for_view(wanted, Cause::Others);
        true
    }

    /// [X2] Q view changes for one view open it.
    pub(crate) fn try_enter_view(&mut self) -> bool {
        if !std::mem::take(&mut self.view.is_changed) {
            return false;
        }
        let views: Vec<View> = self.view.changes.iter().flat_map(|kept| kept.keys().copied()).collect();
        let quorum = self.quorums().quorum();
        let above = views.iter().copied().filter(|view| *view > self.view.entered);
        let opened = above.filter(|view| views.iter().filter(|other| *other == view).count() >= quorum).max();
        let Some(view) = opened else { return false };
        self.enter(view);
        true
    }

    /// A proof of a later view, from a peer that saw this replica behind.
    pub(crate) fn on_view_proof(&mut self, proof: Justification) -> Result<(), Rejection> {
        match proof {
            Justification::Quorum(qc) => self.learn_certificate(&qc),
            Justification::ViewChange(tc) => {
                if tc.view() > self.view.entered {
                    self.enter(tc.view());
                }
                if tc.view() == self.view.entered {
                    self.view.proof.get_or_insert_with(|| tc.into_inner());
                }
            }
            Justification::None => {}
        }
        Ok(())
    }

    /// Starts a view with nothing in it.
    pub(crate) fn enter(&mut self, view: View) {
        if view <= self.view.entered {
            return;
        }
        self.view.entered = view;
        self.view.asked = self.view.asked.max(view);
        self.view.proof = None;
        self.view.patience.lags_since = None;
        self.outbox.forget_below(view);
        self.outbox.persist(Record::Entered(view));
        self.chain = Chain::on(self.blocks.tip());
        self.tally.enter(view);
        self.proposer = None;
        self.pool.reset_included(self.now);
        for timer in [Timer::View, Timer::Batch, Timer::Grace, Timer::Clock, Timer::Fairness] {
            self.timers.stop(timer);
        }
        self.drop_unclaimed();
        self.event(Event::Entered(view));
        self.forward_waiting();
        self.arm_fairness();
        self.depose_convicted();
    }

    /// Blocks of older views are kept only if the own certificate, claim or vote leads to them.
    fn drop_unclaimed(&mut self) {
        let qc = &self.safety.high_qc().vote;
        let mut kept = std::collections::BTreeSet::new();
        let last = self.safety.last_vote().map(|vote| (vote.height, vote.digest));
        let roots = [Some((qc.height, qc.digest)), Some(self.safety.claim_tip()), last];
        for root in roots.into_iter().flatten().chain(self.catch_up.ends()) {
            let mut next = root;
            while let Some(block) = self.blocks.pending(&next.1) {
                if !kept.insert(next.1) {
                    break;
                }
                next = (next.0.minus(1), block.header().parent);
            }
        }
        self.blocks.retain_pending(|block| kept.contains(&block.digest));
    }

    /// [X3] The primary of a new view proposes its first block.
    pub(crate) fn try_new_view(&mut self) -> bool {
        if self.view.entered == View(0) || !self.lacks_first_block() || !self.is_active() {
            return false;
        }
        let candidates = self.view.changes_for(self.view.entered);
        if candidates.len() < self.quorums().quorum() {
            return false;
        }
        let mut usable: Vec<Arc<Verified<ViewChange>>> = Vec::new();
        for change in candidates {
            if self.is_usable(&change) {
                usable.push(change);
            }
        }
        let Some((base, chosen)) = self.choose(usable) else { return false };
        if self.blocks.time_of(base).is_none() {
            self.want_block(base, None);
            return false;
        }
        let certificate = Verified::of_view_changes(chosen).into_inner();
        self.view.proof = Some(Arc::clone(&certificate));
        self.set_base(base);
        self.mark_included(base);
        let is_limited = mutation::is(Mutation::LimitsOnFirstBlock)
            && base.0.0 >= self.blocks.tip().0.0 + self.config.parameters.blocks_in_flight_max;
        if is_limited {
            return false;
        }
        let bytes_max = self.config.parameters.batch_bytes_max as usize;
        let bundles = self.take_batch(bytes_max);
        self.proposer = Some(Proposer::after(base, None));
        self.view.note_accepted(self.view.entered);
        self.propose(base, Justify::ViewChange(certificate), bundles);
        true
    }

    /// [X3] A view change counts only once its claimed blocks are held and pass V5.
    fn is_usable(&mut self, change: &Verified<ViewChange>) -> bool {
        let tip = self.blocks.tip().0;
        let claimed: Vec<_> = change.claimed().filter(|signed| signed.header.height > tip).collect();
        let mut is_usable = true;
        for signed in claimed {
            let id = (signed.header.height, signed.header.digest());
            self.blocks.insert(signed, id.1);
            match self.is_in_order(id) {
                Some(true) => {}
                Some(false) => return false,
                None => {
                    is_usable = mutation::is(Mutation::AncestorsUnchecked);
                    if self.blocks.get(id).is_none_or(|block| block.batch().is_none()) {
                        self.want_block(id, Some(change.replica));
                    }
                }
            }
        }
        is_usable
    }

    /// Q usable view changes and the block that they select. Where the claims fork, the primary
    /// that forked them is left out.
    #[allow(clippy::type_complexity)]
    fn choose(
        &self,
        mut usable: Vec<Arc<Verified<ViewChange>>>,
    ) -> Option<(BlockId, Vec<Arc<Verified<ViewChange>>>)> {
        let quorum = self.quorums().quorum();
        while usable.len() >= quorum {
            let chosen: Vec<_> = usable.iter().take(quorum).cloned().collect();
            match self.select_base(&chosen.iter().map(|change| &***change).collect::<Vec<_>>()) {
                Ok(base) => return Some((base, chosen)),
                Err(equivocator) => usable.retain(|change| change.replica != equivocator),
            }
        }
        None
    }

    fn select_base(&self, changes: &[&ViewChange]) -> Result<BlockId, ReplicaId> {
        let primary_of = |view| self.config.membership.primary(view);
        select(changes, self.quorums(), primary_of).map_err(|equivocated| equivocated.0)
    }

    /// Requests in the blocks that the new view takes over need no second proposal.
    fn mark_included(&mut self, base: BlockId) {
        let batches: Vec<_> = self
            .blocks
            .path(self.blocks.tip(), base)
            .unwrap_or_default()
            .iter()
            .filter_map(|block| block.batch().cloned())
            .collect();
        for bundle in batches.iter().flat_map(|batch| batch.bundles()) {
            self.pool.include(&bundle.id());
        }
    }

    /// [V3] The first block of a view came with its certificate: it must extend what that selects.
    pub(crate) fn on_first_block(
        &mut self,
        signed: &SignedHeader,
        tc: &Verified<Arc<ViewChangeCertificate>>,
    ) -> Result<(), Rejection> {
        if tc.view() > self.view.entered {
            self.enter(tc.view());
        }
        if tc.view() != self.view.entered || self.chain.first.is_some() {
            return Ok(());
        }
        let changes: Vec<&ViewChange> = tc.view_changes.iter().collect();
        let base = self.select_base(&changes).map_err(|_| Rejection::BadCertificate)?;
        let parent = (signed.header.height.minus(1), signed.header.parent);
        let base = if mutation::is(Mutation::BaseUnchecked) { parent } else { base };
        if base != parent || signed.header.height <= base.0 {
            return Err(Rejection::WrongBase);
        }
        self.view.note_accepted(tc.view());
        self.view.proof = Some(Arc::clone(tc));
        let tip = self.blocks.tip().0;
        for claimed in
            tc.claimed().filter(|claimed| claimed.header.height > tip && claimed.header.height <= base.0)
        {
            let digest = claimed.header.digest();
            self.blocks.insert(claimed, digest);
        }
        self.set_base(base);
        self.mark_included(base);
        Ok(())
    }

    /// Proves its view to a replica that is behind.
    pub(crate) fn send_view_proof(&mut self, to: ReplicaId) {
        let qc = self.safety.high_qc();
        let proof = if qc.vote.view == self.view.entered && qc.vote.height.0 > 0 {
            Some(ViewProof::Quorum(Arc::clone(qc)))
        } else if let Some(tc) = &self.view.proof {
            Some(ViewProof::ViewChange(Arc::clone(tc)))
        } else {
            let mut changes = self.view.changes_for(self.view.entered);
            changes.truncate(self.quorums().quorum());
            (changes.len() == self.quorums().quorum())
                .then(|| ViewProof::ViewChange(Verified::of_view_changes(changes).into_inner()))
        };
        if let Some(proof) = proof {
            self.send_to(to, Message::Data(quorate_types::message::Data::View(proof)));
        }
    }

    /// [X2] Sends again every own view change that no proposal has overtaken.
    pub(crate) fn resend_view_changes(&mut self) {
        if self.is_mute() || mutation::is(Mutation::ViewChangeSentOnce) {
            return;
        }
        let kept = if mutation::is(Mutation::OnlyLatestViewChange) { 1 } else { VIEW_CHANGES_KEPT };
        let accepted = self.view.accepted;
        let own: Vec<_> =
            self.view.own.iter().rev().take(kept).filter(|own| own.new_view > accepted).cloned().collect();
        for change in own.into_iter().rev() {
            self.send_to_all(Message::ViewChange(change));
        }
    }
}
