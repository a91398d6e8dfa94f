//! Everything that gets signed, and when two signed statements convict their signer.
//!
//! The signed bytes are a domain tag of the kind, the cluster id and the canonical encoding of
//! the statement; but for clients' statements the epoch is part of it.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Digest, Epoch, Height, SecretKey, Signature, Time, View};

/// The header of a block: its digest names the block and fixes all its ancestors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The cluster.
    pub cluster: ClusterId,
    /// The epoch.
    pub epoch: Epoch,
    /// The view in which it was proposed.
    pub view: View,
    /// Its position in the chain.
    pub height: Height,
    /// The digest of the block before it.
    pub parent: Digest,
    /// The digest of its batch.
    pub batch: Digest,
    /// The agreed time: the primary's clock, never before the parent's.
    pub time: Time,
}

impl Header {
    /// The block's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_parts("quorate block", &[&crate::wire::canonical(self)])
    }
}

/// What a vote says: this replica voted for this block in this view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteStatement {
    /// The epoch.
    pub epoch: Epoch,
    /// The view of the block.
    pub view: View,
    /// The height of the block.
    pub height: Height,
    /// The block.
    pub digest: Digest,
}

/// What a checkpoint vote says: after this block the state had this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStatement {
    /// The epoch.
    pub epoch: Epoch,
    /// The height of the block.
    pub height: Height,
    /// The block.
    pub block: Digest,
    /// Hash of application root, session table and configuration after it.
    pub state_root: Digest,
}

/// Something that a replica or client signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statement {
    /// A primary proposes a block.
    Block(Header),
    /// A replica votes for a block.
    Vote(VoteStatement),
    /// A replica leaves all views below `view`; `content` is the digest of certificate and claim.
    ViewChange {
        /// The epoch.
        epoch: Epoch,
        /// The view asked for.
        view: View,
        /// Digest of the certificate and the claim.
        content: Digest,
    },
    /// A replica vouches for a state.
    Checkpoint(CheckpointStatement),
    /// A replica that lost its disk wishes for a view change (rule D3).
    Wish {
        /// The epoch.
        epoch: Epoch,
        /// The view that it wishes for.
        view: View,
    },
    /// A client issues the requests with this digest.
    Bundle(Digest),
}

impl Statement {
    /// The bytes that the signature covers.
    #[must_use]
    pub fn signed_bytes(&self, cluster: &ClusterId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(self.domain());
        bytes.extend_from_slice(&cluster.0);
        match self {
            Self::Block(header) => crate::wire::canonical_into(header, &mut bytes),
            Self::Vote(vote) => crate::wire::canonical_into(vote, &mut bytes),
            Self::ViewChange { epoch, view, content } => {
                crate::wire::canonical_into(&(epoch, view, content), &mut bytes);
            }
            Self::Checkpoint(checkpoint) => crate::wire::canonical_into(checkpoint, &mut bytes),
            Self::Wish { epoch, view } => crate::wire::canonical_into(&(epoch, view), &mut bytes),
            Self::Bundle(digest) => bytes.extend_from_slice(&digest.0),
        }
        bytes
    }

    /// Signs the statement for a cluster.
    #[must_use]
    pub fn sign(&self, key: &SecretKey, cluster: &ClusterId) -> Signature {
        key.sign(&self.signed_bytes(cluster))
    }

    /// Whether no honest replica signs both statements: the same slot, another content.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Block(a), Self::Block(b)) => {
                (a.epoch, a.view, a.height) == (b.epoch, b.view, b.height) && a != b
            }
            (Self::Vote(a), Self::Vote(b)) => {
                (a.epoch, a.view, a.height) == (b.epoch, b.view, b.height) && a != b
            }
            (
                Self::ViewChange { epoch: e1, view: v1, content: c1 },
                Self::ViewChange { epoch: e2, view: v2, content: c2 },
            ) => (e1, v1) == (e2, v2) && c1 != c2,
            (Self::Checkpoint(a), Self::Checkpoint(b)) => {
                (a.epoch, a.height) == (b.epoch, b.height) && a != b
            }
            _ => false,
        }
    }

    /// What the signer did if it signed two contradicting statements of this kind.
    #[must_use]
    pub const fn offence(&self) -> &'static str {
        match self {
            Self::Block(_) => "two blocks",
            Self::Vote(_) => "two votes",
            Self::ViewChange { .. } => "two view changes",
            Self::Checkpoint(_) => "two checkpoint votes",
            Self::Wish { .. } => "two wishes",
            Self::Bundle(_) => "two bundles",
        }
    }

    const fn domain(&self) -> &'static [u8] {
        match self {
            Self::Block(_) => b"quorate/1/block",
            Self::Vote(_) => b"quorate/1/vote",
            Self::ViewChange { .. } => b"quorate/1/view-change",
            Self::Checkpoint(_) => b"quorate/1/checkpoint",
            Self::Wish { .. } => b"quorate/1/wish",
            Self::Bundle(_) => b"quorate/1/bundle",
        }
    }
}
