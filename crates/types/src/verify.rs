//! The only ways to a value that the core believes.
//!
//! [`Authenticated`] is made by a channel, which knows who is at its other end. [`Verified`] is
//! made by a [`Verifier`], which checks every signature in the value, each alone and by one rule.
//! The verifier has no state, so drivers run it on as many threads as they like.

use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use crate::certificate::{
    CheckpointCertificate, QuorumCertificate, Signatures, SignedHeader, ViewChange, ViewChangeCertificate,
};
use crate::message::{CheckpointVote, Justify, Propose, ViewProof, Wish};
use crate::state::CHUNK_BYTES_MAX;
use crate::statement::VoteStatement;
use crate::{
    Batch, Bundle, ChunkId, Digest, Evidence, Height, Membership, ProtocolParameters, Rejection, ReplicaId,
    Signature, StateHead, Statement, VerifyKey, View,
};

/// A value and the replica whose authenticated channel it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated<T> {
    sender: ReplicaId,
    value: T,
}

impl<T> Authenticated<T> {
    /// For channels alone: `sender` is the identity that the channel authenticated.
    #[must_use]
    pub const fn from_channel(sender: ReplicaId, value: T) -> Self {
        Self { sender, value }
    }
    /// Who sent it.
    #[must_use]
    pub const fn sender(&self) -> ReplicaId {
        self.sender
    }
    /// The value.
    #[must_use]
    pub const fn value(&self) -> &T {
        &self.value
    }
    /// Sender and value.
    #[must_use]
    pub fn into_parts(self) -> (ReplicaId, T) {
        (self.sender, self.value)
    }
}

/// A value all of whose signatures were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl Verified<SignedHeader> {
    /// A header that this process has just signed itself.
    #[must_use]
    pub fn own_header(header: crate::Header, key: &crate::SecretKey) -> Self {
        Self(SignedHeader::sign(header, key))
    }
}

impl Verified<Arc<QuorumCertificate>> {
    /// The certificate of the genesis block, which every replica knows.
    #[must_use]
    pub fn genesis(membership: &Membership) -> Self {
        Self(Arc::new(QuorumCertificate::genesis(membership.epoch(), membership.genesis_block())))
    }
}

impl<T> Verified<T> {
    /// A value from the replica's own log, into which it came only after it was verified.
    #[must_use]
    pub const fn from_own_log(value: T) -> Self {
        Self(value)
    }
}

impl Verified<ViewChange> {
    /// The claimed headers, which were verified with the view change.
    pub fn claimed(&self) -> impl Iterator<Item = Verified<SignedHeader>> + '_ {
        self.0.claim.iter().copied().map(Verified)
    }
}

impl Verified<Arc<ViewChangeCertificate>> {
    /// All claimed headers, which were verified with the certificate.
    pub fn claimed(&self) -> impl Iterator<Item = Verified<SignedHeader>> + '_ {
        self.0.view_changes.iter().flat_map(|vc| vc.claim.iter()).copied().map(Verified)
    }

    /// A certificate of exactly Q verified view changes for one view.
    #[must_use]
    pub fn of_view_changes(mut view_changes: Vec<Arc<Verified<ViewChange>>>) -> Self {
        view_changes.sort_unstable_by_key(|view_change| view_change.replica);
        let view_changes = view_changes.iter().map(|view_change| view_change.0.clone());
        Self(Arc::new(ViewChangeCertificate { view_changes: crate::limited::Limited::take(view_changes) }))
    }
}

impl Verified<CheckpointCertificate> {
    /// A certificate of exactly Q verified votes of distinct replicas on one checkpoint.
    #[must_use]
    pub fn of_votes(votes: &[Verified<CheckpointVote>]) -> Option<Verified<Arc<CheckpointCertificate>>> {
        let checkpoint = votes.first()?.checkpoint;
        let mut signatures: Vec<_> = votes.iter().map(|vote| (vote.replica, vote.signature)).collect();
        signatures.sort_unstable_by_key(|(replica, _)| *replica);
        let is_one = votes.iter().all(|vote| vote.checkpoint == checkpoint);
        is_one.then(|| {
            Verified(Arc::new(CheckpointCertificate { checkpoint, signatures: Signatures::take(signatures) }))
        })
    }
}

