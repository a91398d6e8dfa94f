//! `propose_to_few`: a primary that shows its blocks to fewer than a quorum needs, and everything else to all.
//!
//! Must hold: the others learn of the blocks from votes, fetch them from those who have them, or replace the primary
//! within its time; those who have the blocks are not blamed.

use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{ReplicaId, View};

use crate::adversary::{Adversary, Cx, Verdict};

/// Keeps its blocks from most replicas.
#[derive(Debug)]
pub struct ProposeToFew {
    shown: Option<(View, Vec<ReplicaId>)>,
}

/// Shows them to f others, or to one fewer than make a quorum, drawn anew in each view.
#[must_use]
pub const fn propose_to_few() -> ProposeToFew {
    ProposeToFew { shown: None }
}

impl ProposeToFew {
    fn is_shown(&mut self, cx: &mut Cx<'_>, view: View, to: ReplicaId) -> bool {
        if self.shown.as_ref().is_none_or(|(drawn_in, _)| *drawn_in != view) {
            let quorums = cx.quorums();
            let count = if cx.chance(50) { quorums.f() } else { quorums.quorum() - 2 };
            self.shown = Some((view, cx.draw_others(count)));
        }
        self.shown.as_ref().is_some_and(|(_, shown)| shown.contains(&to))
    }
}

impl Adversary for ProposeToFew {
    fn name(&self) -> &'static str {
        "propose_to_few"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let view = match &message {
            Message::Propose(propose) => propose.header.header.view,
            Message::Data(Data::Header(header) | Data::Block { header, .. }) => header.header.view,
            _ => return cx.send(to, message),
        };
        let is_own = cx.membership().primary(view) == cx.id();
        if !is_own || self.is_shown(cx, view, to) {
            cx.send(to, message);
        } else {
            cx.fired();
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let _ = (cx, from);
        // It does not even hear the question of whom it keeps them from.
        let asks = matches!(message, Message::Fetch(Fetch::Header(..)));
        if asks && self.shown.as_ref().is_some_and(|(_, shown)| !shown.contains(&from)) {
            return Verdict::Drop;
        }
        Verdict::Deliver
    }
}
