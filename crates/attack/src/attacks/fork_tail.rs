//! `fork_tail`: a primary that goes back behind what is certified and proposes that height again.
//!
//! Must hold: no vote moves from a block to another one of its height, what is committed stays, and the two blocks
//! are evidence that replaces the primary at once.

use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{Batch, Header, ReplicaId};
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// How far it goes back at most.
const DEPTH_MAX: usize = 8;

/// Drops the last blocks of its own chain.
#[derive(Debug)]
pub struct ForkTail {
    /// The last blocks that it proposed.
    tail: VecDeque<Header>,
    depth: usize,
}

/// After three blocks of a view it proposes the first of them again, empty.
#[must_use]
pub const fn fork_tail() -> ForkTail {
    ForkTail { tail: VecDeque::new(), depth: 3 }
}

impl ForkTail {
    /// Goes back over so many blocks instead, at most 8.
    #[must_use]
    pub fn depth(self, depth: usize) -> Self {
        Self { depth: depth.clamp(1, DEPTH_MAX), ..self }
    }
}

impl Adversary for ForkTail {
    fn name(&self) -> &'static str {
        "fork_tail"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let proposed = match &message {
            Message::Propose(propose) => propose.header.header,
            _ => return cx.send(to, message),
        };
        cx.send(to, message);
        let last = self.tail.back();
        let is_new = last.is_none_or(|last| (last.view, last.height) < (proposed.view, proposed.height));
        if is_new {
            self.tail.retain(|header| header.view == proposed.view);
            self.tail.push_back(proposed);
        }
        if self.tail.len() <= self.depth {
            return;
        }
        let Some(left_out) = self.tail.pop_front() else { return };
        let header = forge::signed_header(cx, Header { batch: Batch::default().digest(), ..left_out });
        let batch = Batch::default().raw().clone();
        let again = Message::Propose(Propose { header, justify: Justify::None, batch });
        for other in cx.others() {
            cx.send(other, again.clone());
        }
        cx.fired();
    }
}
