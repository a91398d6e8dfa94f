//! Checkpoints: agreement on the state, the moving window, and what happens to a replica whose
//! state differs (rules K1, K2).

use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::message::{CheckpointVote, Data, Message};
use quorate_types::{
    CheckpointStatement, Digest, Height, Quorums, Rejection, ReplicaId, StateHead, Statement, Unverified,
    Verified,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::io::{Action, Event, Halt, Peer, Recipients, SnapshotOrder};
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::replica::Replica;

/// Most checkpoint votes that are kept of each replica, the latest ones.
const VOTES_KEPT: usize = 4;
/// Most own roots that are kept to be compared.
const OWN_KEPT: usize = 16;
/// Most certificates that are kept, the newest.
const CERTIFICATES_KEPT: usize = 8;
/// Most snapshots that are being written at a time.
const PENDING_MAX: usize = 2;
/// Most result roots that are kept of each replica.
const RESULTS_KEPT: usize = 64;

/// Checkpoint votes and the stable checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    /// The newest certificates: the last one is that of the stable checkpoint.
    certificates: BTreeMap<Height, Verified<Arc<CheckpointCertificate>>>,
    votes: Vec<VecDeque<Verified<CheckpointVote>>>,
    /// The blocks of the checkpoints whose snapshots are being written.
    pending: BTreeMap<Height, Verified<SignedHeader>>,
    /// The own durable snapshots that are kept.
    heads: BTreeMap<Height, (Verified<SignedHeader>, Arc<StateHead>)>,
    own: BTreeMap<Height, Digest>,
    /// The height at which the own state was found to differ, until another one is installed (K2).
    pub(crate) diverged: Option<Height>,
    /// The own root at a checkpoint at which no root can reach a quorum (K2).
    hopeless: Option<(Height, Digest)>,
    last_vote: Option<CheckpointVote>,
    /// The own result roots of the latest blocks, and the others' latest.
    own_results: VecDeque<(Height, Digest)>,
    results: Vec<VecDeque<(Height, Digest)>>,
}

impl Checkpoints {
    pub(crate) fn new(quorums: Quorums) -> Self {
        Self {
            certificates: BTreeMap::new(),
            votes: vec![VecDeque::new(); quorums.n()],
            pending: BTreeMap::new(),
            heads: BTreeMap::new(),
            own: BTreeMap::new(),
            diverged: None,
            hopeless: None,
            last_vote: None,
            own_results: VecDeque::new(),
            results: vec![VecDeque::new(); quorums.n()],
        }
    }

    pub(crate) fn stable_height(&self) -> Height {
        self.certificates.last_key_value().map_or(Height(0), |(height, _)| *height)
    }

    pub(crate) fn stable(&self) -> Option<&Verified<Arc<CheckpointCertificate>>> {
        self.certificates.last_key_value().map(|(_, stable)| stable)
    }

    fn keep_certificate(&mut self, certificate: Verified<Arc<CheckpointCertificate>>) {
        self.certificates.insert(certificate.checkpoint.height, certificate);
        if self.certificates.len() > CERTIFICATES_KEPT {
            self.certificates.pop_first();
        }
    }

    /// The newest own durable snapshot that is certified. It may be older than the stable checkpoint, where this
    /// replica writes more slowly than the others. Only those up to `highest` count.
    pub(crate) fn newest_certified_own(&self, highest: Height) -> Option<Height> {
        let is_certified = |(height, certificate): &(&Height, &Verified<Arc<CheckpointCertificate>>)| {
            let own = self.heads.get(height).and_then(|_| self.own.get(height));
            own == Some(&certificate.checkpoint.state_root)
        };
        self.certificates.range(..=highest).rev().find(is_certified).map(|(height, _)| *height)
    }

    /// Whether as many snapshots are being written as may be: at the next checkpoint the state machine waits for one
    /// of them.
    pub(crate) fn is_writing_many(&self) -> bool {
        self.pending.len() >= PENDING_MAX
    }

    /// The own snapshot of this height, if it is durable and kept.
    pub(crate) fn head_at(&self, height: Height) -> Option<&(Verified<SignedHeader>, Arc<StateHead>)> {
        self.heads.get(&height)
    }

