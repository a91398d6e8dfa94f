//! `withhold_certificates`: keeps what it can prove to itself.
//!
//! As primary it shows the justification of a view's first block, and every certificate after
//! it, to one replica only. In any role it sends no commit votes and answers no fetch.
//!
//! Must hold: the others build their own certificates, fetch from each other, and replace a
//! primary whose first block nobody can check.

use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{ReplicaId, View};

use crate::adversary::{Adversary, Cx};

/// Keeps certificates from most replicas.
#[derive(Debug)]
pub struct WithholdCertificates {
    favoured: Option<(View, ReplicaId)>,
}

/// Shows certificates to one replica, drawn anew in each view.
#[must_use]
pub const fn withhold_certificates() -> WithholdCertificates {
    WithholdCertificates { favoured: None }
}

impl WithholdCertificates {
    fn is_favoured(&mut self, cx: &mut Cx<'_>, view: View, to: ReplicaId) -> bool {
        if self.favoured.is_none_or(|(drawn_in, _)| drawn_in != view) {
            self.favoured = cx.draw_others(1).first().map(|replica| (view, *replica));
        }
        self.favoured.is_some_and(|(_, replica)| replica == to)
    }
}

impl Adversary for WithholdCertificates {
    fn name(&self) -> &'static str {
        "withhold_certificates"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Propose(propose)
                if propose.justify != Justify::None
                    && !self.is_favoured(cx, propose.header.header.view, to) =>
            {
                cx.send(to, Message::Propose(Propose { justify: Justify::None, ..propose }));
                cx.fired();
            }
            Message::Commit(_) | Message::Data(_) => cx.fired(),
            other => cx.send(to, other),
        }
    }
}
