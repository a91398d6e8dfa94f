//! `vote_and_abandon`: votes for a block, tells in a view change that it never did, and votes on in the view that it
//! gave up.
//!
//! Must hold: the claims of the honest voters keep what their votes committed; a view change with less than its
//! sender knows is not refused, but never decides.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Takes its votes back.
#[derive(Debug)]
pub struct VoteAndAbandon {
    percent: u64,
    abandoned: Option<View>,
}

/// With one of ten votes asks for the next view, knowing nothing but the genesis block.
#[must_use]
pub const fn vote_and_abandon() -> VoteAndAbandon {
    VoteAndAbandon { percent: 10, abandoned: None }
}

impl VoteAndAbandon {
    /// With so many of a hundred votes instead.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self { percent, ..self }
    }
}

impl Adversary for VoteAndAbandon {
    fn name(&self) -> &'static str {
        "vote_and_abandon"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let voted = if let Message::Vote(vote) = &message { Some(vote.vote.view) } else { None };
        cx.send(to, message);
        let Some(view) = voted else { return };
        if self.abandoned.is_some_and(|abandoned| abandoned >= view) {
            // It votes in a view for which it asked nobody to stay.
            return cx.fired();
        }
        if cx.chance(self.percent) {
            self.abandoned = Some(view);
            let known = forge::genesis_certificate(cx);
            let change = Arc::new(forge::view_change(cx, view.next(), known, Vec::new()));
            for other in cx.others() {
                cx.send(other, Message::ViewChange(Arc::clone(&change)));
            }
            cx.fired();
        }
    }
}
