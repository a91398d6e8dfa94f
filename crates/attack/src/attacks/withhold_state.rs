//! `withhold_state`: says that it has the newest checkpoint and serves nothing of it.
//!
//! Must hold: a head that does not come, and chunks that are said to be absent or do not come, cost one question
//! each, and the others deliver.

use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{ChunkId, ReplicaId};

use crate::adversary::{Adversary, Cx, Verdict};

/// Keeps its states.
#[derive(Debug)]
pub struct WithholdState {
    is_silent: Option<bool>,
}

/// Answers questions for chunks that it has none, or not at all.
#[must_use]
pub const fn withhold_state() -> WithholdState {
    WithholdState { is_silent: None }
}

impl Adversary for WithholdState {
    fn name(&self) -> &'static str {
        "withhold_state"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if self.is_silent.is_none() {
            self.is_silent = Some(cx.chance(50));
        }
        match message {
            Message::Data(Data::State { .. }) if self.is_silent == Some(true) => cx.fired(),
            Message::Data(Data::Chunk(bytes)) => {
                if self.is_silent == Some(false) {
                    let digest = ChunkId::of(&bytes).digest;
                    cx.send(to, Message::Data(Data::Absent(Limited::take([digest]))));
                }
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let Message::Fetch(Fetch::Chunks(digests)) = message else { return Verdict::Deliver };
        if self.is_silent == Some(false) {
            cx.send(from, Message::Data(Data::Absent(digests.clone())));
            cx.fired();
            return Verdict::Drop;
        }
        Verdict::Deliver
    }
}
