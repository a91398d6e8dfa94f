//! `equivocate_proposals`, `equivocate_deep`: a primary that builds two chains at once.
//!
//! From some block on every proposal has a twin of the same height. A part of the replicas,
//! drawn anew in each view, sees the second chain only: proposals, votes, commit votes, statuses
//! and answers to fetches all fit together. Its view changes claim either chain.
//!
//! Must hold: one of the chains commits at most, the primary is replaced, and there is evidence
//! as soon as an honest replica of one side hears one of the other.

use quorate_types::certificate::ViewChange;
use quorate_types::message::{Message, Propose};
use quorate_types::{Height, ReplicaId, View};
use std::sync::Arc;

use super::fork::{Fork, Lie};
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes two blocks for one height.
#[derive(Debug, Default)]
pub struct EquivocateProposals {
    depth: Depth,
    fork: Fork,
    /// The view that the traitor leads, and who sees the second chain in it.
    view: Option<View>,
    deceived: Vec<ReplicaId>,
    /// The last block for which it was decided whether it gets a twin.
    decided: Height,
    /// Blocks that stay honest in this view.
    honest_left: u64,
    /// Whether the view change for this view claims the second chain towards everybody.
    claim: Option<(View, bool)>,
}

/// How many blocks of a view stay honest.
#[derive(Clone, Copy, Debug)]
enum Depth {
    Fixed(u64),
    UpTo(u64),
}

impl Default for Depth {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

/// Equivocates from the first block on that it proposes in a view.
#[must_use]
pub fn equivocate_proposals() -> EquivocateProposals {
    EquivocateProposals::default()
}

/// Equivocates deep in the pipeline: after 1 to 12 blocks of a view, drawn anew in each.
#[must_use]
pub fn equivocate_deep() -> EquivocateProposals {
    EquivocateProposals { depth: Depth::UpTo(12), ..EquivocateProposals::default() }
}

impl EquivocateProposals {
    /// Equivocates after this many honest blocks in each view.
    #[must_use]
    pub fn depth(self, blocks: u64) -> Self {
        Self { depth: Depth::Fixed(blocks), ..self }
    }

    fn is_deceived(&self, view: View, to: ReplicaId) -> bool {
        self.view == Some(view) && self.deceived.contains(&to)
    }

    /// Decides on a new block of the own view, once.
    fn decide(&mut self, cx: &mut Cx<'_>, propose: &Propose) {
        let header = &propose.header.header;
        if self.view.is_none_or(|view| view < header.view) {
            self.view = Some(header.view);
            self.decided = Height(0);
            let count = 1 + cx.draw(cx.quorums().n() as u64 - 2);
            self.deceived = cx.draw_others(count as usize);
            self.honest_left = match self.depth {
                Depth::Fixed(blocks) => blocks,
                Depth::UpTo(most) => 1 + cx.draw(most),
            };
        }
        // A replica that turned in mid view sends blocks again that are long decided.
        let is_old = header.height <= self.decided.max(cx.status().committed);
        if self.view != Some(header.view) || is_old {
            return;
        }
        self.decided = header.height;
        if self.honest_left > 0 {
            self.honest_left -= 1;
        } else {
            self.fork.add(cx, propose);
        }
    }

    fn send_view_change(&mut self, cx: &mut Cx<'_>, to: ReplicaId, truth: &Arc<ViewChange>) {
        if self.claim.is_none_or(|(view, _)| view != truth.new_view) {
            self.claim = Some((truth.new_view, cx.chance(50)));
        }
        let is_to_all = self.claim.is_some_and(|(_, is_to_all)| is_to_all);
        let lie = if is_to_all || self.deceived.contains(&to) {
            self.fork.twin_view_change(cx, truth)
        } else {
            None
        };
        match lie {
            Some(lie) => {
                cx.send(to, Message::ViewChange(Arc::new(lie)));
                cx.fired();
            }
            None => cx.send(to, Message::ViewChange(Arc::clone(truth))),
        }
    }
}

impl Adversary for EquivocateProposals {
    fn name(&self) -> &'static str {
        match self.depth {
            Depth::Fixed(_) => "equivocate_proposals",
            Depth::UpTo(_) => "equivocate_deep",
        }
    }

    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match &message {
            Message::Propose(propose) => self.decide(cx, propose),
            Message::ViewChange(truth) => return self.send_view_change(cx, to, truth),
            _ => {}
        }
        if !self.is_deceived(cx.status().view, to) {
            return cx.send(to, message);
        }
        match self.fork.lie(cx, &message) {
            Lie::Truth => cx.send(to, message),
            Lie::Other(lie) => {
                cx.send(to, lie);
                cx.fired();
            }
            Lie::Silence => cx.fired(),
        }
    }

    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.fork.hear(cx, from, message)
    }
}
