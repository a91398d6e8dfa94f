//! `mismatch_batches`: a primary that sends another batch than the one that its header names.
//!
//! Must hold: the digest is computed from the content wherever a batch arrives, so nobody votes for or keeps the other one.

use bytes::Bytes;
use quorate_types::message::{Message, Propose};
use quorate_types::{Batch, Bundle, Header, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes batches under stale digests.
#[derive(Debug, Default)]
pub struct MismatchBatches {
    disguise: Disguise,
}

/// Leaves out, repeats or turns round the requests, under the digest of the right batch.
#[must_use]
pub fn mismatch_batches() -> MismatchBatches {
    MismatchBatches::default()
}

fn other_batch(cx: &mut Cx<'_>, propose: &Propose) -> Option<(Header, Bytes)> {
    let mut bundles: Vec<Bundle> = Batch::parse(propose.batch.clone()).ok()?.bundles().to_vec();
    match cx.draw(3) {
        0 => drop(bundles.pop()),
        1 => bundles.reverse(),
        _ => bundles.extend(bundles.last().cloned()),
    }
    let batch = Batch::new(bundles).raw().clone();
    (batch != propose.batch).then_some((propose.header.header, batch))
}

impl Adversary for MismatchBatches {
    fn name(&self) -> &'static str {
        "mismatch_batches"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, other_batch);
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
