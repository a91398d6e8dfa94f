//! `lie_about_executed`: the unsigned part of its votes names heights that it did not execute and results that it does
//! not have, others to each replica.
//!
//! Must hold: what is not signed splits no votes into two heaps, and f wrong results halt nobody.

use quorate_types::message::{Message, Vote};
use quorate_types::{Digest, Height, ReplicaId};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Draws what it executed.
#[derive(Debug)]
pub struct LieAboutExecuted(());

/// Another height and result beside every vote: the greatest height there is, one that is not decided, an old one.
#[must_use]
pub const fn lie_about_executed() -> LieAboutExecuted {
    LieAboutExecuted(())
}

impl Adversary for LieAboutExecuted {
    fn name(&self) -> &'static str {
        "lie_about_executed"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Vote(vote) = message else { return cx.send(to, message) };
        let executed = match cx.draw(4) {
            0 => Height(u64::MAX),
            1 => vote.vote.height.plus(1 + cx.draw(64)),
            2 => vote.executed.minus(cx.draw(8)),
            _ => vote.executed,
        };
        let seed = Digest::of_bytes(&[to.0.to_le_bytes(), cx.id().0.to_le_bytes()].concat());
        let result_root = if cx.chance(70) { forge::other_digest(seed) } else { vote.result_root };
        if (executed, result_root) != (vote.executed, vote.result_root) {
            cx.fired();
        }
        cx.send(to, Message::Vote(Vote { executed, result_root, ..vote }));
    }
}