    /// The newest own durable snapshot below this height.
    pub(crate) fn newest_head_below(&self, height: Height) -> Option<Height> {
        self.heads.range(..height).next_back().map(|(height, _)| *height)
    }

    /// How many own durable snapshots lie above one height and up to another.
    pub(crate) fn heads_between(&self, above: Height, up_to: Height) -> usize {
        self.heads.keys().filter(|height| (above.next()..=up_to).contains(height)).count()
    }

    /// The newest own root.
    pub(crate) fn last_own(&self) -> (Height, Digest) {
        self.own.last_key_value().map(|(height, root)| (*height, *root)).unwrap_or_default()
    }

    pub(crate) fn forget_heads_below(&mut self, height: Height) {
        self.heads.retain(|kept, _| *kept >= height);
    }

    /// The own state is another one now.
    pub(crate) fn restart_on(&mut self, header: Verified<SignedHeader>, head: &Arc<StateHead>) {
        self.pending.clear();
        self.own_results.clear();
        self.own.retain(|height, _| *height < head.height);
        self.diverged = None;
        self.take_head(header, head);
    }

    /// A snapshot is durable.
    pub(crate) fn take_head(&mut self, header: Verified<SignedHeader>, head: &Arc<StateHead>) {
        self.heads.insert(head.height, (header, Arc::clone(head)));
        self.own.insert(head.height, head.root());
        if self.own.len() > OWN_KEPT {
            self.own.pop_first();
        }
    }

    /// How many votes and result roots of a replica are kept.
    pub(crate) fn held_of(&self, replica: ReplicaId) -> (usize, usize) {
        (self.votes[replica.index()].len(), self.results[replica.index()].len())
    }

    /// The votes for one height.
    fn votes_at(&self, height: Height) -> Vec<Verified<CheckpointVote>> {
        let all = self.votes.iter().flatten();
        all.filter(|vote| vote.checkpoint.height == height).copied().collect()
    }
}

impl Replica {
    /// [K1] The block after which a checkpoint is due was executed. [K4] Execution goes on while
    /// the application's root is computed.
    pub(crate) fn begin_checkpoint(&mut self, height: Height) {
        let Some(header) = self.blocks.header_at(height) else { return };
        self.checkpoints.pending.insert(height, header);
        let (_, result_root) = self.executor.last_result();
        let sessions = self.executor.session_image();
        let order = SnapshotOrder { header: *header, result_root, sessions };
        self.outbox.push(Action::TakeSnapshot(Box::new(order)));
    }

    /// [D1] The snapshot is durable: vote for the state.
    pub(crate) fn on_snapshot(&mut self, head: Arc<StateHead>) {
        let Some(header) = self.checkpoints.pending.remove(&head.height) else { return };
        self.checkpoints.take_head(header, &head);
        self.compare_with_certified(head.height);
        if self.halted.is_none() {
            self.vote_for_checkpoint(head.height);
        }
    }

    /// Signs the own state at a checkpoint.
    pub(crate) fn vote_for_checkpoint(&mut self, height: Height) {
        let Some((header, head)) = self.checkpoints.head_at(height) else { return };
        let (block, state_root) = (header.header.digest(), head.root());
        let epoch = self.config.membership.epoch();
        let checkpoint = CheckpointStatement { epoch, height, block, state_root };
        let cluster = self.config.membership.cluster();
        let signature = Statement::Checkpoint(checkpoint).sign(&self.config.key, &cluster);
        let vote = CheckpointVote { checkpoint, replica: self.config.id, signature };
        self.checkpoints.last_vote = Some(vote);
        self.send_checkpoint_vote();
    }

    /// [D3] Vouches for the own state before all, itself included, as soon as it may.
    pub(crate) fn send_checkpoint_vote(&mut self) {
        let stable = self.checkpoints.stable_height();
        let Some(vote) = self.checkpoints.last_vote.filter(|vote| vote.checkpoint.height > stable) else {
            return;
        };
        if !self.is_mute() {
            self.outbox.send_durable(Recipients::All, Message::CheckpointVote(vote));
            self.take_checkpoint_vote(Verified::from_own_log(vote));
        }
    }

