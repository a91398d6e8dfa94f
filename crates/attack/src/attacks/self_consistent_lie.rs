//! `self_consistent_lie`: serves an invented state whose head, pages and chunks fit each other.
//!
//! Must hold: the head is refused, because the certificate names another root; nothing of the state is installed.

use bytes::Bytes;
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::state::{Content, ContentBuilder};
use quorate_types::{ChunkId, Digest, Height, ReplicaId, StateHead};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};

/// Has a state of its own.
#[derive(Debug)]
pub struct SelfConsistentLie {
    chunks: BTreeMap<Digest, Bytes>,
    invented: Content,
}

/// Serves the same invented state at every height.
#[must_use]
pub fn self_consistent_lie() -> SelfConsistentLie {
    let mut chunks = BTreeMap::new();
    let mut builder = ContentBuilder::default();
    let mut keep = |id: ChunkId, bytes: Bytes| drop(chunks.insert(id.digest, bytes));
    for number in 0..40_u8 {
        let bytes = Bytes::from(vec![number; 16]);
        let id = ChunkId::of(&bytes);
        keep(id, bytes);
        if let Ok(Some((page, bytes))) = builder.push(id) {
            keep(page, bytes);
        }
    }
    let (invented, last) = builder.finish().unwrap_or_default();
    if let Some((page, bytes)) = last {
        keep(page, bytes);
    }
    SelfConsistentLie { chunks, invented }
}

impl SelfConsistentLie {
    /// The head with which it would be the state after this block.
    fn head(&self, like: &StateHead, height: Height) -> Arc<StateHead> {
        Arc::new(StateHead { height, application: self.invented.clone(), ..like.clone() })
    }
}

impl Adversary for SelfConsistentLie {
    fn name(&self) -> &'static str {
        "self_consistent_lie"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Data(Data::State { header, head }) => {
                let head = self.head(&head, header.header.height);
                cx.send(to, Message::Data(Data::State { header, head }));
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let Message::Fetch(Fetch::Chunks(digests)) = message else { return Verdict::Deliver };
        for bytes in digests.iter().filter_map(|digest| self.chunks.get(digest)) {
            cx.send(from, Message::Data(Data::Chunk(bytes.clone())));
        }
        Verdict::Deliver
    }
}
