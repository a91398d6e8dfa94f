//! The normal case at the primary: which blocks it proposes (rules P1 to P3), and how a proposal
//! is taken in by a backup.

use quorate_types::certificate::SignedHeader;
use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{
    Batch, Bundle, Digest, Header, Height, Justification, Rejection, ReplicaId, Statement, Time, Unverified,
    Verified,
};
use std::sync::Arc;

use crate::blocks::Contents;
use crate::io::{Peer, Recipients};
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::replica::Replica;
use crate::select::BlockId;
use crate::session::Outlook;
use crate::timer::Timer;

/// [V3] [P1] Most blocks of one view between a vote and the certificate that it extends.
pub(crate) const ABOVE_CERTIFICATE_MAX: u64 = 64;
/// [C2] [P1] After so many blocks the primary builds and proposes a certificate.
pub(crate) const CERTIFY_INTERVAL: u64 = 32;

/// What a primary remembers of its proposals in the present view.
#[derive(Clone, Debug)]
pub(crate) struct Proposer {
    /// Its last block.
    pub(crate) last: BlockId,
    /// The height of the last certificate of the view that it proposed, if any.
    pub(crate) certified: Option<Height>,
    /// Whether a batch has waited for long enough (P2).
    is_batch_due: bool,
}

impl Proposer {
    pub(crate) const fn after(last: BlockId, certified: Option<Height>) -> Self {
        Self { last, certified, is_batch_due: false }
    }
}

impl Replica {
    /// Proposes the next block above the view's first one.
    pub(crate) fn try_propose(&mut self) -> bool {
        let Some(justify) = self.next_justification() else { return false };
        if !self.has_batch_to_propose() {
            return false;
        }
        let bytes_max = self.config.parameters.batch_bytes_max as usize;
        let bundles = self.take_batch(bytes_max);
        if bundles.is_empty() {
            return false;
        }
        let Some(proposer) = &self.proposer else { return false };
        self.propose(proposer.last, justify, bundles);
        true
    }

    /// [P1] The justification for the next block, if the primary may propose one now.
    fn next_justification(&self) -> Option<Justify> {
        let proposer = self.proposer.as_ref().filter(|_| self.is_active())?;
        let next = proposer.last.0.next();
        let qc = self.safety.high_qc();
        let tip = self.blocks.tip().0;
        let is_blocked = qc.vote.view != self.view.entered
            || proposer.last.0.0 >= tip.0.saturating_add(self.config.parameters.blocks_in_flight_max)
            || next > self.window_end();
        if is_blocked {
            return None;
        }
        let is_due = proposer.certified.is_none_or(|certified| {
            next.0.saturating_sub(certified.0) >= CERTIFY_INTERVAL && qc.vote.height > certified
        });
        let certified = if is_due { qc.vote.height } else { proposer.certified? };
        if next.0.saturating_sub(certified.0) > ABOVE_CERTIFICATE_MAX {
            return None;
        }
        Some(if is_due { Justify::Quorum(Arc::clone(qc)) } else { Justify::None })
    }

    /// [P2] With nothing in flight at once, else when the batch is full or has waited.
    fn has_batch_to_propose(&mut self) -> bool {
        let Some(proposer) = &self.proposer else { return false };
        if !self.pool.has_waiting() {
            self.timers.stop(Timer::Batch);
            return false;
        }
        let is_idle = proposer.last.0 <= self.blocks.tip().0;
        let is_full = self.pool.waiting_bytes() >= self.config.parameters.batch_bytes_max as usize;
        if is_idle || is_full || proposer.is_batch_due {
            return true;
        }
        self.timers.set_if_unset(Timer::Batch, self.now.after(self.config.timing.batch_delay));
        false
    }

    pub(crate) fn on_batch_timeout(&mut self) {
        if let Some(proposer) = &mut self.proposer {
            proposer.is_batch_due = true;
        }
    }

    /// [P3] Verified bundles that still execute something, each once.
    pub(crate) fn take_batch(&mut self, bytes_max: usize) -> Vec<Verified<Bundle>> {
        let (executor, now) = (&self.executor, self.now);
        self.pool.take(bytes_max, |bundle| executor.would_execute(now, bundle))
    }

    /// Signs a block on `parent` and sends it to all once it is durable.
    pub(crate) fn propose(&mut self, parent: BlockId, justify: Justify, bundles: Vec<Verified<Bundle>>) {
        let batch = Verified::<Batch>::of_bundles(bundles);
        let parent_time = self.blocks.time_of(parent).unwrap_or_default();
        let header = Header {
            cluster: self.config.membership.cluster(),
            epoch: self.config.membership.epoch(),
            view: self.view.entered,
            height: parent.0.next(),
            parent: parent.1,
            batch: batch.digest(),
            time: self.now.max(parent_time),
        };
        let id = (header.height, header.digest());
        let signed = Verified::own_header(header, &self.config.key);
        let raw = batch.raw().clone();
        self.blocks.insert(signed, id.1);
        self.blocks.set_contents(&id.1, Contents::Good(Arc::new(batch)));
        if let Some(block) = self.blocks.pending_mut(&id.1) {
            block.justify = justify.clone();
        }
        self.chain.add_candidate(id);
        self.log_block(id);
        let certified = match &justify {
            Justify::Quorum(qc) => Some(qc.vote.height),
            _ => self.proposer.as_ref().and_then(|proposer| proposer.certified),
        };
        self.proposer = Some(Proposer::after(id, certified));
        self.timers.stop(Timer::Batch);
        let propose = Propose { header: signed.into_inner(), justify, batch: raw };
        self.outbox.send_durable(Recipients::All, Message::Propose(propose));
    }

