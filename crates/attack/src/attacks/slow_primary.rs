//! `slow_primary`: a primary that proposes just before it would be replaced, and is quick in all else.
//!
//! Must hold: it serves at a floor that the view timer and the fairness clock set, or is replaced; as a backup it
//! costs nothing.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, Time, View};

use crate::adversary::{Adversary, Cx};

/// Paces its proposals.
#[derive(Debug)]
pub struct SlowPrimary {
    percent: u32,
    /// When the last proposal leaves.
    next: Time,
    view: View,
}

/// One proposal in nine tenths of the least time that a view gets.
#[must_use]
pub const fn slow_primary() -> SlowPrimary {
    SlowPrimary { percent: 90, next: Time(0), view: View(0) }
}

impl SlowPrimary {
    /// One proposal in so many hundredths of that time instead.
    #[must_use]
    pub const fn percent(self, percent: u32) -> Self {
        Self { percent, ..self }
    }
}

impl Adversary for SlowPrimary {
    fn name(&self) -> &'static str {
        "slow_primary"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Propose(propose) = &message else { return cx.send(to, message) };
        let pace = cx.timing().view_timeout_min * self.percent / 100;
        if propose.header.header.view > self.view {
            (self.view, self.next) = (propose.header.header.view, Time(0));
        }
        // A broadcast comes once for each receiver; the first one sets the time.
        if self.next <= cx.now() || cx.others().first() == Some(&to) {
            self.next = self.next.max(cx.now()).after(pace);
        }
        cx.send_after(self.next.since(cx.now()), to, message);
        cx.fired();
    }
}
