//! `repeat_votes`: says each vote, commit vote, view change and checkpoint vote many times over.
//!
//! Must hold: a voter counts once however often it speaks, certificates form as without it, and a repeat is no fault.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx};

/// Repeats itself.
#[derive(Debug)]
pub struct RepeatVotes {
    times: u64,
}

/// Says everything that is counted five times.
#[must_use]
pub const fn repeat_votes() -> RepeatVotes {
    RepeatVotes { times: 5 }
}

impl RepeatVotes {
    /// So many times instead.
    #[must_use]
    pub const fn times(self, times: u64) -> Self {
        Self { times }
    }
}

impl Adversary for RepeatVotes {
    fn name(&self) -> &'static str {
        "repeat_votes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let is_counted = matches!(
            message,
            Message::Vote(_) | Message::Commit(_) | Message::ViewChange(_) | Message::CheckpointVote(_)
        );
        if is_counted {
            for _ in 1..self.times {
                cx.send(to, message.clone());
                cx.fired();
            }
        }
        cx.send(to, message);
    }
}
