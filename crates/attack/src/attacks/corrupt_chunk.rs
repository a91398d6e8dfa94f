//! `corrupt_chunk`: hands out chunks of a state with a flipped bit, or cut short.
//!
//! Must hold: the chunk is refused by its digest and named, its sender is not asked again for a while, and the
//! transfer completes from others.

use bytes::Bytes;
use quorate_types::ReplicaId;
use quorate_types::message::{Data, Message};

use crate::adversary::{Adversary, Cx};

/// Changes the chunks that it serves.
#[derive(Debug)]
pub struct CorruptChunk {
    percent: u64,
}

/// Changes one of two chunks, so that some of what it serves is of use.
#[must_use]
pub const fn corrupt_chunk() -> CorruptChunk {
    CorruptChunk { percent: 50 }
}

impl CorruptChunk {
    /// Changes so many of a hundred instead.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self { percent }
    }
}

impl Adversary for CorruptChunk {
    fn name(&self) -> &'static str {
        "corrupt_chunk"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Data(Data::Chunk(bytes)) if !bytes.is_empty() && cx.chance(self.percent) => {
                let position = cx.draw(bytes.len() as u64) as usize;
                let corrupt: Bytes = if cx.chance(20) {
                    bytes.slice(..position)
                } else {
                    let mut changed = bytes.to_vec();
                    changed[position] ^= 1 << cx.draw(8);
                    changed.into()
                };
                cx.send(to, Message::Data(Data::Chunk(corrupt)));
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
}
