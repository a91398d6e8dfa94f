//! `abandon_own_view`: a primary that asks for the next view as soon as it has proposed in its own.
//!
//! Must hold: one replica's wish moves nobody, its view goes on while it proposes, and an answer that a client has is
//! never taken back by the view change that follows.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::{self, Certificates};

/// Gives up the view that it leads.
#[derive(Debug, Default)]
pub struct AbandonOwnView {
    certificates: Certificates,
    abandoned: Option<View>,
}

/// Asks every replica for the next view once it has proposed, and goes on proposing.
#[must_use]
pub fn abandon_own_view() -> AbandonOwnView {
    AbandonOwnView::default()
}

impl Adversary for AbandonOwnView {
    fn name(&self) -> &'static str {
        "abandon_own_view"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        let proposed = match &message {
            Message::Propose(propose) => Some(propose.header.header.view),
            _ => None,
        };
        cx.send(to, message);
        let Some(view) = proposed.filter(|view| self.abandoned < Some(*view)) else { return };
        self.abandoned = Some(view);
        let known = self.certificates.highest(cx);
        let known = if known.vote.view <= view { known } else { forge::genesis_certificate(cx) };
        let change = Arc::new(forge::view_change(cx, view.next(), known, Vec::new()));
        for other in cx.others() {
            cx.send(other, Message::ViewChange(Arc::clone(&change)));
        }
        cx.fired();
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        Verdict::Deliver
    }
}
