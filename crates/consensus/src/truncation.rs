//! When the front of the log is dropped, and what stays known (rule K1).
//!
//! Blocks and votes stand in the log once. Everything else that a replica must remember is written again, in
//! one [`Summary`], and once that is durable nothing before the lowest block still needed is.

use quorate_types::Height;
use quorate_types::limited::Limited;
use std::sync::Arc;

use crate::io::Action;
use crate::mutation::{self, Mutation};
use crate::record::{Record, Summary};
use crate::replica::Replica;

/// How far the log was cut, and a cut that waits for its summary.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truncation {
    /// The checkpoint at which it was cut last. Its snapshot is kept until the cut after the next.
    last: Height,
    waiting: Option<Cut>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The summary's number.
    summary: u64,
    /// The lowest number that is needed.
    records: u64,
    /// The lowest snapshot that is needed.
    snapshots: Height,
}

impl Truncation {
    /// Where the log was cut before this start.
    pub(crate) const fn resume(&mut self, last: Height) {
        self.last = last;
    }

    /// The checkpoint at which the log was cut last: the lowest above which every block is held.
    pub(crate) const fn last(&self) -> Height {
        self.last
    }
}

impl Replica {
    /// [K1] Drops what lies below both the stable checkpoint, if this replica's own snapshot of it is durable,
    /// and the highest certificate.
    pub(crate) fn try_truncate(&mut self) -> bool {
        if let Some(cut) = self.truncation.waiting {
            if !self.outbox.is_durable(cut.summary) && !mutation::is(Mutation::CutBeforeSummary) {
                return false;
            }
            self.truncation.waiting = None;
            self.outbox.push(Action::Truncate(cut.records, cut.snapshots));
            return true;
        }
        let last = self.truncation.last;
        let Some(next) = self.next_cut(Height(u64::MAX)) else { return false };
        let held = self.cut_held_at(next);
        let Some(next) = self.next_cut(held) else { return false };
        // Of what was held for a peer that is not waited for any more, nothing stays.
        let snapshots = self.checkpoints.newest_head_below(next).map_or(last, |before| before.max(last));
        self.cut_at(next, snapshots);
        true
    }

    /// Where the log would be cut next, not above a height.
    fn next_cut(&self, highest: Height) -> Option<Height> {
        self.checkpoints.newest_certified_own(highest).filter(|own| *own > self.truncation.last)
    }

    /// Writes a summary and cuts the log once it is durable. Snapshots below `snapshots` go too.
    pub(crate) fn cut_at(&mut self, stable: Height, snapshots: Height) {
        let certified = self.safety.high_qc().vote.height;
        let keep = stable.min(certified).max(self.blocks.base().0).min(self.blocks.tip().0);
        let first_needed = self.blocks.first_logged_above(keep);
        let base = self.blocks.header_at(keep).map(|signed| *signed);
        self.settle_vote();
        self.blocks.forget_to(keep, self.config.limits.history_bytes_max);
        self.checkpoints.forget_heads_below(snapshots);
        self.truncation.last = stable;
        self.holds.note_cut();
        let summary = self.outbox.persist(Record::Summary(Box::new(self.summary(base))));
        let records = first_needed.unwrap_or(summary).min(summary);
        self.truncation.waiting = Some(Cut { summary, records, snapshots });
    }

    /// [V2] Whether the last vote is for a committed block can be told only as long as that block is held.
    pub(crate) fn settle_vote(&mut self) {
        if let Some(vote) = self.safety.last_vote()
            && self.is_committed(&vote)
        {
            self.safety.settle_vote();
        }
    }

    fn summary(&self, base: Option<quorate_types::certificate::SignedHeader>) -> Summary {
        let last_vote = self.safety.last_vote();
        Summary {
            base,
            committed: self.blocks.tip(),
            stable: self.checkpoints.stable().map(|stable| Arc::clone(stable)),
            entered: self.view.entered,
            asked: self.view.asked,
            view_changes: Limited::take(self.view.own().cloned()),
            high_qc: Arc::clone(self.safety.high_qc()),
            claim: self.safety.claim(),
            last_vote: last_vote
                .map(|vote| (vote.view, vote.height, vote.digest, self.safety.is_vote_settled())),
            evidence: Limited::take(self.evidence.values().flatten().cloned()),
            recovering: self.recovering.as_ref().map(crate::recovering::Recovering::wanted),
            whole_since: self.waking.whole_since,
            diverged: self.checkpoints.diverged,
        }
    }
}