impl Verified<Batch> {
    /// A batch of bundles each of which was verified.
    #[must_use]
    pub fn of_bundles(bundles: Vec<Verified<Bundle>>) -> Self {
        Self(Batch::new(bundles.into_iter().map(|bundle| bundle.0).collect()))
    }
}

/// Something whose signatures are to be checked.
#[derive(Clone, Debug)]
pub enum Unverified {
    /// A proposal: header, justification and batch.
    Proposal(Box<Propose>),
    /// A fetched block.
    Block(SignedHeader, Bytes),
    /// Fetched headers.
    Headers(Vec<SignedHeader>),
    /// Votes on one block, to make a certificate of the good ones.
    Votes(VoteStatement, Vec<(ReplicaId, Signature)>),
    /// A view change.
    ViewChange(Arc<ViewChange>),
    /// A proof of a view.
    View(ViewProof),
    /// A checkpoint vote.
    CheckpointVote(CheckpointVote),
    /// A checkpoint certificate.
    Checkpoint(Arc<CheckpointCertificate>),
    /// Evidence.
    Evidence(Arc<Evidence>),
    /// A wish for a view change.
    Wish(Wish),
    /// A client's bundle.
    Bundle(Bytes),
    /// The head of a state and the header of its block.
    State(SignedHeader, Arc<StateHead>),
    /// A chunk of a state, whose digest is to be computed.
    Chunk(Bytes),
}

/// What came out of a check.
#[derive(Clone, Debug)]
pub enum Checked {
    /// A proposal whose header and justification are good. A batch that breaks a rule makes the
    /// block one that nobody votes for, but its header still counts as a statement.
    Proposal(Verified<SignedHeader>, Justification, Result<Verified<Batch>, Rejection>),
    /// A block with a good header whose batch is the one that the header names.
    Block(Verified<SignedHeader>, Result<Verified<Batch>, Rejection>),
    /// Headers, in the order in which they came.
    Headers(Vec<Verified<SignedHeader>>),
    /// What was voted, a certificate if Q of the votes were good, and whose were bad.
    Votes(VoteStatement, Option<Verified<Arc<QuorumCertificate>>>, Vec<ReplicaId>),
    /// A view change.
    ViewChange(Arc<Verified<ViewChange>>),
    /// A proof of a view.
    View(Justification),
    /// A checkpoint vote.
    CheckpointVote(Verified<CheckpointVote>),
    /// A checkpoint certificate.
    Checkpoint(Verified<Arc<CheckpointCertificate>>),
    /// Evidence.
    Evidence(Verified<Arc<Evidence>>),
    /// A wish.
    Wish(Verified<Wish>),
    /// A client's bundle.
    Bundle(Verified<Bundle>),
    /// The header of a state's block, the state's head, and its root. Whether a certificate names that root
    /// is the core's to say.
    State(Verified<SignedHeader>, Arc<StateHead>, Digest),
    /// A chunk and its id. Whether anybody wants that chunk is the core's to say.
    Chunk(ChunkId, Bytes),
}

/// A checked justification.
#[derive(Clone, Debug)]
pub enum Justification {
    /// None was given.
    None,
    /// A view-change certificate.
    ViewChange(Verified<Arc<ViewChangeCertificate>>),
    /// A quorum certificate.
    Quorum(Verified<Arc<QuorumCertificate>>),
}

/// Checks signatures for one epoch.
#[derive(Clone, Debug)]
pub struct Verifier {
    membership: Arc<Membership>,
    parameters: ProtocolParameters,
}

