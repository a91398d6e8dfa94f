//! `hide_votes`: votes reach one replica only, so that it alone can see a quorum and commit.
//!
//! Must hold: what one replica committed stays committed in every later view, and the others learn of it or go on
//! without the hidden votes.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};

use crate::adversary::{Adversary, Cx};

/// Votes before one witness.
#[derive(Debug)]
pub struct HideVotes {
    witness: Option<(View, ReplicaId)>,
}

/// Shows votes and commit votes to one replica, drawn anew in each view, and everything else to all.
#[must_use]
pub const fn hide_votes() -> HideVotes {
    HideVotes { witness: None }
}

impl Adversary for HideVotes {
    fn name(&self) -> &'static str {
        "hide_votes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let view = match &message {
            Message::Vote(vote) => vote.vote.view,
            Message::Commit(commit) => commit.vote.view,
            _ => return cx.send(to, message),
        };
        if self.witness.is_none_or(|(drawn_in, _)| drawn_in < view) {
            self.witness = cx.draw_others(1).first().map(|witness| (view, *witness));
        }
        if self.witness.is_some_and(|(_, witness)| witness == to) {
            cx.send(to, message);
        } else {
            cx.fired();
        }
    }
}
