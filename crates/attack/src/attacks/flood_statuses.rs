//! `flood_statuses`: statuses without end, each saying something else, each asking for one back.
//!
//! Must hold: a status is answered with bounded work and without one of its own, but for a question for it; it opens no
//! view, and what it tells replaces what was told before.

use quorate_types::message::{Fetch, Message, Status};
use quorate_types::{ReplicaId, View};

use crate::adversary::{Adversary, Cx, Verdict};

/// Talks about itself.
#[derive(Debug)]
pub struct FloodStatuses {
    rate: u64,
}

/// Sixteen statuses in place of one, and another for each that it hears.
#[must_use]
pub const fn flood_statuses() -> FloodStatuses {
    FloodStatuses { rate: 16 }
}

impl FloodStatuses {
    /// So many in place of one instead.
    #[must_use]
    pub const fn rate(self, rate: u64) -> Self {
        Self { rate }
    }
}

impl Adversary for FloodStatuses {
    fn name(&self) -> &'static str {
        "flood_statuses"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Status(truth) = message else { return cx.send(to, message) };
        for _ in 1..self.rate {
            let back = cx.draw(4);
            let view = if cx.chance(30) { View(0) } else { truth.view };
            let committed = (truth.committed.0.minus(back), truth.committed.1);
            let (stable, last_vote) = (truth.stable.minus(back), (view, committed.0));
            cx.send(to, Message::Status(Status { view, committed, stable, last_vote, ..truth }));
            cx.fired();
        }
        cx.send(to, Message::Fetch(Fetch::Status));
        cx.send(to, Message::Status(truth));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        // Two of them would never stop.
        if matches!(message, Message::Status(_)) && !cx.traitors().contains(&from) && cx.chance(20) {
            cx.send(from, Message::Fetch(Fetch::Status));
            cx.fired();
        }
        Verdict::Deliver
    }
}
