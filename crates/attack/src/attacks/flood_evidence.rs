//! `flood_evidence`: signs contradicting statements for view after view and sends the genuine proofs against itself.
//!
//! Must hold: of each replica few proofs are kept and each is passed on once, so that a confession costs its
//! hearers a bounded number of messages and bytes on disk.

use quorate_types::message::Message;
use quorate_types::{CheckpointStatement, Evidence, ReplicaId, Statement, VoteStatement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Confesses without end.
#[derive(Debug)]
pub struct FloodEvidence {
    rate: u64,
    made: u64,
}

/// Adds four proofs to each status.
#[must_use]
pub const fn flood_evidence() -> FloodEvidence {
    FloodEvidence { rate: 4, made: 0 }
}

impl FloodEvidence {
    /// Adds so many instead.
    #[must_use]
    pub const fn rate(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    fn confess(&mut self, cx: &mut Cx<'_>) -> Evidence {
        self.made += 1;
        let (view, height) = (cx.status().view.plus(self.made), cx.status().committed.plus(self.made));
        let vote = forge::invented_vote(cx, view, height);
        let digest = forge::other_digest(vote.digest);
        let epoch = vote.epoch;
        let checkpoint = |state_root| {
            Statement::Checkpoint(CheckpointStatement { epoch, height, block: vote.digest, state_root })
        };
        let change = |content| Statement::ViewChange { epoch, view, content };
        let pair = match self.made % 3 {
            0 => [Statement::Vote(vote), Statement::Vote(VoteStatement { digest, ..vote })],
            1 => [change(vote.digest), change(digest)],
            _ => [checkpoint(vote.digest), checkpoint(digest)],
        };
        let [first, second] = pair.map(|statement| (statement, cx.sign(&statement)));
        Evidence { replica: cx.id(), first, second }
    }
}

impl Adversary for FloodEvidence {
    fn name(&self) -> &'static str {
        "flood_evidence"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let is_status = matches!(message, Message::Status(_));
        cx.send(to, message);
        if is_status {
            for _ in 0..self.rate {
                let evidence = self.confess(cx);
                cx.send(to, Message::Evidence(Arc::new(evidence)));
                cx.fired();
            }
        }
    }
}