impl Verifier {
    /// A verifier for the replicas of `membership` and the limits of `parameters`.
    #[must_use]
    pub const fn new(membership: Arc<Membership>, parameters: ProtocolParameters) -> Self {
        Self { membership, parameters }
    }

    /// Checks every signature in `value`.
    ///
    /// # Errors
    /// The first rule that the value breaks.
    pub fn check(&self, value: Unverified) -> Result<Checked, Rejection> {
        match value {
            Unverified::Proposal(propose) => self.check_proposal(*propose),
            Unverified::Block(header, batch) => {
                let header = self.check_header(header)?;
                Ok(Checked::Block(header, self.check_batch(&header, batch)?))
            }
            Unverified::Headers(headers) => {
                let headers: Result<Vec<_>, _> = headers.into_iter().map(|h| self.check_header(h)).collect();
                headers.map(Checked::Headers)
            }
            Unverified::Votes(vote, votes) => Ok(self.check_votes(vote, votes)),
            Unverified::ViewChange(view_change) => {
                self.check_view_change(&view_change, &mut Memo::default())?;
                Ok(Checked::ViewChange(Arc::new(Verified(Arc::unwrap_or_clone(view_change)))))
            }
            Unverified::View(proof) => self.check_view_proof(proof).map(Checked::View),
            Unverified::CheckpointVote(vote) => {
                let statement = Statement::Checkpoint(vote.checkpoint);
                self.membership.check_statement(vote.replica, &statement, &vote.signature)?;
                Ok(Checked::CheckpointVote(Verified(vote)))
            }
            Unverified::Checkpoint(certificate) => {
                let statement = Statement::Checkpoint(certificate.checkpoint);
                self.check_signatures(&statement, &certificate.signatures, &mut Memo::default())?;
                Ok(Checked::Checkpoint(Verified(certificate)))
            }
            Unverified::Evidence(evidence) => {
                evidence.check(&self.membership)?;
                Ok(Checked::Evidence(Verified(evidence)))
            }
            Unverified::Wish(wish) => {
                let statement = Statement::Wish { epoch: wish.epoch, view: wish.view };
                self.membership.check_statement(wish.replica, &statement, &wish.signature)?;
                Ok(Checked::Wish(Verified(wish)))
            }
            Unverified::Bundle(raw) => self.check_bundle(Bundle::parse(raw)?).map(Checked::Bundle),
            Unverified::State(header, head) => {
                let root = head.root();
                Ok(Checked::State(self.check_header(header)?, head, root))
            }
            Unverified::Chunk(bytes) if bytes.is_empty() || bytes.len() > CHUNK_BYTES_MAX => {
                Err(Rejection::Oversized)
            }
            Unverified::Chunk(bytes) => Ok(Checked::Chunk(ChunkId::of(&bytes), bytes)),
        }
    }

    fn check_proposal(&self, propose: Propose) -> Result<Checked, Rejection> {
        let header = self.check_header(propose.header)?;
        let justification = match propose.justify {
            Justify::None => Justification::None,
            Justify::ViewChange(certificate) => self.check_view_proof(ViewProof::ViewChange(certificate))?,
            Justify::Quorum(certificate) => self.check_view_proof(ViewProof::Quorum(certificate))?,
        };
        Ok(Checked::Proposal(header, justification, self.check_batch(&header, propose.batch)?))
    }

    fn check_header(&self, header: SignedHeader) -> Result<Verified<SignedHeader>, Rejection> {
        let primary = self.membership.primary(header.header.view);
        self.membership.check_statement(primary, &Statement::Block(header.header), &header.signature)?;
        Ok(Verified(header))
    }

