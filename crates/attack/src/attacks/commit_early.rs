//! `commit_early`: commit votes for blocks that nobody certified, as soon as they are proposed.
//!
//! Must hold: f such words are one too few for every quorum, and a replica that asks for the certificate behind them
//! goes on asking others.

use quorate_types::message::{Commit, Message};
use quorate_types::{ReplicaId, VoteStatement};

use crate::adversary::{Adversary, Cx, Verdict};

/// Says that it holds certificates that do not exist yet.
#[derive(Debug)]
pub struct CommitEarly(());

/// Answers each proposal with a commit vote to all, and adds one to each own proposal.
#[must_use]
pub const fn commit_early() -> CommitEarly {
    CommitEarly(())
}

fn commit_for(message: &Message) -> Option<Message> {
    let Message::Propose(propose) = message else { return None };
    let header = &propose.header.header;
    let (epoch, view, height) = (header.epoch, header.view, header.height);
    Some(Message::Commit(Commit { vote: VoteStatement { epoch, view, height, digest: header.digest() } }))
}

impl Adversary for CommitEarly {
    fn name(&self) -> &'static str {
        "commit_early"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let commit = commit_for(&message);
        cx.send(to, message);
        if let Some(commit) = commit {
            cx.send(to, commit);
            cx.fired();
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        if let Some(commit) = commit_for(message) {
            for to in cx.others() {
                cx.send(to, commit.clone());
            }
            cx.fired();
        }
        Verdict::Deliver
    }
}