    /// [D1] Appends a block to the log, once.
    pub(crate) fn log_block(&mut self, id: BlockId) {
        let Some(block) = self.blocks.pending_mut(&id.1) else { return };
        let Contents::Good(batch) = &block.contents else { return };
        if block.logged.is_some() {
            return;
        }
        let record = Record::Block {
            header: *block.signed,
            justify: block.justify.clone(),
            batch: batch.raw().clone(),
        };
        block.logged = Some(self.outbox.persist(record));
    }

    /// The greatest height that may be proposed above the first block of a view.
    pub(crate) fn window_end(&self) -> Height {
        if mutation::is(Mutation::WindowUnchecked) {
            return Height(u64::MAX);
        }
        self.checkpoints.stable_height().plus(self.config.parameters.window)
    }

    /// A proposal arrived. It is worth a verification if it is of this view or opens a later one.
    pub(crate) fn on_propose(&mut self, from: ReplicaId, propose: Propose) -> Result<(), Rejection> {
        let header = &propose.header.header;
        if self.config.membership.primary(header.view) != from {
            return Err(Rejection::WrongPrimary);
        }
        if header.view < self.view.entered {
            return Err(Rejection::StaleView);
        }
        let opens_view = match &propose.justify {
            Justify::None => false,
            Justify::ViewChange(tc) => tc.view() == header.view,
            Justify::Quorum(qc) => qc.vote.view == header.view,
        };
        if header.view > self.view.entered && !opens_view {
            return Err(Rejection::FutureView);
        }
        if header.view == self.view.entered && self.holds_proposal(&propose) {
            return Ok(());
        }
        self.verify(Peer::Replica(from), Unverified::Proposal(Box::new(propose)));
        Ok(())
    }

    /// Whether a proposal tells nothing new.
    fn holds_proposal(&self, propose: &Propose) -> bool {
        let header = &propose.header.header;
        if let Justify::Quorum(qc) = &propose.justify
            && qc.rank() > self.safety.high_qc().rank()
        {
            return false;
        }
        let is_base_known = self.chain.first.is_some() || !matches!(propose.justify, Justify::ViewChange(_));
        if let Some(committed) = self.blocks.committed_at(header.height) {
            // [V7] Another block of the same view convicts its primary even now.
            let is_other = committed.header().view == header.view && committed.digest != header.digest();
            return is_base_known && !is_other;
        }
        let Some(digest) = self.chain.candidate(header.height) else { return false };
        let id = (header.height, digest);
        let is_held = self.blocks.get(id).is_some_and(|block| block.batch().is_some());
        is_base_known && is_held && header.digest() == digest
    }

    pub(crate) fn on_proposal(
        &mut self,
        signed: Verified<SignedHeader>,
        justification: Justification,
        batch: Result<Verified<Batch>, Rejection>,
    ) -> Result<(), Rejection> {
        let (view, height) = (signed.header.view, signed.header.height);
        match justification {
            Justification::None => {}
            Justification::Quorum(qc) => {
                if qc.vote.view != view || qc.vote.height >= height {
                    return Err(Rejection::BadJustification);
                }
                self.learn_certificate(&qc);
            }
            Justification::ViewChange(tc) => {
                if tc.view() != view {
                    return Err(Rejection::BadJustification);
                }
                self.on_first_block(&signed, &tc)?;
            }
        }
        self.on_block(signed, batch)
    }

    /// A block with its batch arrived, proposed or fetched.
    pub(crate) fn on_block(
        &mut self,
        signed: Verified<SignedHeader>,
        batch: Result<Verified<Batch>, Rejection>,
    ) -> Result<(), Rejection> {
        let id = (signed.header.height, signed.header.digest());
        let is_wanted = self.fetches.arrived(&id);
        self.catch_up.note_block(&id.1);
        let result = self.on_header(signed, id, is_wanted);
        let (contents, blame) = match batch {
            Ok(batch) => (Contents::Good(Arc::new(batch)), Ok(())),
            Err(reason) => (Contents::Bad, Err(reason)),
        };
        self.blocks.set_contents(&id.1, contents);
        result.and(blame)
    }

