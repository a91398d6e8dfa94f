//! `equivocate_votes`: two votes for one height.
//!
//! Must hold: no replica counts both, nothing conflicting commits, and whoever sees both has the
//! evidence.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, VoteStatement};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Votes for a second block that nobody has.
#[derive(Debug)]
pub struct EquivocateVotes {
    percent: u64,
}

/// Equivocates in half of its votes: some replicas see the one vote, some the other, some both.
#[must_use]
pub const fn equivocate_votes() -> EquivocateVotes {
    EquivocateVotes { percent: 50 }
}

impl EquivocateVotes {
    /// Equivocates in so many of a hundred votes, drawn for each receiver.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self { percent }
    }
}

impl Adversary for EquivocateVotes {
    fn name(&self) -> &'static str {
        "equivocate_votes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Vote(vote) = &message else { return cx.send(to, message) };
        if !cx.chance(self.percent) {
            return cx.send(to, message);
        }
        let other = VoteStatement { digest: forge::other_digest(vote.vote.digest), ..vote.vote };
        let lie = forge::vote(cx, other, vote);
        let (first, second) = if cx.chance(50) { (lie, message) } else { (message, lie) };
        // Half of the receivers see both, a quarter each only the one or the other.
        if cx.chance(75) {
            cx.send(to, first);
            if cx.chance(67) {
                cx.send(to, second);
            }
        } else {
            cx.send(to, second);
        }
        cx.fired();
    }
}
