//! `vouch_ahead`: checkpoint votes for the next heights before anybody got there, so that the true ones have no room.
//!
//! Must hold: of each replica few votes are kept, the newest heights; f invented roots certify nothing, keep no
//! honest root from its quorum, and make nobody believe that the application is not deterministic.

use quorate_types::message::{CheckpointVote, Message};
use quorate_types::{CheckpointStatement, Height, ReplicaId, Statement};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Vouches for states of the future.
#[derive(Debug)]
pub struct VouchAhead {
    vouched: Height,
}

/// Vouches for each of the sixteen heights above the last that was told.
#[must_use]
pub const fn vouch_ahead() -> VouchAhead {
    VouchAhead { vouched: Height(0) }
}

/// For how many heights it vouches.
const HEIGHTS: u64 = 16;

impl Adversary for VouchAhead {
    fn name(&self) -> &'static str {
        "vouch_ahead"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let told = if let Message::Status(status) = &message { Some(status.committed.0) } else { None };
        cx.send(to, message);
        let Some(told) = told.filter(|told| *told >= self.vouched) else { return };
        self.vouched = told.next();
        for height in (1..=HEIGHTS).map(|step| told.plus(step)) {
            let block = forge::invented_vote(cx, cx.status().view, height).digest;
            let state_root = forge::other_digest(block);
            let epoch = cx.membership().epoch();
            let checkpoint = CheckpointStatement { epoch, height, block, state_root };
            let signature = cx.sign(&Statement::Checkpoint(checkpoint));
            let vote = CheckpointVote { checkpoint, replica: cx.id(), signature };
            for other in cx.others() {
                cx.send(other, Message::CheckpointVote(vote));
            }
            cx.fired();
        }
    }
}
