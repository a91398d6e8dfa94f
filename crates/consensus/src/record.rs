//! What a replica writes before it speaks (rule D1), and what it reads when it starts (D2, D3).

use bytes::Bytes;
use quorate_types::certificate::{
    CLAIM_MAX, CheckpointCertificate, QuorumCertificate, SignedHeader, ViewChange,
};
use quorate_types::limited::Limited;
use quorate_types::message::{Justify, Vote};
use quorate_types::quorum::REPLICAS_MAX;
use quorate_types::wire::{canonical, from_canonical};
use quorate_types::{Digest, Evidence, Frame, Height, Rejection, StateHead, View};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::view_change::VIEW_CHANGES_KEPT;

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
    /// Peers showed statements of this replica that its log does not have: its disk was rolled back (rule D3).
    RolledBack,
    /// The state after this block is not the one that the others have: it must be fetched (rule K2).
    Diverged(Height),
    /// Everything that earlier records say, but for blocks and votes above its base: what stands before the
    /// first of those is not needed any more (rule K1).
    Summary(Box<Summary>),
}

/// What a replica remembers when the front of its log is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The committed block on which the blocks in the log stand; `None` for genesis.
    pub base: Option<SignedHeader>,
    /// The highest committed block.
    pub committed: (Height, Digest),
    /// The stable checkpoint.
    pub stable: Option<Arc<CheckpointCertificate>>,
    /// The view that was entered.
    pub entered: View,
    /// The highest view that was asked for.
    pub asked: View,
    /// The own view changes that may have to be sent again.
    pub view_changes: Limited<Arc<ViewChange>, VIEW_CHANGES_KEPT>,
    /// The highest quorum certificate.
    pub high_qc: Arc<QuorumCertificate>,
    /// The claim above it.
    pub claim: Limited<SignedHeader, CLAIM_MAX>,
    /// The last vote, and whether it is known to be for a committed block.
    pub last_vote: Option<(View, Height, Digest, bool)>,
    /// The proofs against replicas.
    pub evidence: Limited<Arc<Evidence>, EVIDENCE_MAX>,
    /// Whether the replica waits because it lost its disk, and the view that it wished for (rule D3).
    pub recovering: Option<Option<View>>,
    /// The view from which on statements that the log does not have would show a lost disk (rule D3).
    pub whole_since: View,
    /// The height at which the state was found to differ, until it was fetched (rule K2).
    pub diverged: Option<Height>,
}

impl Summary {
    /// What the log of a replica begins with that starts on a certified snapshot and nothing else, because its
    /// disk was lost: the checkpoint's block is committed, and it follows rule D3, since it may have signed
    /// anything. `block` is the header of the checkpoint's block, `genesis` the digest that the first block
    /// names as its parent.
    ///
    /// The caller has verified both. `None` if they are not about one block.
    #[must_use]
    pub fn restored(
        block: SignedHeader,
        certificate: Arc<CheckpointCertificate>,
        genesis: Digest,
    ) -> Option<Self> {
        let committed = (block.header.height, block.header.digest());
        let checkpoint = &certificate.checkpoint;
        if (checkpoint.height, checkpoint.block) != committed || checkpoint.epoch != block.header.epoch {
            return None;
        }
        // The block was committed, so its view was entered; a replica that signs nothing may enter any.
        let view = block.header.view;
        Some(Self {
            base: Some(block),
            committed,
            high_qc: Arc::new(QuorumCertificate::genesis(checkpoint.epoch, genesis)),
            stable: Some(certificate),
            entered: view,
            asked: view,
            view_changes: Limited::default(),
            claim: Limited::default(),
            last_vote: None,
            evidence: Limited::default(),
            // [D3]
            recovering: Some(None),
            whole_since: View(0),
            diverged: None,
        })
    }
}

/// Most pieces of evidence in a summary: those that are kept of every replica.
const EVIDENCE_MAX: usize = 8 * REPLICAS_MAX;

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

/// The disk as it was found: every durable record in order, and the state to go on from. Without any record
/// the disk is empty and the replica follows D3; `[Record::Init]` is a fresh start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The position of the first record in the log: how many were dropped before it.
    pub first: u64,
    /// The records.
    pub records: Vec<Record>,
    /// The newest own snapshot within [`Recovered::restorable`], which the application was restored from;
    /// `None` if it is in its initial state.
    pub snapshot: Option<RecoveredSnapshot>,
}

/// A snapshot that the application was restored from.
#[derive(Clone, Debug)]
pub struct RecoveredSnapshot {
    /// The header of the block after which it was taken.
    pub header: SignedHeader,
    /// The head of the state.
    pub head: Arc<StateHead>,
    /// The session table's bytes.
    pub sessions: Bytes,
}

impl Recovered {
    /// The log of a replica that was just initialised.
    #[must_use]
    pub fn fresh() -> Self {
        Self { records: vec![Record::Init], ..Self::default() }
    }

    /// A log that was never cut.
    #[must_use]
    pub fn whole(records: Vec<Record>) -> Self {
        Self { records, ..Self::default() }
    }

    /// The lowest and the highest height of a snapshot from which these records lead on. Below the
    /// lowest, blocks are missing; above the highest, the log does not say what is committed.
    #[must_use]
    pub fn restorable(records: &[Record]) -> (Height, Height) {
        let (mut base, mut tip) = (Height(0), Height(0));
        for record in records {
            match record {
                Record::Committed(height, _) => tip = tip.max(*height),
                Record::Summary(summary) => {
                    base = summary.base.map_or(Height(0), |base| base.header.height);
                    tip = tip.max(summary.committed.0);
                }
                _ => {}
            }
        }
        (base, tip)
    }
}
