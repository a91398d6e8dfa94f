//! `omit_justification`: a primary that never proves the place of its blocks.
//!
//! Must hold: without its certificate the first block of a view gets no vote and opens no view for those who are
//! behind; without newer certificates nobody votes further than 64 blocks above the last one.

use quorate_types::ReplicaId;
use quorate_types::message::{Justify, Message, Propose};

use crate::adversary::{Adversary, Cx};

/// Leaves out every justification.
#[derive(Debug)]
pub struct OmitJustification(());

/// Proposes without any certificate, to everybody.
#[must_use]
pub const fn omit_justification() -> OmitJustification {
    OmitJustification(())
}

impl Adversary for OmitJustification {
    fn name(&self) -> &'static str {
        "omit_justification"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Propose(propose) if propose.justify != Justify::None => {
                cx.send(to, Message::Propose(Propose { justify: Justify::None, ..propose }));
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
}
