//! `proof_index_mismatch`: every chunk that it serves is genuine, but it is another one than was asked for.
//!
//! Must hold: a chunk counts for its own digest alone, whatever came before it; what was not asked of this peer is
//! refused and named.

use bytes::Bytes;
use quorate_types::ReplicaId;
use quorate_types::message::{Data, Message};
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx};

/// Most chunks that are kept to be sent in place of others.
const KEPT_MAX: usize = 64;

/// Answers with the chunks of other questions.
#[derive(Debug)]
pub struct ProofIndexMismatch {
    kept: VecDeque<Bytes>,
}

/// Sends an earlier chunk in place of each, to whomever that was for.
#[must_use]
pub const fn proof_index_mismatch() -> ProofIndexMismatch {
    ProofIndexMismatch { kept: VecDeque::new() }
}

impl Adversary for ProofIndexMismatch {
    fn name(&self) -> &'static str {
        "proof_index_mismatch"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Data(Data::Chunk(bytes)) = message else { return cx.send(to, message) };
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(bytes);
        let place = cx.draw(self.kept.len() as u64) as usize;
        cx.send(to, Message::Data(Data::Chunk(self.kept[place].clone())));
        if place + 1 < self.kept.len() {
            cx.fired();
        }
    }
}
