//! `future_views`: valid signatures for views and heights that are far away.
//!
//! Must hold: f replicas move nobody's view, and however many such messages come, an honest
//! replica keeps a bounded number of them.

use bytes::Bytes;
use quorate_types::message::{CheckpointVote, Commit, Justify, Message, Propose, Vote};
use quorate_types::{
    Batch, CheckpointStatement, Digest, Header, Height, ReplicaId, Statement, Time, View, VoteStatement,
};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// The furthest view and height, but for the greatest number there is.
const AHEAD_MAX: u64 = 1_000_000;

/// Adds messages of the future to every message.
#[derive(Debug)]
pub struct FutureViews {
    rate: u64,
}

/// Adds one message of the future to every message.
#[must_use]
pub const fn future_views() -> FutureViews {
    FutureViews { rate: 1 }
}

impl FutureViews {
    /// Adds so many instead.
    #[must_use]
    pub const fn rate(self, rate: u64) -> Self {
        Self { rate }
    }
}

impl Adversary for FutureViews {
    fn name(&self) -> &'static str {
        "future_views"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        cx.send(to, message);
        for _ in 0..self.rate {
            let future = future_message(cx);
            cx.send(to, future);
            cx.fired();
        }
    }
}

/// Near futures are as likely as far ones.
fn ahead(cx: &mut Cx<'_>) -> u64 {
    match cx.draw(16) {
        0 => u64::MAX,
        step => {
            let end = AHEAD_MAX.min(1 << (step + 5));
            1 + cx.draw(end)
        }
    }
}

fn future_message(cx: &mut Cx<'_>) -> Message {
    let epoch = cx.membership().epoch();
    let (mut view, height) = (cx.status().view, cx.status().committed);
    view = view.plus(ahead(cx));
    let height = if cx.chance(50) { height.next() } else { height.plus(ahead(cx)) };
    let digest = forge::other_digest(Digest::of_bytes(&view.0.to_le_bytes()));
    let vote = VoteStatement { epoch, view, height, digest };
    match cx.draw(5) {
        0 => Message::ViewChange(Arc::new(forge::view_change(
            cx,
            view,
            forge::genesis_certificate(cx),
            Vec::new(),
        ))),
        1 => {
            let signature = cx.sign(&Statement::Vote(vote));
            Message::Vote(Vote { vote, signature, executed: height, result_root: digest })
        }
        2 => Message::Commit(Commit { vote }),
        3 => {
            let checkpoint = CheckpointStatement { epoch, height, block: digest, state_root: digest };
            let signature = cx.sign(&Statement::Checkpoint(checkpoint));
            Message::CheckpointVote(CheckpointVote { checkpoint, replica: cx.id(), signature })
        }
        _ => proposal(cx, view, height),
    }
}

/// A proposal for the last view up to `view` that the traitor leads, if it is not over yet.
fn proposal(cx: &Cx<'_>, view: View, height: Height) -> Message {
    let count = cx.quorums().n() as u64;
    let led = view.minus((view.0 % count + count - u64::from(cx.id().0)) % count);
    let header = Header {
        cluster: cx.membership().cluster(),
        epoch: cx.membership().epoch(),
        view: if led > cx.status().view { led } else { led.plus(count) },
        height,
        parent: cx.membership().genesis_block(),
        batch: Batch::default().digest(),
        time: Time(u64::MAX),
    };
    let header = forge::signed_header(cx, header);
    Message::Propose(Propose { header, justify: Justify::None, batch: Bytes::new() })
}
