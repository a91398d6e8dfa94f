//! `cross_types`: a signature under one kind of statement presented as one under another kind.
//!
//! Must hold: the kind is part of what is signed, so that no signature means two things.

use quorate_types::message::{CheckpointVote, Message, Vote, Wish};
use quorate_types::{ReplicaId, Signature, Statement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};

/// Uses the last signature that it made again, for something else.
#[derive(Debug)]
pub struct CrossTypes {
    last: Option<(usize, Signature)>,
}

/// Adds to each signed message one of the same kind under the signature of another.
#[must_use]
pub const fn cross_types() -> CrossTypes {
    CrossTypes { last: None }
}

fn signature_of(message: &Message) -> Option<Signature> {
    match message {
        Message::Propose(propose) => Some(propose.header.signature),
        Message::Vote(vote) => Some(vote.signature),
        Message::ViewChange(change) => Some(change.signature),
        Message::CheckpointVote(vote) => Some(vote.signature),
        _ => None,
    }
}

fn signed_with(message: &Message, signature: Signature) -> Message {
    match message.clone() {
        Message::Propose(mut propose) => {
            propose.header.signature = signature;
            Message::Propose(propose)
        }
        Message::Vote(vote) => Message::Vote(Vote { signature, ..vote }),
        Message::ViewChange(change) => {
            let mut change = Arc::unwrap_or_clone(change);
            change.signature = signature;
            Message::ViewChange(Arc::new(change))
        }
        Message::CheckpointVote(vote) => Message::CheckpointVote(CheckpointVote { signature, ..vote }),
        other => other,
    }
}

impl Adversary for CrossTypes {
    fn name(&self) -> &'static str {
        "cross_types"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if let Message::Status(status) = &message {
            // What a view change for the next view would be signed as, as a wish for it.
            let (epoch, view) = (status.epoch, status.view.next());
            let content = status.committed.1;
            let signature = cx.sign(&Statement::ViewChange { epoch, view, content });
            cx.send(to, message);
            cx.send(to, Message::Wish(Wish { epoch, view, replica: cx.id(), signature }));
            return cx.fired();
        }
        let Some(own) = signature_of(&message) else { return cx.send(to, message) };
        if let Some((kind, signature)) = self.last
            && kind != message.kind()
        {
            cx.send(to, signed_with(&message, signature));
            cx.fired();
        }
        self.last = Some((message.kind(), own));
        cx.send(to, message);
    }
}
