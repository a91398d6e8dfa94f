//! `drip_feed`: serves a state so slowly that no single answer is late.
//!
//! Must hold: what it owes is asked of others, and it is asked for less and less, so that a transfer takes little
//! longer than without it.

use quorate_types::message::{Data, Message};
use quorate_types::{ReplicaId, Time};

use crate::adversary::{Adversary, Cx};

/// Answers are this part of the patience apart: a chunk is asked of others after five fetch timeouts.
const TENTHS: u32 = 48;

/// Keeps a distance between its answers.
#[derive(Debug)]
pub struct DripFeed {
    next: Time,
}

/// One chunk, head or block of a state in just below five fetch timeouts.
#[must_use]
pub const fn drip_feed() -> DripFeed {
    DripFeed { next: Time(0) }
}

impl Adversary for DripFeed {
    fn name(&self) -> &'static str {
        "drip_feed"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if !matches!(message, Message::Data(Data::State { .. } | Data::Chunk(_) | Data::Chain(_))) {
            return cx.send(to, message);
        }
        let step = cx.timing().fetch_timeout * TENTHS / 10;
        self.next = self.next.max(cx.now()).after(step);
        let wait = self.next.since(cx.now());
        cx.send_after(wait, to, message);
        cx.fired();
    }
}
