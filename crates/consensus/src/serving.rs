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
const CHUNKS_WAITING_MAX: usize = 512;
/// Most chunks that are read for one peer at a time.
const CHUNKS_READ_MAX: usize = 32;

/// What peers wait for.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    queues: Vec<VecDeque<Digest>>,
    /// Chunks that are being read, for all peers.
    reading: usize,
    /// When what was sent so far, to all peers, has taken its time.
    free_at: Time,
    /// When each peer may ask for a head again: one that fetches chunks all the time keeps nobody from it.
    heads_at: Vec<Time>,
    /// Whose turn it is.
    next: usize,
}

impl Serving {
    pub(crate) fn new(quorums: Quorums) -> Self {
        let queues = vec![VecDeque::new(); quorums.n()];
        let heads_at = vec![Time(0); quorums.n()];
        Self { queues, reading: 0, free_at: Time(0), heads_at, next: 0 }
    }

    /// How many chunks a peer waits for.
    pub(crate) fn held_of(&self, peer: ReplicaId) -> usize {
        self.queues[peer.index()].len()
    }

    /// The next chunks for one peer, one peer after the other.
    fn take(&mut self) -> Option<(ReplicaId, Vec<Digest>)> {
        let n = self.queues.len();
        let turn =
            (0..n).map(|offset| (self.next + offset) % n).find(|peer| !self.queues[*peer].is_empty())?;
        self.next = turn + 1;
        let count = self.queues[turn].len().min(CHUNKS_READ_MAX);
        let digests = self.queues[turn].drain(..count).collect();
        Some((ReplicaId(u16::try_from(turn).unwrap_or(0)), digests))
    }
}

impl Replica {
    /// A peer asks for the head of a state, which may be large: it takes its time like chunks do.
    pub(crate) fn serve_state(&mut self, to: ReplicaId, height: Height) -> Result<(), Rejection> {
        // Also where the own snapshot of it is not durable yet: its blocks are asked for as well.
        self.hold_for(to, height);
        let Some((header, head)) = self.checkpoints.head_at(height) else { return Ok(()) };
        let data = Data::State { header: **header, head: Arc::clone(head) };
        let bytes = head.pages().count() * size_of::<ChunkId>();
        if self.serving.heads_at[to.index()] > self.now {
            return Err(Rejection::TooManyPending);
        }
        self.serving.heads_at[to.index()] = self.now.after(self.time_of(bytes));
        self.send_to(to, Message::Data(data));
        Ok(())
    }

    /// How long bytes take at the rate at which states are served.
    fn time_of(&self, bytes: usize) -> Duration {
        let rate = self.config.limits.serve_bytes_per_second.max(1);
        Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate)
    }

    /// A peer asks for chunks.
    pub(crate) fn on_fetch_chunks(&mut self, from: ReplicaId, digests: &[Digest]) -> Result<(), Rejection> {
        let waiting = &mut self.serving.queues[from.index()];
        if waiting.len() + digests.len() > CHUNKS_WAITING_MAX {
            return Err(Rejection::TooManyPending);
        }
        waiting.extend(digests);
        self.read_chunks();
        Ok(())
    }

    /// The disk gave a chunk for a peer, or does not hold it.
    pub(crate) fn on_chunk_read(&mut self, to: ReplicaId, chunk: Result<bytes::Bytes, Digest>) {
        self.serving.reading = self.serving.reading.saturating_sub(1);
        let data = match chunk {
            Ok(bytes) => {
                let free_at = self.serving.free_at.max(self.now);
                self.serving.free_at = free_at.after(self.time_of(bytes.len()));
                Data::Chunk(bytes)
            }
            Err(digest) => Data::Absent(Limited::take([digest])),
        };
        self.send_to(to, Message::Data(data));
        self.read_chunks();
    }

    /// Reads the next chunks, unless some are being read or what was sent needs its time.
    pub(crate) fn read_chunks(&mut self) {
        if self.serving.reading > 0 || self.serving.queues.iter().all(VecDeque::is_empty) {
            return;
        }
        if self.serving.free_at > self.now {
            return self.timers.set_if_unset(Timer::Serve, self.serving.free_at);
        }
        if let Some((to, digests)) = self.serving.take() {
            self.serving.reading = digests.len();
            self.outbox.push(Action::ReadChunks(to, digests));
        }
    }
}
