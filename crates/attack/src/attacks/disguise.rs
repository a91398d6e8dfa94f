//! How does a primary show all others another block than its machine made, without contradicting itself? Its
//! proposals, votes, view changes and answers tell of that other block alone.

use bytes::Bytes;
use quorate_types::message::{Message, Propose};
use quorate_types::{Header, Height, ReplicaId, View};
use std::sync::Arc;

use super::fork::{Fork, Lie};
use crate::adversary::{Cx, Verdict};

/// The blocks that all others see in place of the machine's.
#[derive(Debug, Default)]
pub(crate) struct Disguise {
    fork: Fork,
    /// The last proposal that it was decided about.
    decided: Option<(View, Height)>,
}

impl Disguise {
    /// Sends a message as it reads in disguise. `change` gives header and batch in place of those of a new
    /// proposal, or leaves them.
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        to: ReplicaId,
        message: Message,
        change: impl FnOnce(&mut Cx<'_>, &Propose) -> Option<(Header, Bytes)>,
    ) {
        match &message {
            Message::Propose(propose) => self.decide(cx, propose, change),
            Message::ViewChange(truth) => {
                let lie = self.fork.twin_view_change(cx, truth).map(Arc::new);
                return cx.send(to, Message::ViewChange(lie.unwrap_or_else(|| Arc::clone(truth))));
            }
            _ => {}
        }
        match self.fork.lie(cx, &message) {
            Lie::Truth => cx.send(to, message),
            Lie::Other(lie) => {
                if matches!(lie, Message::Propose(_)) {
                    cx.fired();
                }
                cx.send(to, lie);
            }
            Lie::Silence => {}
        }
    }

    fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        propose: &Propose,
        change: impl FnOnce(&mut Cx<'_>, &Propose) -> Option<(Header, Bytes)>,
    ) {
        let header = propose.header.header;
        let place = Some((header.view, header.height));
        // A replica that turned in mid view sends blocks again that others have long.
        if place <= self.decided || header.height <= cx.status().committed {
            return;
        }
        self.decided = place;
        if let Some((other, batch)) = change(cx, propose) {
            self.fork.put(cx, propose, other, batch);
        } else if self.fork.twin_of(&header.parent).is_some() {
            // What stands on a block in disguise is in disguise too.
            self.fork.put(cx, propose, header, propose.batch.clone());
        }
    }

    pub(crate) fn hear(&self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.fork.hear(cx, from, message)
    }
}