    /// The outer error blames who sent the batch, the inner one the primary that signed it.
    #[allow(clippy::type_complexity)]
    fn check_batch(
        &self,
        header: &SignedHeader,
        raw: Bytes,
    ) -> Result<Result<Verified<Batch>, Rejection>, Rejection> {
        if raw.len() > self.parameters.batch_bytes_max as usize {
            return Err(Rejection::Oversized);
        }
        let batch = Batch::parse(raw)?;
        if batch.digest() != header.header.batch {
            return Err(Rejection::WrongBatch);
        }
        for bundle in batch.bundles() {
            if self.check_bundle_parts(bundle).is_err() {
                return Ok(Err(Rejection::BadBatch));
            }
        }
        Ok(Ok(Verified(batch)))
    }

    fn check_bundle(&self, bundle: Bundle) -> Result<Verified<Bundle>, Rejection> {
        self.check_bundle_parts(&bundle)?;
        Ok(Verified(bundle))
    }

    fn check_bundle_parts(&self, bundle: &Bundle) -> Result<(), Rejection> {
        if !bundle.is_within(&self.parameters) {
            return Err(Rejection::Oversized);
        }
        let client = VerifyKey::new(self.membership.scheme(), &bundle.session().client);
        let client = client.map_err(|_| Rejection::WeakKey)?;
        let signed = Statement::Bundle(bundle.id()).signed_bytes(&self.membership.cluster());
        if client.is_valid(&signed, &bundle.signature()) { Ok(()) } else { Err(Rejection::BadSignature) }
    }

    fn check_votes(&self, vote: VoteStatement, votes: Vec<(ReplicaId, Signature)>) -> Checked {
        let statement = Statement::Vote(vote);
        let mut good = std::collections::BTreeMap::new();
        let mut bad = Vec::new();
        for (voter, signature) in votes {
            match self.membership.check_statement(voter, &statement, &signature) {
                Ok(()) => drop(good.insert(voter, signature)),
                Err(_) => bad.push(voter),
            }
        }
        let quorum = self.membership.quorums().quorum();
        let certificate = (good.len() >= quorum).then(|| {
            let signatures = Signatures::take(good.into_iter().take(quorum));
            Verified(Arc::new(QuorumCertificate { vote, signatures }))
        });
        Checked::Votes(vote, certificate, bad)
    }

    fn check_view_proof(&self, proof: ViewProof) -> Result<Justification, Rejection> {
        let mut memo = Memo::default();
        match proof {
            ViewProof::Quorum(certificate) => {
                self.check_quorum_certificate(&certificate, &mut memo)?;
                Ok(Justification::Quorum(Verified(certificate)))
            }
            ViewProof::ViewChange(certificate) => {
                self.check_view_change_certificate(&certificate, &mut memo)?;
                Ok(Justification::ViewChange(Verified(certificate)))
            }
        }
    }

    fn check_quorum_certificate(&self, qc: &QuorumCertificate, memo: &mut Memo) -> Result<(), Rejection> {
        if qc.vote.height == Height(0) {
            let genesis =
                QuorumCertificate::genesis(self.membership.epoch(), self.membership.genesis_block());
            return if *qc == genesis { Ok(()) } else { Err(Rejection::BadCertificate) };
        }
        self.check_signatures(&Statement::Vote(qc.vote), &qc.signatures, memo)
    }

    fn check_view_change_certificate(
        &self,
        tc: &ViewChangeCertificate,
        memo: &mut Memo,
    ) -> Result<(), Rejection> {
        let signers: Vec<ReplicaId> = tc.view_changes.iter().map(|view_change| view_change.replica).collect();
        self.check_signers(&signers)?;
        if tc.view() == View(0) || tc.view_changes.iter().any(|view_change| view_change.new_view != tc.view())
        {
            return Err(Rejection::BadCertificate);
        }
        tc.view_changes.iter().try_for_each(|view_change| self.check_view_change(view_change, memo))
    }

