//! `ignore_fetches`: says that it has everything from the first block on, and answers no question.
//!
//! Must hold: a question without an answer goes to the next replica after its timeout, so that f such replicas cost f
//! timeouts.

use quorate_types::message::{Data, Fetch, Message, Status};
use quorate_types::{Height, ReplicaId};

use crate::adversary::{Adversary, Cx, Verdict};

/// Lures questions and leaves them open.
#[derive(Debug)]
pub struct IgnoreFetches(());

/// Answers nothing, and names 0 as the height from which on it has all blocks.
#[must_use]
pub const fn ignore_fetches() -> IgnoreFetches {
    IgnoreFetches(())
}

impl Adversary for IgnoreFetches {
    fn name(&self) -> &'static str {
        "ignore_fetches"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Status(truth) if truth.base > Height(0) => {
                cx.send(to, Message::Status(Status { base: Height(0), ..truth }));
                cx.fired();
            }
            // Proofs and checkpoints are sent unasked.
            Message::Data(Data::View(_) | Data::Checkpoint(_)) => cx.fired(),
            other => cx.send(to, other),
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        // Statuses come of themselves, and who gave none would be taken for dead.
        if matches!(message, Message::Fetch(fetch) if *fetch != Fetch::Status) {
            cx.fired();
            return Verdict::Drop;
        }
        Verdict::Deliver
    }
}
