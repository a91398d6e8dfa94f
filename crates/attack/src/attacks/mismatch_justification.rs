//! `mismatch_justification`: a primary whose genuine certificates belong to other blocks than it sends them with.
//!
//! Must hold: a certificate of another view, or of a height at or above the block's, justifies nothing, and is
//! refused by name.

use quorate_types::ReplicaId;
use quorate_types::message::{Justify, Message, Propose};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::Certificates;

/// Mixes up its certificates.
#[derive(Debug, Default)]
pub struct MismatchJustification {
    certificates: Certificates,
    /// The last justification of a first block.
    opening: Option<Justify>,
}

/// Sends each block with a certificate that it has for another one.
#[must_use]
pub fn mismatch_justification() -> MismatchJustification {
    MismatchJustification::default()
}

impl Adversary for MismatchJustification {
    fn name(&self) -> &'static str {
        "mismatch_justification"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        let Message::Propose(propose) = message else { return cx.send(to, message) };
        if matches!(propose.justify, Justify::ViewChange(_)) {
            self.opening = Some(propose.justify.clone());
        }
        let highest = self.certificates.highest(cx);
        let older = self.certificates.older(cx, &highest);
        let justify = match (&self.opening, cx.draw(3)) {
            (Some(opening), 0) => opening.clone(),
            (_, 1) => Justify::Quorum(Arc::new(highest)),
            _ => Justify::Quorum(Arc::new(older)),
        };
        if justify != propose.justify {
            cx.fired();
        }
        cx.send(to, Message::Propose(Propose { justify, ..propose }));
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        Verdict::Deliver
    }
}
