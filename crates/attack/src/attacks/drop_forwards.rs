//! `drop_forwards`: passes no client's request on to the primary, and as primary takes none from the others.
//!
//! Must hold: a client that reaches one honest replica is served, and a primary that does not hear of a request from
//! f replicas hears of it from the rest.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx, Verdict};

/// Loses requests on their way.
#[derive(Debug)]
pub struct DropForwards(());

/// Loses every request that one replica forwards to another through it.
#[must_use]
pub const fn drop_forwards() -> DropForwards {
    DropForwards(())
}

impl Adversary for DropForwards {
    fn name(&self) -> &'static str {
        "drop_forwards"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if matches!(message, Message::Request(_)) {
            cx.fired();
        } else {
            cx.send(to, message);
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        if matches!(message, Message::Request(_)) {
            cx.fired();
            return Verdict::Drop;
        }
        Verdict::Deliver
    }
}
