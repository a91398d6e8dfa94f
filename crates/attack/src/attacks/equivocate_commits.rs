//! `equivocate_commits`: commit votes for one block before some replicas and for another before others. They bear no
//! signature, so nobody can prove it.
//!
//! Must hold: a commit vote counts on the own chain alone, and f contradicting ones commit nothing on either side.

use quorate_types::ReplicaId;
use quorate_types::message::{Commit, Message};

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge;

/// Commits to two blocks.
#[derive(Debug)]
pub struct EquivocateCommits(());

/// Splits its commit votes; while it has none to split, it makes them of its votes.
#[must_use]
pub const fn equivocate_commits() -> EquivocateCommits {
    EquivocateCommits(())
}

impl Adversary for EquivocateCommits {
    fn name(&self) -> &'static str {
        "equivocate_commits"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let truth = match &message {
            Message::Commit(commit) => commit.vote,
            Message::Vote(vote) => vote.vote,
            _ => return cx.send(to, message),
        };
        let is_replaced = matches!(message, Message::Commit(_)) && cx.chance(50);
        if !is_replaced {
            cx.send(to, message);
        }
        if is_replaced || cx.chance(50) {
            let mut vote = truth;
            vote.digest = forge::other_digest(truth.digest);
            vote.height = vote.height.plus(cx.draw(3));
            cx.send(to, Message::Commit(Commit { vote }));
            cx.fired();
        }
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, _: &Message) -> Verdict {
        Verdict::Deliver
    }
}
