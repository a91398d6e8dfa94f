//! `equivocate_view_changes`: other view changes for one view to each replica, all of them valid.
//!
//! Must hold: whichever of them is in the certificate, what committed is selected; and two of them before one
//! replica are evidence.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Tells each replica something else of what it knows.
#[derive(Debug)]
pub struct EquivocateViewChanges {
    /// The view for which it was drawn who is deceived, and who is.
    deceived: Option<(View, Vec<ReplicaId>)>,
}

/// Some hear the truth, the others of its certificate without the claim or of nothing; now and then one hears both.
#[must_use]
pub const fn equivocate_view_changes() -> EquivocateViewChanges {
    EquivocateViewChanges { deceived: None }
}

impl Adversary for EquivocateViewChanges {
    fn name(&self) -> &'static str {
        "equivocate_view_changes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::ViewChange(truth) = &message else { return cx.send(to, message) };
        let view = truth.new_view;
        if self.deceived.as_ref().is_none_or(|(drawn_for, _)| *drawn_for != view) {
            let count = 1 + cx.draw(cx.quorums().n() as u64 - 2) as usize;
            self.deceived = Some((view, cx.draw_others(count)));
        }
        if self.deceived.as_ref().is_some_and(|(_, deceived)| !deceived.contains(&to)) {
            return cx.send(to, message);
        }
        let genesis = forge::genesis_certificate(cx);
        let known = if to.0.is_multiple_of(2) { truth.high_qc.clone() } else { genesis.clone() };
        let mut lie = forge::view_change(cx, view, known, Vec::new());
        if lie == **truth {
            // There is nothing less to know than nothing: it asks for another view before these.
            lie = forge::view_change(cx, view.next(), genesis, Vec::new());
        }
        let is_other = lie != **truth;
        cx.send(to, Message::ViewChange(Arc::new(lie)));
        if cx.chance(20) {
            cx.send(to, message);
        }
        if is_other {
            cx.fired();
        }
    }
}
