//! Proof of misbehaviour: two statements of one signer that no honest replica signs both.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::{Membership, Rejection, ReplicaId, Signature, Statement};

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
