//! `stand_still`: its statuses say for ever what the first one said, so that everybody sends it everything again.
//!
//! Must hold: what is sent again to a peer in one period is bounded, whatever that peer says, and those who really lack
//! something get it all the same.

use quorate_types::ReplicaId;
use quorate_types::message::{Message, Status};

use crate::adversary::{Adversary, Cx};

/// Pretends to lack everything.
#[derive(Debug)]
pub struct StandStill {
    first: Option<Status>,
    times: u64,
}

/// Says four times in each period that it is where it began, in the present view.
#[must_use]
pub const fn stand_still() -> StandStill {
    StandStill { first: None, times: 4 }
}

impl StandStill {
    /// Says it so many times instead.
    #[must_use]
    pub const fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }
}

impl Adversary for StandStill {
    fn name(&self) -> &'static str {
        "stand_still"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Status(truth) = message else { return cx.send(to, message) };
        let first = *self.first.get_or_insert(truth);
        let lie = Status {
            committed: first.committed,
            stable: first.stable,
            last_vote: first.last_vote,
            base: first.base,
            ..truth
        };
        for _ in 0..self.times {
            cx.send(to, Message::Status(lie));
        }
        if lie != truth || self.times != 1 {
            cx.fired();
        }
    }
}