    pub(crate) fn on_checkpoint_vote(
        &mut self,
        from: ReplicaId,
        vote: CheckpointVote,
    ) -> Result<(), Rejection> {
        if vote.replica != from {
            return Err(Rejection::WrongSender);
        }
        let height = vote.checkpoint.height;
        if height <= self.checkpoints.stable_height() {
            return Ok(());
        }
        let known = self.checkpoints.votes[from.index()].iter().find(|kept| kept.checkpoint.height == height);
        match known {
            Some(known) if known.checkpoint == vote.checkpoint => {}
            Some(known) => {
                let known = **known;
                self.report_checkpoint_votes(&known, &vote);
            }
            None => self.verify(Peer::Replica(from), Unverified::CheckpointVote(vote)),
        }
        Ok(())
    }

    /// [V7] Two checkpoint votes of one replica for one height.
    fn report_checkpoint_votes(&mut self, first: &CheckpointVote, second: &CheckpointVote) {
        let statement = |vote: &CheckpointVote| (Statement::Checkpoint(vote.checkpoint), vote.signature);
        self.report(first.replica, statement(first), statement(second));
    }

    pub(crate) fn on_verified_checkpoint_vote(
        &mut self,
        vote: Verified<CheckpointVote>,
    ) -> Result<(), Rejection> {
        self.take_checkpoint_vote(vote);
        Ok(())
    }

    fn take_checkpoint_vote(&mut self, vote: Verified<CheckpointVote>) {
        let height = vote.checkpoint.height;
        if height <= self.checkpoints.stable_height() {
            return;
        }
        let kept = &mut self.checkpoints.votes[vote.replica.index()];
        if let Some(known) = kept.iter().find(|kept| kept.checkpoint.height == height).copied() {
            // [V7] Another one for the same height may have been in verification at the same time.
            if known.checkpoint != vote.checkpoint && !mutation::is(Mutation::SecondInVerificationForgotten) {
                self.report_checkpoint_votes(&known, &vote);
            }
            return;
        }
        kept.push_back(vote);
        if kept.len() > VOTES_KEPT {
            kept.pop_front();
        }
        self.try_stabilise(height);
    }

    /// [K1] Q equal votes make a checkpoint stable. [K2] If no root can reach Q any more, the
    /// application is not deterministic.
    fn try_stabilise(&mut self, height: Height) {
        let quorums = self.quorums();
        let is_weak = mutation::is(Mutation::CheckpointOnWeakQuorum);
        let needed = if is_weak { quorums.weak() } else { quorums.quorum() };
        let votes = self.checkpoints.votes_at(height);
        let mut largest = 0;
        for vote in &votes {
            let equal: Vec<_> =
                votes.iter().filter(|other| other.checkpoint == vote.checkpoint).copied().collect();
            largest = largest.max(equal.len());
            if equal.len() >= needed {
                let certificate = Verified::<CheckpointCertificate>::of_votes(&equal[..needed]);
                if let Some(certificate) = certificate {
                    self.become_stable(certificate);
                }
                return;
            }
        }
        let unheard = quorums.n() - votes.len();
        if largest + unheard < quorums.quorum()
            && let Some(own) = self.checkpoints.own.get(&height).copied()
        {
            self.checkpoints.hopeless = Some((height, own));
        }
    }

    /// [K2] Halts once its own vote has left: without it the others would wait for that vote and never know.
    pub(crate) fn try_give_up(&mut self) -> bool {
        let Some((height, own)) = self.checkpoints.hopeless else { return false };
        let may_halt = !self.outbox.holds_checkpoint_vote();
        if may_halt {
            self.halt(Halt::NotDeterministic { height, own });
        }
        may_halt
    }

    /// A verified certificate arrived.
    pub(crate) fn on_stable(
        &mut self,
        certificate: Verified<Arc<CheckpointCertificate>>,
    ) -> Result<(), Rejection> {
        self.become_stable(certificate);
        Ok(())
    }

