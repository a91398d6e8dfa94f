//! `height_lie`: says that it committed, and has checkpoints, far above everybody, and then far below.
//!
//! Must hold: a laggard's target is what W replicas or a certificate name, so that f heights start nothing, and
//! whoever asks the liar for something loses one question.

use quorate_types::message::{Message, Status};
use quorate_types::{Height, ReplicaId};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// The furthest height that is named, but for the greatest number there is.
const AHEAD_MAX: u64 = 1_000_000_000;

/// Draws its heights.
#[derive(Debug)]
pub struct HeightLie;

/// Another height in every status: of the committed block, the checkpoint, the base and the last vote.
#[must_use]
pub const fn height_lie() -> HeightLie {
    HeightLie
}

fn any_height(cx: &mut Cx<'_>, near: Height) -> Height {
    match cx.draw(6) {
        0 => Height(0),
        1 => Height(u64::MAX),
        2 => near.minus(1 + cx.draw(8)),
        3 => near.plus(1 + cx.draw(8)),
        4 => near.plus(cx.draw(AHEAD_MAX)),
        _ => near,
    }
}

impl Adversary for HeightLie {
    fn name(&self) -> &'static str {
        "height_lie"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Status(truth) = message else { return cx.send(to, message) };
        let height = any_height(cx, truth.committed.0);
        let digest = if height == truth.committed.0 {
            truth.committed.1
        } else {
            forge::other_digest(truth.committed.1)
        };
        let lie = Status {
            committed: (height, digest),
            stable: any_height(cx, truth.stable),
            base: any_height(cx, truth.base),
            last_vote: (truth.last_vote.0, any_height(cx, truth.last_vote.1)),
            ..truth
        };
        if lie != truth {
            cx.fired();
        }
        cx.send(to, Message::Status(lie));
    }
}
