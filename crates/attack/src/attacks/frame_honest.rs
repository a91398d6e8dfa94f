//! `frame_honest`: makes evidence against honest replicas out of what they really signed.
//!
//! Must hold: two statements convict only if they contradict each other and the accused signed both; anything else is
//! refused by name and counted against the accuser.

use quorate_types::message::Message;
use quorate_types::{Evidence, ReplicaId, Signature, Statement, VoteStatement};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge;

/// Accuses others.
#[derive(Debug)]
pub struct FrameHonest {
    /// Two genuine votes of each replica: the last ones.
    votes: BTreeMap<ReplicaId, [(VoteStatement, Signature); 2]>,
}

/// Accuses somebody with every status.
#[must_use]
pub const fn frame_honest() -> FrameHonest {
    FrameHonest { votes: BTreeMap::new() }
}

impl FrameHonest {
    fn accuse(&self, cx: &mut Cx<'_>) -> Option<Evidence> {
        let place = cx.draw(self.votes.len() as u64) as usize;
        let (replica, [older, newer]) = self.votes.iter().nth(place)?;
        let genuine = |(vote, signature): (VoteStatement, Signature)| (Statement::Vote(vote), signature);
        let other = VoteStatement { digest: forge::other_digest(newer.0.digest), ..newer.0 };
        let second = match cx.draw(5) {
            // Contradicting, and signed by the traitor.
            0 => (Statement::Vote(other), cx.sign(&Statement::Vote(other))),
            // Contradicting, under the genuine signature of the first one.
            1 => (Statement::Vote(other), newer.1),
            // The same twice.
            2 => genuine(*newer),
            // Both genuine, of different heights.
            3 => genuine(*older),
            // Another kind of statement.
            _ => {
                let wish = Statement::Wish { epoch: newer.0.epoch, view: newer.0.view };
                (wish, cx.sign(&wish))
            }
        };
        Some(Evidence { replica: *replica, first: genuine(*newer), second })
    }
}

impl Adversary for FrameHonest {
    fn name(&self) -> &'static str {
        "frame_honest"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let is_status = matches!(message, Message::Status(_));
        cx.send(to, message);
        if is_status && let Some(evidence) = self.accuse(cx) {
            cx.send(to, Message::Evidence(Arc::new(evidence)));
            cx.fired();
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if let Message::Vote(vote) = message
            && !cx.traitors().contains(&from)
        {
            let newest = (vote.vote, vote.signature);
            let kept = self.votes.entry(from).or_insert([newest; 2]);
            *kept = [kept[1], newest];
        }
        Verdict::Deliver
    }
}
