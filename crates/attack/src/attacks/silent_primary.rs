//! `silent_primary`: an exemplary backup that says nothing while it is primary.
//!
//! Must hold: f such replicas in a row are passed over, each within its time, and the timeouts stay within their cap.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx};

/// Withholds everything in the views that it leads.
#[derive(Debug)]
pub struct SilentPrimary(());

/// Falls silent with each view that it leads, but for view changes out of it.
#[must_use]
pub const fn silent_primary() -> SilentPrimary {
    SilentPrimary(())
}

impl Adversary for SilentPrimary {
    fn name(&self) -> &'static str {
        "silent_primary"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let is_leading = cx.membership().primary(cx.status().view) == cx.id();
        if is_leading && !matches!(message, Message::ViewChange(_)) {
            cx.fired();
        } else {
            cx.send(to, message);
        }
    }
}
