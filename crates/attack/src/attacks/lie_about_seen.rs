//! `lie_about_seen`: tells replicas that they signed what they never signed, or have long outgrown.
//!
//! Must hold: a replica believes its own signature alone, so nobody is taken for one that lost its disk.

use quorate_types::message::{Message, Seen, Status};
use quorate_types::{Digest, ReplicaId, Signature, Statement, VoteStatement};
use std::collections::BTreeMap;

use crate::adversary::{Adversary, Cx, Verdict};

/// Invents memories.
#[derive(Debug)]
pub struct LieAboutSeen {
    /// The first vote that was seen of each replica.
    first: BTreeMap<ReplicaId, (VoteStatement, Signature)>,
}

/// Puts a forged, foreign or stale statement into every status.
#[must_use]
pub const fn lie_about_seen() -> LieAboutSeen {
    LieAboutSeen { first: BTreeMap::new() }
}

impl LieAboutSeen {
    fn invent(&self, cx: &mut Cx<'_>, of: ReplicaId, truth: &Status) -> Seen {
        let vote = VoteStatement {
            epoch: truth.epoch,
            view: truth.view.plus(cx.draw(3)),
            height: truth.committed.0.plus(1 + cx.draw(100)),
            digest: truth.committed.1,
        };
        let view = truth.asked.plus(1 + cx.draw(5));
        let content = Digest::of_bytes(b"content");
        let change = Statement::ViewChange { epoch: truth.epoch, view, content };
        match cx.draw(4) {
            0 => Seen { vote: Some((vote, Signature([1; 64]))), view_change: None },
            1 => Seen { vote: Some((vote, cx.sign(&Statement::Vote(vote)))), view_change: None },
            2 => Seen { vote: None, view_change: Some((view, content, cx.sign(&change))) },
            _ => {
                // A true signature, of then or under another statement.
                let stale = self.first.get(&of).copied();
                let is_moved = cx.chance(50);
                let moved = |(_, signature)| (vote, signature);
                Seen { vote: if is_moved { stale.map(moved) } else { stale }, view_change: None }
            }
        }
    }
}

impl Adversary for LieAboutSeen {
    fn name(&self) -> &'static str {
        "lie_about_seen"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Status(truth) = message else { return cx.send(to, message) };
        let seen = Some(self.invent(cx, to, &truth));
        cx.send(to, Message::Status(Status { seen, ..truth }));
        cx.fired();
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if let Message::Vote(vote) = message {
            self.first.entry(from).or_insert((vote.vote, vote.signature));
        }
        Verdict::Deliver
    }
}
