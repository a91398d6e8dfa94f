//! `propose_huge_heights`: a primary whose blocks stand far above their parents.
//!
//! Must hold: a height is taken for what it is only above the parent's and within the window; no arithmetic overflows, and
//! nobody keeps room for what is between.

use bytes::Bytes;
use quorate_types::message::{Message, Propose};
use quorate_types::{Header, Height, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes blocks at heights that nobody reached.
#[derive(Debug, Default)]
pub struct ProposeHugeHeights {
    disguise: Disguise,
}

/// Draws its heights: the greatest there is, around the end of the window, or two too high.
#[must_use]
pub fn propose_huge_heights() -> ProposeHugeHeights {
    ProposeHugeHeights::default()
}

fn other_height(cx: &mut Cx<'_>, propose: &Propose) -> Option<(Header, Bytes)> {
    let header = propose.header.header;
    let height = match cx.draw(4) {
        0 => Height(u64::MAX),
        1 => header.height.plus(cx.parameters().window),
        2 => header.height.plus(1 + cx.draw(1_000_000)),
        _ => header.height.next(),
    };
    Some((Header { height, ..header }, propose.batch.clone()))
}

impl Adversary for ProposeHugeHeights {
    fn name(&self) -> &'static str {
        "propose_huge_heights"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, other_height);
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
