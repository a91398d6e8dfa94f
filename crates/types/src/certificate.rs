//! Proofs that many replicas said the same: quorum, view-change and checkpoint certificates.
//!
//! Exactly Q signers, in rising order: one set of statements has one certificate.

use serde::{Deserialize, Serialize};

use crate::limited::Limited;
use crate::quorum::REPLICAS_MAX;
use crate::statement::{CheckpointStatement, Header, VoteStatement};
use crate::{Digest, Epoch, Height, ReplicaId, SecretKey, Signature, Statement, View};

/// Most headers in the claim of a view change.
pub const CLAIM_MAX: usize = 64;

/// Signatures of distinct replicas on one statement.
pub type Signatures = Limited<(ReplicaId, Signature), REPLICAS_MAX>;

/// A block's header with its primary's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The signature of the view's primary.
    pub signature: Signature,
}

impl SignedHeader {
    /// Signs a header.
    #[must_use]
    pub fn sign(header: Header, key: &SecretKey) -> Self {
        Self { header, signature: Statement::Block(header).sign(key, &header.cluster) }
    }
}

/// QC(v, h): Q votes on one block. Or the certificate of the genesis block, which needs no votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumCertificate {
    /// The block that was voted for.
    pub vote: VoteStatement,
    /// The voters.
    pub signatures: Signatures,
}

impl QuorumCertificate {
    /// The certificate of the genesis block, which counts as the first block of view 0.
    #[must_use]
    pub fn genesis(epoch: Epoch, genesis_block: Digest) -> Self {
        let vote = VoteStatement { epoch, view: View(0), height: Height(0), digest: genesis_block };
        Self { vote, signatures: Limited::default() }
    }
    /// By what certificates are compared: the later view, then the greater height.
    #[must_use]
    pub const fn rank(&self) -> (View, Height) {
        (self.vote.view, self.vote.height)
    }
}

/// A replica leaves all views below `new_view` and tells what could have been committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChange {
    /// The epoch.
    pub epoch: Epoch,
    /// The view that it asks for.
    pub new_view: View,
    /// Who asks.
    pub replica: ReplicaId,
    /// The highest quorum certificate that it verified.
    pub high_qc: QuorumCertificate,
    /// Every header from above `high_qc` to the replica's last vote in the certificate's view;
    /// empty if that vote does not extend the certificate.
    pub claim: Limited<SignedHeader, CLAIM_MAX>,
    /// The replica's signature.
    pub signature: Signature,
}

impl ViewChange {
    /// What the replica signs.
    #[must_use]
    pub fn statement(&self) -> Statement {
        let content = Digest::of_parts(
            "quorate view change",
            &[&crate::wire::canonical(&self.high_qc), &crate::wire::canonical(&self.claim)],
        );
        Statement::ViewChange { epoch: self.epoch, view: self.new_view, content }
    }
}

/// TC(v): exactly Q view changes for one view, by distinct replicas in rising order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewChangeCertificate {
    /// The view changes.
    pub view_changes: Limited<ViewChange, REPLICAS_MAX>,
}

impl ViewChangeCertificate {
    /// The view that it opens; view 0 if it is empty, which no verified one is.
    #[must_use]
    pub fn view(&self) -> View {
        self.view_changes.first().map_or(View(0), |view_change| view_change.new_view)
    }
}

/// Q equal checkpoint votes: the state after this block is certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCertificate {
    /// What was voted.
    pub checkpoint: CheckpointStatement,
    /// The voters.
    pub signatures: Signatures,
}
