//! `leave_hole`: a primary that never shows one of its blocks, and all that stand on it.
//!
//! Must hold: nobody votes above a block that nobody has, what is above it is kept within limits, and the next view
//! fills the hole or builds below it.

use quorate_types::message::{Data, Message};
use quorate_types::{Height, ReplicaId, View};

use crate::adversary::{Adversary, Cx};

/// Leaves a block out.
#[derive(Debug)]
pub struct LeaveHole {
    /// The block that is missing in the view.
    hole: Option<(View, Height)>,
}

/// Leaves out the first to fourth block that it proposes in a view.
#[must_use]
pub const fn leave_hole() -> LeaveHole {
    LeaveHole { hole: None }
}

impl Adversary for LeaveHole {
    fn name(&self) -> &'static str {
        "leave_hole"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let header = match &message {
            Message::Propose(propose) => propose.header.header,
            Message::Data(Data::Header(signed) | Data::Block { header: signed, .. }) => signed.header,
            _ => return cx.send(to, message),
        };
        let is_own = cx.membership().primary(header.view) == cx.id();
        if is_own && self.hole.is_none_or(|(view, _)| view < header.view) {
            self.hole = Some((header.view, header.height.plus(cx.draw(4))));
        }
        if is_own && self.hole == Some((header.view, header.height)) {
            cx.fired();
        } else {
            cx.send(to, message);
        }
    }
}
