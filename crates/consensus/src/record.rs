//! What a replica writes before it speaks (rule D1), and what it reads when it starts (D2, D3).

use bytes::Bytes;
use quorate_types::certificate::{CheckpointCertificate, QuorumCertificate, SignedHeader, ViewChange};
use quorate_types::message::{Justify, Vote};
use quorate_types::wire::{canonical, from_canonical};
use quorate_types::{Digest, Evidence, Frame, Height, Rejection, View};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The mark that `init` leaves: this directory never signed anything (rule D3).
    Init,
    /// A view was entered.
    Entered(View),
    /// A block that this replica proposed, voted for, or committed.
    Block {
        /// Its header.
        header: SignedHeader,
        /// For own proposals the justification, so that they can be sent again.
        justify: Justify,
        /// The raw batch; the record's payload.
        #[serde(skip)]
        batch: Bytes,
    },
    /// A higher quorum certificate was verified.
    HighQc(Arc<QuorumCertificate>),
    /// A vote.
    Vote(Vote),
    /// A view change.
    ViewChange(Arc<ViewChange>),
    /// Everything up to this block is committed.
    Committed(Height, Digest),
    /// A stable checkpoint.
    Checkpoint(Arc<CheckpointCertificate>),
    /// A proof against a replica.
    Evidence(Arc<Evidence>),
    /// The view for which a replica that lost its disk wished (rule D3). It has signed nothing else since, so
    /// this view stays right over any number of restarts.
    Wished(View),
    /// The certificate with which a replica that lost its disk takes part again (rule D3).
    Recovered(Arc<QuorumCertificate>),
}

impl Record {
    /// The record's bytes: canonical head and raw payload.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let payload = if let Self::Block { batch, .. } = self { batch.clone() } else { Bytes::new() };
        Frame { head: canonical(self).into(), payload }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// A decoding error: the log is damaged.
    pub fn decode(frame: &Frame) -> Result<Self, Rejection> {
        let mut record: Self = from_canonical(&frame.head)?;
        match &mut record {
            Self::Block { batch, .. } => *batch = frame.payload.clone(),
            _ if !frame.payload.is_empty() => return Err(Rejection::UnexpectedPayload),
            _ => {}
        }
        Ok(record)
    }
}

/// The log as it was found: every durable record in order. Without any record the disk is empty
/// and the replica follows D3; `[Record::Init]` is a fresh start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The records.
    pub records: Vec<Record>,
}

impl Recovered {
    /// The log of a replica that was just initialised.
    #[must_use]
    pub fn fresh() -> Self {
        Self { records: vec![Record::Init] }
    }
}
