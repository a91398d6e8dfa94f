//! `reverse_order`: says everything in the wrong order: of each handful of messages the last one first.
//!
//! Must hold: no rule depends on the order in which one peer's messages come, though its channel keeps them in order.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, Time};
use std::collections::BTreeMap;

use crate::adversary::{Adversary, Cx};

/// Most messages that are held back for one receiver.
const HELD_MAX: usize = 8;

/// Turns its messages round.
#[derive(Debug)]
pub struct ReverseOrder {
    held: BTreeMap<ReplicaId, Vec<Message>>,
    due: Option<Time>,
}

/// Holds up to eight messages for each receiver, for a fifth of a status period at most.
#[must_use]
pub const fn reverse_order() -> ReverseOrder {
    ReverseOrder { held: BTreeMap::new(), due: None }
}

impl Adversary for ReverseOrder {
    fn name(&self) -> &'static str {
        "reverse_order"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.due.get_or_insert(cx.now().after(cx.timing().status_interval / 5));
        let held = self.held.entry(to).or_default();
        held.push(message);
        if held.len() == HELD_MAX {
            release(cx, to, held);
        }
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.due = None;
        for (to, held) in &mut self.held {
            release(cx, *to, held);
        }
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.due
    }
}

fn release(cx: &mut Cx<'_>, to: ReplicaId, held: &mut Vec<Message>) {
    if held.len() > 1 {
        cx.fired();
    }
    for message in held.drain(..).rev() {
        cx.send(to, message);
    }
}
