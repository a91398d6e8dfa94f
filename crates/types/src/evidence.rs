//! Proof of misbehaviour: two statements of one signer that no honest replica signs both.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{ClusterId, Genesis, GenesisError, Membership, Rejection, ReplicaId, Signature, Statement};

/// Two contradicting statements with one signer's signatures. Anyone who has the genesis can
/// check it with [`Evidence::check`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who signed both.
    pub replica: ReplicaId,
    /// One statement.
    pub first: (Statement, Signature),
    /// The other.
    pub second: (Statement, Signature),
}

impl Evidence {
    /// Checks that the statements contradict each other and that the replica signed both.
    ///
    /// # Errors
    /// [`Rejection::NotEvidence`], [`Rejection::UnknownSigner`], [`Rejection::WrongCluster`],
    /// [`Rejection::WrongEpoch`], [`Rejection::WrongPrimary`] or [`Rejection::BadSignature`].
    pub fn check(&self, membership: &Membership) -> Result<(), Rejection> {
        if !self.first.0.contradicts(&self.second.0) {
            return Err(Rejection::NotEvidence);
        }
        for (statement, signature) in [&self.first, &self.second] {
            membership.check_statement(self.replica, statement, signature)?;
        }
        Ok(())
    }

    /// Reads a proof in canonical bytes, as it travels and is stored, and checks it with nothing but the genesis.
    ///
    /// # Errors
    /// Why it does not hold; bytes that are not canonical are [`EvidenceError::Refused`] too.
    pub fn verify_offline(bytes: &[u8], genesis: &Genesis) -> Result<Self, EvidenceError> {
        let evidence: Self = crate::wire::from_canonical(bytes)?;
        evidence.check(&genesis.membership()?)?;
        Ok(evidence)
    }

    /// The view of the statements, if they have one.
    #[must_use]
    pub const fn view(&self) -> Option<crate::View> {
        match &self.first.0 {
            Statement::Block(header) => Some(header.view),
            Statement::Vote(vote) => Some(vote.view),
            Statement::ViewChange { view, .. } | Statement::Wish { view, .. } => Some(*view),
            Statement::Checkpoint(_) | Statement::Bundle(_) => None,
        }
    }
}

/// Evidence as it is handed to people who have nothing but the genesis: the content of `evidence.json`.
///
/// ```json
/// {
///   "quorate_evidence": 1,
///   "cluster": "<cluster id>",
///   "evidence": {
///     "replica": 2,
///     "first":  [{ "Vote": { "epoch": 0, "view": 3, "height": 7, "digest": "<block>" } }, "<signature>"],
///     "second": [{ "Vote": { "epoch": 0, "view": 3, "height": 7, "digest": "<another>" } }, "<signature>"]
///   }
/// }
/// ```
///
/// Statements are those of [`Statement`]; digests and signatures are in lower-case hexadecimal. `cluster` repeats what
/// the genesis says, so that a proof that is held against the wrong genesis is told from one that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// The version of this form.
    pub quorate_evidence: u32,
    /// The cluster whose replica is accused.
    pub cluster: ClusterId,
    /// The proof.
    pub evidence: Evidence,
}

/// Why evidence does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The file is of a later version.
    #[error("the evidence has form {0}, this program knows form {FORM}; use a newer program")]
    Form(u32),
    /// It is about another cluster.
    #[error(
        "the evidence is about cluster {found}, this genesis is that of cluster {expected}; use the genesis of that cluster"
    )]
    OtherCluster {
        /// What the file names.
        found: ClusterId,
        /// What the genesis names.
        expected: ClusterId,
    },
    /// The genesis itself is no genesis.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// It proves nothing.
    #[error("the evidence proves nothing: {0}")]
    Refused(#[from] Rejection),
}

/// The form of evidence files that this version writes and reads.
const FORM: u32 = 1;

impl EvidenceFile {
    /// The file for a proof against a replica of this cluster.
    #[must_use]
    pub const fn new(cluster: ClusterId, evidence: Evidence) -> Self {
        Self { quorate_evidence: FORM, cluster, evidence }
    }

    /// Checks the proof with nothing but the genesis.
    ///
    /// # Errors
    /// Why it does not hold.
    pub fn verify_offline(&self, genesis: &Genesis) -> Result<(), EvidenceError> {
        if self.quorate_evidence != FORM {
            return Err(EvidenceError::Form(self.quorate_evidence));
        }
        let membership = genesis.membership()?;
        if self.cluster != membership.cluster() {
            return Err(EvidenceError::OtherCluster { found: self.cluster, expected: membership.cluster() });
        }
        Ok(self.evidence.check(&membership)?)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "equivocation by replica {}: {}", self.replica, self.first.0.offence())?;
        match &self.first.0 {
            Statement::Block(header) => write!(f, " in view {} at height {}", header.view, header.height)?,
            Statement::Vote(vote) => write!(f, " in view {} at height {}", vote.view, vote.height)?,
            Statement::ViewChange { view, .. } => write!(f, " for view {view}")?,
            Statement::Checkpoint(checkpoint) => write!(f, " at height {}", checkpoint.height)?,
            Statement::Wish { .. } | Statement::Bundle(_) => {}
        }
        for (statement, signature) in [&self.first, &self.second] {
            let subject = match statement {
                Statement::Block(header) => header.digest(),
                Statement::Vote(vote) => vote.digest,
                Statement::ViewChange { content, .. } => *content,
                Statement::Checkpoint(checkpoint) => checkpoint.state_root,
                Statement::Bundle(digest) => *digest,
                Statement::Wish { .. } => crate::Digest::default(),
            };
            write!(f, "\n  {subject} signed {}", crate::hex::encode(&signature.0))?;
        }
        Ok(())
    }
}