    /// [K1] The window moves; votes below it are dropped.
    pub(crate) fn become_stable(&mut self, certificate: Verified<Arc<CheckpointCertificate>>) {
        let height = certificate.checkpoint.height;
        if height <= self.checkpoints.stable_height() {
            return;
        }
        self.event(Event::Stable(height, certificate.checkpoint.state_root));
        self.outbox.persist(Record::Checkpoint(Arc::clone(&certificate)));
        self.checkpoints.keep_certificate(certificate);
        for votes in &mut self.checkpoints.votes {
            votes.retain(|vote| vote.checkpoint.height > height);
        }
        self.compare_with_certified(height);
    }

    /// The stable checkpoint that the log names.
    pub(crate) fn become_stable_from_log(&mut self, certificate: Arc<CheckpointCertificate>) {
        if certificate.checkpoint.height > self.checkpoints.stable_height() {
            self.checkpoints.keep_certificate(Verified::from_own_log(certificate));
        }
    }

    /// [K2] A replica whose root is not the certified one stops. A snapshot whose root is gets its certificate, so
    /// that it can be shown to anybody.
    pub(crate) fn compare_with_certified(&mut self, height: Height) {
        let Some(certificate) = self.checkpoints.certificates.get(&height).cloned() else { return };
        let Some(own) = self.checkpoints.own.get(&height).copied() else { return };
        let others = certificate.checkpoint.state_root;
        if own != others {
            self.diverge(height, own, others);
        } else if self.checkpoints.heads.contains_key(&height) {
            self.outbox.push(Action::Certified(certificate.into_inner()));
        }
    }

    /// [K2] Stops; after a restart it fetches the state that the others have.
    fn diverge(&mut self, height: Height, own: Digest, others: Digest) {
        // The snapshots above it are as wrong, and a restart would go on from the newest.
        let newest = self.checkpoints.heads.keys().chain(self.checkpoints.pending.keys()).max().copied();
        self.outbox.persist(Record::Diverged(newest.max(Some(height)).unwrap_or(height)));
        self.halt(Halt::Diverged { height, own, others });
    }

    /// Sends a peer what it lacks: the certificate, or the own vote for a later checkpoint.
    pub(crate) fn resend_checkpoint(&mut self, to: ReplicaId, its_stable: Height) {
        if let Some(stable) = self.checkpoints.stable()
            && stable.checkpoint.height > its_stable
        {
            let data = Data::Checkpoint(Arc::clone(stable));
            self.send_to(to, Message::Data(data));
        }
        if let Some(vote) = self.checkpoints.last_vote
            && vote.checkpoint.height > its_stable.max(self.checkpoints.stable_height())
            && !self.is_mute()
            && self.outbox.has_room(to)
        {
            self.outbox.send_durable(Recipients::One(to), Message::CheckpointVote(vote));
        }
    }

    /// [K2] Remembers the own result root of a block and compares it with what others told.
    pub(crate) fn note_own_result(&mut self, height: Height, root: Digest) {
        self.checkpoints.own_results.push_back((height, root));
        if self.checkpoints.own_results.len() > RESULTS_KEPT {
            self.checkpoints.own_results.pop_front();
        }
        self.compare_results(height, root);
    }

    /// [K2] What a voter told of its execution.
    pub(crate) fn note_result_root(&mut self, from: ReplicaId, height: Height, root: Digest) {
        if height == Height(0) {
            return;
        }
        let told = &mut self.checkpoints.results[from.index()];
        if told.iter().any(|(known, _)| *known == height) {
            return;
        }
        told.push_back((height, root));
        if told.len() > RESULTS_KEPT {
            told.pop_front();
        }
        let own = self.checkpoints.own_results.iter().find(|(own, _)| *own == height).copied();
        if let Some((height, own)) = own.filter(|(_, own)| *own != root) {
            self.compare_results(height, own);
        }
    }

    /// [K2] W replicas that agree on another result of a block include an honest one: this
    /// replica's state is wrong, and it stops at this block instead of at the next checkpoint.
    fn compare_results(&mut self, height: Height, own: Digest) {
        let told = || self.checkpoints.results.iter().flatten();
        let others = || told().filter(|(at, root)| *at == height && *root != own);
        let agreed = others()
            .map(|(_, root)| root)
            .find(|root| others().filter(|(_, other)| other == *root).count() >= self.quorums().weak());
        if let Some(others) = agreed.copied() {
            self.diverge(height, own, others);
        }
    }
}
