//! `endless_chunks`: answers one question for chunks with a stream that does not end: junk, repeats, runs of one
//! byte, and more than a chunk may have.
//!
//! Must hold: only what is owed costs a digest, the rest is refused by name before; memory stays bounded, and the
//! transfer completes from others.

use bytes::Bytes;
use quorate_types::ReplicaId;
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::state::CHUNK_BYTES_MAX;

use crate::adversary::{Adversary, Cx, Verdict};

/// Adds chunks to every answer.
#[derive(Debug)]
pub struct EndlessChunks {
    rate: u64,
}

/// Adds eight chunks to each, and some to each question.
#[must_use]
pub const fn endless_chunks() -> EndlessChunks {
    EndlessChunks { rate: 8 }
}

impl EndlessChunks {
    /// Adds so many instead.
    #[must_use]
    pub const fn rate(self, rate: u64) -> Self {
        Self { rate }
    }

    fn send_more(&self, cx: &mut Cx<'_>, to: ReplicaId, genuine: &Bytes) {
        for number in 0..self.rate {
            let more = match cx.draw(12) {
                0 => Bytes::from(vec![0; CHUNK_BYTES_MAX + 1]),
                1 => Bytes::from(vec![0; 1 << 14]),
                2 => Bytes::new(),
                3 => genuine.clone(),
                _ => Bytes::from([genuine, &number.to_le_bytes()[..]].concat()),
            };
            cx.send(to, Message::Data(Data::Chunk(more)));
            cx.fired();
        }
    }
}

impl Adversary for EndlessChunks {
    fn name(&self) -> &'static str {
        "endless_chunks"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let genuine =
            if let Message::Data(Data::Chunk(bytes)) = &message { Some(bytes.clone()) } else { None };
        cx.send(to, message);
        if let Some(genuine) = genuine {
            self.send_more(cx, to, &genuine);
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        // Before it has anything to answer with, too: whoever asks for a state owes it an open ear.
        if matches!(message, Message::Fetch(Fetch::State(_) | Fetch::Chunks(_))) {
            self.send_more(cx, from, &Bytes::from_static(b"more"));
        }
        Verdict::Deliver
    }
}
