//! `shuffle_batches`: a primary that orders requests otherwise than they came.
//!
//! Must hold: every order of a block is the same order for all replicas and clients, and requests that wait are not passed over
//! for ever.

use bytes::Bytes;
use quorate_types::message::{Message, Propose};
use quorate_types::{Batch, Bundle, Header, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes requests in the wrong order.
#[derive(Debug, Default)]
pub struct ShuffleBatches {
    disguise: Disguise,
    waiting: Option<Bundle>,
}

/// Turns each batch round; where there is one request, that one waits for the next block and runs before its own.
#[must_use]
pub fn shuffle_batches() -> ShuffleBatches {
    ShuffleBatches::default()
}

impl ShuffleBatches {
    fn shuffled(waiting: &mut Option<Bundle>, cx: &Cx<'_>, propose: &Propose) -> Option<(Header, Bytes)> {
        let genuine = Batch::parse(propose.batch.clone()).ok()?;
        let mut bundles: Vec<Bundle> = genuine.bundles().iter().rev().cloned().collect();
        match waiting.take() {
            Some(earlier) => bundles.push(earlier),
            None if bundles.len() == 1 => *waiting = bundles.pop(),
            None => {}
        }
        let batch = Batch::new(bundles);
        let is_within = batch.raw().len() <= cx.parameters().batch_bytes_max as usize;
        let header = Header { batch: batch.digest(), ..propose.header.header };
        (is_within && batch.raw() != genuine.raw()).then(|| (header, batch.raw().clone()))
    }
}

impl Adversary for ShuffleBatches {
    fn name(&self) -> &'static str {
        "shuffle_batches"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let waiting = &mut self.waiting;
        self.disguise.send(cx, to, message, |cx, propose| Self::shuffled(waiting, cx, propose));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