    fn check_view_change(&self, view_change: &ViewChange, memo: &mut Memo) -> Result<(), Rejection> {
        self.check_quorum_certificate(&view_change.high_qc, memo)?;
        let certified = view_change.high_qc.vote;
        if certified.epoch != view_change.epoch || certified.view >= view_change.new_view {
            return Err(Rejection::BadCertificate);
        }
        let mut parent = (certified.height, certified.digest);
        let primary = self.membership.primary(certified.view);
        for signed in view_change.claim.iter() {
            let header = &signed.header;
            let is_next = header.height > parent.0 && header.height == parent.0.next();
            if header.view != certified.view || !is_next || header.parent != parent.1 {
                return Err(Rejection::BadClaim);
            }
            memo.check(&self.membership, primary, &Statement::Block(*header), &signed.signature)?;
            parent = (header.height, header.digest());
        }
        memo.check(&self.membership, view_change.replica, &view_change.statement(), &view_change.signature)
    }

    fn check_signatures(
        &self,
        statement: &Statement,
        signatures: &Signatures,
        memo: &mut Memo,
    ) -> Result<(), Rejection> {
        let signers: Vec<ReplicaId> = signatures.iter().map(|(signer, _)| *signer).collect();
        self.check_signers(&signers)?;
        let mut all = signatures.iter();
        all.try_for_each(|(signer, signature)| memo.check(&self.membership, *signer, statement, signature))
    }

    /// Exactly Q distinct members in rising order.
    fn check_signers(&self, signers: &[ReplicaId]) -> Result<(), Rejection> {
        let is_rising = signers.windows(2).all(|pair| pair[0] < pair[1]);
        if signers.len() != self.membership.quorums().quorum() || !is_rising {
            return Err(Rejection::BadCertificate);
        }
        if signers.iter().any(|signer| self.membership.public_key(*signer).is_none()) {
            return Err(Rejection::UnknownSigner);
        }
        Ok(())
    }
}

impl Membership {
    /// Checks cluster, epoch, signer and signature of one statement of a replica.
    ///
    /// # Errors
    /// [`Rejection::WrongCluster`], [`Rejection::WrongEpoch`], [`Rejection::WrongPrimary`],
    /// [`Rejection::UnknownSigner`] or [`Rejection::BadSignature`].
    pub fn check_statement(
        &self,
        signer: ReplicaId,
        statement: &Statement,
        signature: &Signature,
    ) -> Result<(), Rejection> {
        let epoch = match statement {
            Statement::Block(header) => {
                if header.cluster != self.cluster() {
                    return Err(Rejection::WrongCluster);
                }
                if self.primary(header.view) != signer {
                    return Err(Rejection::WrongPrimary);
                }
                header.epoch
            }
            Statement::Vote(vote) => vote.epoch,
            Statement::ViewChange { epoch, .. } | Statement::Wish { epoch, .. } => *epoch,
            Statement::Checkpoint(checkpoint) => checkpoint.epoch,
            Statement::Bundle(_) => return Err(Rejection::UnknownSigner),
        };
        if epoch != self.epoch() {
            return Err(Rejection::WrongEpoch);
        }
        let key = self.verify_key(signer).ok_or(Rejection::UnknownSigner)?;
        let signed = statement.signed_bytes(&self.cluster());
        if key.is_valid(&signed, signature) { Ok(()) } else { Err(Rejection::BadSignature) }
    }
}

/// Signatures that one check has already found good: the members of a view-change certificate
/// carry mostly the same certificates and headers.
#[derive(Default)]
struct Memo(BTreeSet<(ReplicaId, Digest, [u8; 64])>);

impl Memo {
    fn check(
        &mut self,
        membership: &Membership,
        signer: ReplicaId,
        statement: &Statement,
        signature: &Signature,
    ) -> Result<(), Rejection> {
        let digest = Digest::of_bytes(&statement.signed_bytes(&membership.cluster()));
        let seen = (signer, digest, signature.0);
        if !self.0.contains(&seen) {
            membership.check_statement(signer, statement, signature)?;
            self.0.insert(seen);
        }
        Ok(())
    }
}
