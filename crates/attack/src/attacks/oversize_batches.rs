//! `oversize_batches`: a primary whose batches are larger than any may be, or are no batches at all.
//!
//! Must hold: such a batch is refused by name before anything in it is verified, and no honest replica votes for it or passes
//! it on.

use bytes::{BufMut as _, Bytes, BytesMut};
use quorate_types::message::{Message, Propose};
use quorate_types::{Header, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes batches that cannot be read.
#[derive(Debug, Default)]
pub struct OversizeBatches {
    disguise: Disguise,
}

/// Fills its batches up beyond the limit, cuts them off, or puts noise in their place.
#[must_use]
pub fn oversize_batches() -> OversizeBatches {
    OversizeBatches::default()
}

fn other_batch(cx: &mut Cx<'_>, propose: &Propose) -> Option<(Header, Bytes)> {
    let mut batch = BytesMut::from(&propose.batch[..]);
    match cx.draw(4) {
        0 => batch.put_bytes(0, cx.parameters().batch_bytes_max as usize + 1),
        1 => batch.truncate(batch.len().saturating_sub(1)),
        // A bundle that says that it is longer than anything.
        2 => batch.put_u32_le(u32::MAX),
        _ => batch.put_slice(&[7; 33]),
    }
    (batch != propose.batch).then(|| (propose.header.header, batch.freeze()))
}

impl Adversary for OversizeBatches {
    fn name(&self) -> &'static str {
        "oversize_batches"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, other_batch);
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