    /// A header arrived. In the present view it becomes a candidate for its height, or evidence;
    /// of other views only what was asked for is kept.
    pub(crate) fn on_header(
        &mut self,
        signed: Verified<SignedHeader>,
        id: BlockId,
        is_wanted: bool,
    ) -> Result<(), Rejection> {
        if id.0 <= self.blocks.tip().0 {
            self.check_against_committed(&signed, id);
            return Ok(());
        }
        if signed.header.view == self.view.entered {
            match self.chain.candidate(id.0) {
                Some(digest) if digest != id.1 => {
                    self.on_conflicting_headers((id.0, digest), &signed);
                    if mutation::is(Mutation::SecondVote) && self.is_active() {
                        self.send_vote(id);
                    }
                    if !is_wanted {
                        return Err(Rejection::Equivocation);
                    }
                }
                Some(_) => {}
                None if !self.chain.add_candidate(id) && !is_wanted => return Err(Rejection::AboveWindow),
                None => {}
            }
        } else if !is_wanted {
            let is_over = signed.header.view < self.view.entered;
            return Err(if is_over { Rejection::StaleView } else { Rejection::Unrequested });
        }
        self.blocks.insert(signed, id.1);
        Ok(())
    }

    /// A header at a committed height can still convict its primary.
    fn check_against_committed(&mut self, signed: &Verified<SignedHeader>, id: BlockId) {
        let Some(committed) = self.blocks.committed_at(id.0) else { return };
        let is_same_slot = committed.header().view == signed.header.view;
        if is_same_slot && committed.digest != id.1 {
            let committed = committed.id();
            self.on_conflicting_headers(committed, signed);
        }
    }

    /// [V7] Two headers for one view and height.
    fn on_conflicting_headers(&mut self, known: BlockId, other: &Verified<SignedHeader>) {
        if mutation::is(Mutation::SecondHeaderOverlooked) {
            return;
        }
        let Some(known) = self.blocks.get(known).map(|block| block.signed) else { return };
        let primary = self.config.membership.primary(other.header.view);
        let statement = |signed: &SignedHeader| (Statement::Block(signed.header), signed.signature);
        self.report(primary, statement(&known), statement(other));
    }

    /// A client's bundle is authentic: it goes into the pool, and from a backup to the primary.
    pub(crate) fn on_bundle(&mut self, peer: Peer, bundle: Verified<Bundle>) -> Result<(), Rejection> {
        let session = *bundle.session();
        if let Peer::Client(client) = peer
            && client != session.client
        {
            return Err(Rejection::WrongSender);
        }
        let mut refusal = None;
        let mut executes = false;
        for request in bundle.requests() {
            match self.executor.sessions().outlook(self.now, &session, request.number) {
                Outlook::Executes => executes = true,
                Outlook::Running => {}
                Outlook::Executed(height, outcome) => {
                    self.reply_again(&session, request.number, height, outcome);
                }
                Outlook::Refused(reason) => refusal = Some(reason),
            }
        }
        if !executes {
            return refusal.map_or(Ok(()), |reason| self.refuse(peer, &bundle, reason));
        }
        if self.pool.contains(&bundle.id()) {
            return Ok(());
        }
        if let Err(reason) = self.pool.insert(self.now, bundle.clone()) {
            return self.refuse(peer, &bundle, reason);
        }
        // [R2] A backup that a client asks forwards to the primary.
        if matches!(peer, Peer::Client(_))
            && !self.is_primary()
            && !mutation::is(Mutation::RequestsNotForwarded)
        {
            self.send_to(self.primary(), Message::Request(bundle.raw().clone()));
        }
        Ok(())
    }

    /// Tells a client that its bundle was not taken.
    fn refuse(&mut self, peer: Peer, bundle: &Bundle, why: Rejection) -> Result<(), Rejection> {
        if let Peer::Client(client) = peer {
            let refused = quorate_types::message::ReplicaMessage::Refused { bundle: bundle.id(), why };
            self.outbox.push(crate::io::Action::Reply(client, refused));
        }
        Err(why)
    }

    /// [X1] A block joined the chain of the view: its requests are proposed, and older ones that
    /// it leaves out are passed over.
    pub(crate) fn note_proposed(&mut self, id: BlockId) {
        let Some(block) = self.blocks.get(id) else { return };
        let (time, batch) = (block.header().time, block.batch().cloned());
        let mut latest = None;
        let mut bytes = 0;
        if let Some(batch) = batch {
            bytes = batch.raw().len();
            for bundle in batch.bundles() {
                latest = latest.max(self.pool.include(&bundle.id()));
            }
        }
        self.note_passed_over(latest, bytes);
        // What others have committed already is not new, however late it comes here.
        if id.0 > self.peers.committed_by_weak(self.quorums()) {
            self.note_agreed_time(time);
        }
    }

    fn note_passed_over(&mut self, latest: Option<u64>, bytes: usize) {
        let bytes_max = self.config.parameters.batch_bytes_max as usize;
        let now = self.now;
        let order = self.pool.order_of_oldest_waiting();
        let Some(oldest) = self.pool.oldest_waiting() else { return };
        let had_room = bytes + oldest.bundle.batch_bytes() <= bytes_max;
        if had_room || latest > order {
            oldest.passed_over.get_or_insert(now);
        }
        self.arm_fairness();
    }

    /// The time of the block's parent, if the block is known.
    pub(crate) fn parent_time(&self, id: BlockId) -> Option<Time> {
        let parent: (Height, Digest) = (id.0.minus(1), self.blocks.get(id)?.header().parent);
        self.blocks.time_of(parent)
    }
}
