//! `stale_views`: messages of views that are over, old ones again and new ones made for them.
//!
//! Must hold: no replica goes back, no vote of an old view counts in a new one, and old views
//! get no second certificate.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View, VoteStatement};
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Most messages that are kept to be sent again.
const RECORDED_MAX: usize = 64;

/// Lives in the past as well.
#[derive(Debug)]
pub struct StaleViews {
    recorded: VecDeque<(View, Message)>,
}

/// Adds a message of an old view to each of a new one.
#[must_use]
pub const fn stale_views() -> StaleViews {
    StaleViews { recorded: VecDeque::new() }
}

impl Adversary for StaleViews {
    fn name(&self) -> &'static str {
        "stale_views"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let view = match &message {
            Message::Propose(propose) => propose.header.header.view,
            Message::Vote(vote) => vote.vote.view,
            Message::Commit(commit) => commit.vote.view,
            Message::ViewChange(view_change) => view_change.new_view,
            _ => return cx.send(to, message),
        };
        cx.send(to, message.clone());
        self.send_stale(cx, to, view);
        if let Message::Vote(vote) = &message
            && view > View(0)
        {
            // A vote for the present block, in a view that never had it.
            let back = 1 + cx.draw(view.0.min(4));
            let stale = VoteStatement { view: view.minus(back), ..vote.vote };
            let message = forge::vote(cx, stale, vote);
            cx.send(to, message);
            cx.fired();
        }
        if self.recorded.len() == RECORDED_MAX {
            self.recorded.pop_front();
        }
        self.recorded.push_back((view, message));
    }
}

impl StaleViews {
    fn send_stale(&self, cx: &mut Cx<'_>, to: ReplicaId, view: View) {
        let stale: Vec<&Message> =
            self.recorded.iter().filter(|(old, _)| *old < view).map(|(_, message)| message).collect();
        if !stale.is_empty() {
            let position = cx.draw(stale.len() as u64) as usize;
            cx.send(to, stale[position].clone());
            cx.fired();
        }
    }
}
