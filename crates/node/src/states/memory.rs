//! States in this process: they outlive the replica's threads and not the process.

use bytes::Bytes;
use quorate_machine::{ChunkSink, MemoryChunks};
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::state::Page;
use quorate_types::{ChunkId, Digest, Height, StateHead};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Snapshot, States, Write, Written};

/// Snapshots in memory. Clones are handles to the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStates(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    chunks: MemoryChunks,
    snapshots: BTreeMap<Height, Snapshot>,
    gathered: Option<Snapshot>,
}

impl MemoryStates {
    /// Loses everything, as if the disk had been replaced by a new one.
    pub(crate) fn wipe(&self) {
        *self.held() = Held::default();
    }

    /// No operation leaves what is locked half changed, so a panic elsewhere under the lock does no harm.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States for MemoryStates {
    fn newest(&self, lowest: Height, highest: Height) -> Result<Option<Snapshot>, String> {
        Ok(self.held().snapshots.range(lowest..=highest).next_back().map(|(_, snapshot)| snapshot.clone()))
    }

    fn write(&self, header: SignedHeader, write: Write<'_>) -> Result<Written, String> {
        let mut sink = Sink { states: self, chunks_new: 0, bytes_new: 0 };
        let head = Arc::new(write(&mut sink).map_err(|error| error.to_string())?);
        let snapshot = Snapshot { header, head: Arc::clone(&head) };
        self.held().snapshots.insert(head.height, snapshot);
        Ok(Written { head, chunks_new: sink.chunks_new, bytes_new: sink.bytes_new })
    }

    fn chunk(&self, digest: &Digest) -> Result<Option<Bytes>, String> {
        Ok(self.held().chunks.find(digest))
    }

    fn begin(&self, head: &StateHead, header: SignedHeader) -> Result<(), String> {
        self.held().gathered = Some(Snapshot { header, head: Arc::new(head.clone()) });
        Ok(())
    }

    fn abandon(&self) -> Result<(), String> {
        self.held().gathered = None;
        Ok(())
    }

    fn look_into(&self, page: &ChunkId) -> Result<Option<Vec<ChunkId>>, String> {
        let held = self.held();
        let Some(bytes) = held.chunks.get(page) else { return Ok(None) };
        let page = Page::decode(&bytes).map_err(|why| format!("a page of a state cannot be read: {why}"))?;
        Ok(Some(page.0.iter().filter(|chunk| held.chunks.get(chunk).is_none()).copied().collect()))
    }

    fn store(&self, _: &ChunkId, bytes: &Bytes) -> Result<(), String> {
        self.held().chunks.insert(bytes.clone());
        Ok(())
    }

    fn install(&self) -> Result<(), String> {
        let mut held = self.held();
        let gathered = held.gathered.take().ok_or("no state was gathered")?;
        held.snapshots.insert(gathered.head.height, gathered);
        Ok(())
    }

    fn certify(&self, _: Arc<CheckpointCertificate>) -> Result<(), String> {
        Ok(())
    }

    fn retain_from(&self, height: Height) -> Result<(), String> {
        let mut held = self.held();
        let Held { chunks, snapshots, gathered } = &mut *held;
        snapshots.retain(|kept, _| *kept >= height);
        // What is gathered is not listed by any page that is there.
        if gathered.is_none() {
            let heads = snapshots.values().map(|snapshot| &snapshot.head);
            chunks.retain(heads.flat_map(|head| [&head.sessions, &head.application]));
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.held().chunks.bytes()
    }
}

/// Locks for one chunk at a time, so that readers wait for no snapshot.
struct Sink<'a> {
    states: &'a MemoryStates,
    chunks_new: u64,
    bytes_new: u64,
}

impl ChunkSink for Sink<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        // Computed before the lock is taken.
        let id = ChunkId::of(bytes);
        let mut held = self.states.held();
        if held.chunks.get(&id).is_none() {
            held.chunks.insert(Bytes::copy_from_slice(bytes));
            self.chunks_new += 1;
            self.bytes_new += bytes.len() as u64;
        }
        Ok(id)
    }

    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool> {
        Ok(self.states.held().chunks.get(chunk).is_some())
    }
}
