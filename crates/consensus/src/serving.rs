//! How others get this replica's snapshots (rule K3): a bounded queue of chunks per peer, and no more bytes a
//! second than leave room for everything else.

use quorate_types::limited::Limited;
use quorate_types::message::{Data, Message};
use quorate_types::{ChunkId, Digest, Height, Quorums, Rejection, ReplicaId, Time};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::io::Action;
use crate::replica::Replica;
use crate::timer::Timer;

/// Most chunks that one peer may wait for.
const CHUNKS_WAITING_MAX: usize = 256;
/// Most chunks that are read for one peer at a time.
const CHUNKS_READ_MAX: usize = 8;

/// What each peer waits for.
#[derive(Debug)]
pub(crate) struct Serving(Vec<Queue>);

#[derive(Clone, Debug, Default)]
struct Queue {
    waiting: VecDeque<Digest>,
    reading: usize,
    /// When what was sent so far has taken its time.
    free_at: Time,
}

impl Serving {
    pub(crate) fn new(quorums: Quorums) -> Self {
        Self(vec![Queue::default(); quorums.n()])
    }
}

impl Replica {
    /// A peer asks for the head of a state, which may be large: it takes its time like chunks do.
    pub(crate) fn serve_state(&mut self, to: ReplicaId, height: Height) -> Result<(), Rejection> {
        let Some((header, head)) = self.checkpoints.head_at(height) else { return Ok(()) };
        let data = Data::State { header: **header, head: Arc::clone(head) };
        let bytes = head.pages().count() * size_of::<ChunkId>();
        if self.serving.0[to.index()].free_at > self.now {
            return Err(Rejection::TooManyPending);
        }
        self.account(to, bytes);
        self.send_to(to, Message::Data(data));
        Ok(())
    }

    /// Bytes that were sent take their time.
    fn account(&mut self, to: ReplicaId, bytes: usize) {
        let rate = self.config.limits.serve_bytes_per_second.max(1);
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate;
        let queue = &mut self.serving.0[to.index()];
        queue.free_at = queue.free_at.max(self.now).after(Duration::from_nanos(nanos));
    }

    /// A peer asks for chunks.
    pub(crate) fn on_fetch_chunks(&mut self, from: ReplicaId, digests: &[Digest]) -> Result<(), Rejection> {
        let queue = &mut self.serving.0[from.index()];
        if queue.waiting.len() + digests.len() > CHUNKS_WAITING_MAX {
            return Err(Rejection::TooManyPending);
        }
        queue.waiting.extend(digests);
        self.read_chunks(from);
        Ok(())
    }

    /// The disk gave a chunk for a peer, or does not hold it.
    pub(crate) fn on_chunk_read(&mut self, to: ReplicaId, chunk: Result<bytes::Bytes, Digest>) {
        let Some(queue) = self.serving.0.get_mut(to.index()) else { return };
        queue.reading = queue.reading.saturating_sub(1);
        let data = match chunk {
            Ok(bytes) => {
                self.account(to, bytes.len());
                Data::Chunk(bytes)
            }
            Err(digest) => Data::Absent(Limited::take([digest])),
        };
        self.send_to(to, Message::Data(data));
        self.read_chunks(to);
    }

    /// Peers whose pause is over get their next chunks.
    pub(crate) fn on_serve_timeout(&mut self) {
        for peer in self.config.membership.replicas() {
            self.read_chunks(peer);
        }
    }

    fn read_chunks(&mut self, to: ReplicaId) {
        let queue = &mut self.serving.0[to.index()];
        if queue.waiting.is_empty() || queue.reading > 0 {
            return;
        }
        if queue.free_at > self.now {
            let due = queue.free_at;
            return self.timers.set_if_unset(Timer::Serve, due);
        }
        let count = queue.waiting.len().min(CHUNKS_READ_MAX);
        queue.reading = count;
        let digests = queue.waiting.drain(..count).collect();
        self.outbox.push(Action::ReadChunks(to, digests));
    }
}
