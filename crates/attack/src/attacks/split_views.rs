//! `split_views`: some replicas see what opens a view, the others never do: view changes, proofs, first blocks and
//! statuses tell them of an older view.
//!
//! Must hold: honest replicas prove their view to each other, so that all of them meet in one, whatever a traitor
//! shows to whom.

use quorate_types::message::{Data, Justify, Message, Status};
use quorate_types::{ReplicaId, View};

use crate::adversary::{Adversary, Cx};

/// Keeps some in the past.
#[derive(Debug)]
pub struct SplitViews {
    left_behind: Option<(View, Vec<ReplicaId>)>,
}

/// Leaves about half of the others behind, drawn anew for each view.
#[must_use]
pub const fn split_views() -> SplitViews {
    SplitViews { left_behind: None }
}

impl Adversary for SplitViews {
    fn name(&self) -> &'static str {
        "split_views"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let view = cx.status().asked.max(cx.status().view);
        if self.left_behind.as_ref().is_none_or(|(drawn_for, _)| *drawn_for != view) {
            let count = cx.quorums().n() / 2;
            self.left_behind = Some((view, cx.draw_others(count)));
        }
        let is_left_behind = self.left_behind.as_ref().is_some_and(|(_, left)| left.contains(&to));
        match message {
            Message::Status(truth) if is_left_behind && truth.asked > View(0) => {
                let (view, asked) = (truth.view.minus(1), truth.view.minus(1));
                cx.send(to, Message::Status(Status { view, asked, ..truth }));
                cx.fired();
            }
            Message::ViewChange(_) | Message::Data(Data::View(_)) if is_left_behind => cx.fired(),
            Message::Propose(propose) if is_left_behind && propose.justify != Justify::None => cx.fired(),
            other => cx.send(to, other),
        }
    }
}
