//! `empty_batches`: a primary whose blocks are in order and hold nothing.
//!
//! Must hold: the fairness clock runs for every request that such a block had room for, and the primary is replaced, however
//! fast its blocks commit.

use quorate_types::message::Message;
use quorate_types::{Batch, Header, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes blocks without requests.
#[derive(Debug, Default)]
pub struct EmptyBatches {
    disguise: Disguise,
}

/// Leaves all requests out of all its blocks.
#[must_use]
pub fn empty_batches() -> EmptyBatches {
    EmptyBatches::default()
}

impl Adversary for EmptyBatches {
    fn name(&self) -> &'static str {
        "empty_batches"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, |_, propose| {
            let batch = Batch::default();
            let header = Header { batch: batch.digest(), ..propose.header.header };
            (!propose.batch.is_empty()).then(|| (header, batch.raw().clone()))
        });
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
