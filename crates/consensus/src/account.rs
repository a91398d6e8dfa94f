//! What does a log say, in brief, to a person who looks at a replica's directory? One record at a time, so that a
//! log of any length can be looked at.
//!
//! It follows [`crate::Replica`]'s reading of a log: the last summary counts for all that stood before it.

use quorate_types::certificate::SignedHeader;
use quorate_types::{Digest, Height, View};
use serde::Serialize;

use crate::record::{Record, Summary};

/// What the records so far say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// How many records there were.
    pub records: u64,
    /// Blocks among them, with the lowest and the highest height.
    pub blocks: Option<(Height, Height)>,
    /// Whether `init` or a summary says that this directory was prepared. A log without it is one whose
    /// disk was lost (rule D3).
    pub is_marked: bool,
    /// The height of the committed block on which the last summary stands, if there is a summary.
    pub summary: Option<Height>,
    /// The view that was entered.
    pub entered: View,
    /// The highest view that was asked for.
    pub asked: View,
    /// The last vote: view, height, block.
    pub last_vote: Option<(View, Height, Digest)>,
    /// The highest quorum certificate: view, height.
    pub high_qc: (View, Height),
    /// The height up to which blocks are committed.
    pub committed: Height,
    /// The height of the stable checkpoint.
    pub stable: Height,
    /// Pieces of evidence.
    pub evidence: u64,
    /// Whether the replica waits because it lost its disk (rule D3), and the view that it wished for.
    pub recovering: Option<Option<View>>,
    /// Whether it waits because its disk was rolled back.
    pub is_rolled_back: bool,
    /// The height at which its state was found to differ, unless it was fetched since (rule K2).
    pub diverged: Option<Height>,
}

impl Account {
    /// Takes the next record. Call [`Account::finish`] after the last.
    pub fn add(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Init => self.is_marked = true,
            Record::Entered(view) => self.enter(*view),
            Record::Block { header, .. } => self.add_block(header),
            Record::HighQc(qc) => self.high_qc = self.high_qc.max((qc.vote.view, qc.vote.height)),
            Record::Vote(vote) => {
                self.last_vote = Some((vote.vote.view, vote.vote.height, vote.vote.digest));
            }
            Record::ViewChange(change) => self.asked = self.asked.max(change.new_view),
            Record::Committed(height, _) => self.committed = self.committed.max(*height),
            Record::Checkpoint(certificate) => {
                self.stable = self.stable.max(certificate.checkpoint.height);
            }
            Record::Evidence(_) => self.evidence += 1,
            Record::Wished(view) => self.recovering = Some(Some(*view)),
            Record::Recovered(_) => (self.recovering, self.is_rolled_back) = (None, false),
            Record::RolledBack => (self.recovering, self.is_rolled_back) = (Some(None), true),
            Record::Diverged(height) => self.diverged = Some(*height),
            Record::Summary(summary) => self.restart_on(summary),
        }
    }

    /// What can be told only once all was read: a log that says nowhere that it was prepared.
    #[must_use]
    pub fn finish(mut self) -> Self {
        if !self.is_marked && self.recovering.is_none() {
            self.recovering = Some(None);
        }
        self
    }

    fn enter(&mut self, view: View) {
        self.entered = view;
        self.asked = self.asked.max(view);
    }

    fn add_block(&mut self, header: &SignedHeader) {
        let height = header.header.height;
        let (lowest, highest) = self.blocks.unwrap_or((height, height));
        self.blocks = Some((lowest.min(height), highest.max(height)));
    }

    fn restart_on(&mut self, summary: &Summary) {
        let is_rolled_back = self.is_rolled_back && summary.recovering.is_some();
        *self = Self {
            records: self.records,
            blocks: self.blocks,
            is_marked: true,
            summary: Some(summary.base.map_or(Height(0), |base| base.header.height)),
            entered: summary.entered,
            asked: summary.asked,
            last_vote: summary.last_vote.map(|(view, height, digest, _)| (view, height, digest)),
            high_qc: (summary.high_qc.vote.view, summary.high_qc.vote.height),
            committed: summary.committed.0,
            stable: summary.stable.as_ref().map_or(Height(0), |stable| stable.checkpoint.height),
            evidence: summary.evidence.len() as u64,
            recovering: summary.recovering,
            is_rolled_back,
            diverged: summary.diverged,
        };
    }
}
