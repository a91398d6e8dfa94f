//! `repeat_requests`: a primary that proposes each request several times, in one block and in later ones.
//!
//! Must hold: a repeat has no effect, whoever orders it: the session table lets each number run once, on every replica alike.

use quorate_types::message::Message;
use quorate_types::{Batch, Bundle, Header, ReplicaId};
use std::collections::VecDeque;

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Most bundles that are kept to be proposed again.
const KEPT_MAX: usize = 32;

/// Proposes requests again that were proposed before.
#[derive(Debug, Default)]
pub struct RepeatRequests {
    disguise: Disguise,
    kept: VecDeque<Bundle>,
}

/// Puts each request twice into its block, and one of an earlier block with it.
#[must_use]
pub fn repeat_requests() -> RepeatRequests {
    RepeatRequests::default()
}

impl Adversary for RepeatRequests {
    fn name(&self) -> &'static str {
        "repeat_requests"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let kept = &mut self.kept;
        self.disguise.send(cx, to, message, |cx, propose| {
            let genuine = Batch::parse(propose.batch.clone()).ok()?;
            let mut bundles = genuine.bundles().to_vec();
            bundles.extend_from_slice(genuine.bundles());
            let place = cx.draw(kept.len() as u64) as usize;
            bundles.extend(kept.get(place).cloned());
            for bundle in genuine.bundles() {
                if kept.len() == KEPT_MAX {
                    kept.pop_front();
                }
                kept.push_back(bundle.clone());
            }
            let batch = Batch::new(bundles);
            let is_within = batch.raw().len() <= cx.parameters().batch_bytes_max as usize;
            let is_other = batch.raw() != genuine.raw();
            let header = Header { batch: batch.digest(), ..propose.header.header };
            (is_within && is_other).then(|| (header, batch.raw().clone()))
        });
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
