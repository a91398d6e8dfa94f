//! States on a disk: a directory of chunks that snapshots share.

use bytes::Bytes;
use quorate_machine::ChunkSink;
use quorate_store::snapshots::{SnapshotError, SnapshotStore, SnapshotWriter, Transfer};
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::state::Page;
use quorate_types::{ChunkId, ClusterId, Digest, Height, StateHead};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Snapshot, States, Write, Written};

/// Snapshots in a directory.
pub(crate) struct DiskStates {
    store: Arc<SnapshotStore>,
    gathered: Mutex<Option<Transfer>>,
}

impl DiskStates {
    /// Opens the snapshots in a directory.
    pub(crate) fn open(path: &Path, cluster: ClusterId) -> Result<Self, SnapshotError> {
        Ok(Self { store: SnapshotStore::open(path, cluster)?, gathered: Mutex::new(None) })
    }

    /// No operation leaves what is locked half changed, so a panic elsewhere under the lock does no harm.
    fn gathered(&self) -> MutexGuard<'_, Option<Transfer>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for DiskStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DiskStates").field(&self.store).finish()
    }
}

impl States for DiskStates {
    fn newest(&self, lowest: Height, highest: Height) -> Result<Option<Snapshot>, String> {
        let height =
            self.store.heights().into_iter().rev().find(|height| (lowest..=highest).contains(height));
        let snapshot = height.and_then(|height| self.store.at(height));
        Ok(snapshot.map(|found| Snapshot { header: found.header, head: Arc::new(found.head.clone()) }))
    }

    fn write(&self, header: SignedHeader, write: Write<'_>) -> Result<Written, String> {
        let mut sink = Sink { writer: self.store.begin().map_err(sentence)?, chunks_new: 0, bytes_new: 0 };
        let head = write(&mut sink).map_err(|error| error.to_string())?;
        let Sink { writer, chunks_new, bytes_new } = sink;
        let snapshot = writer.finish(head, header).map_err(sentence)?;
        Ok(Written { head: Arc::new(snapshot.head.clone()), chunks_new, bytes_new })
    }

    fn chunk(&self, digest: &Digest) -> Result<Option<Bytes>, String> {
        match self.store.read(digest) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(SnapshotError::NoChunk(_)) => Ok(None),
            Err(error) => Err(sentence(error)),
        }
    }

    fn begin(&self, head: &StateHead, header: SignedHeader) -> Result<(), String> {
        let mut gathered = self.gathered();
        // What it has received stays on the disk and counts.
        *gathered = None;
        *gathered = Some(self.store.begin_transfer(head.clone(), header, None).map_err(sentence)?);
        Ok(())
    }

    fn abandon(&self) -> Result<(), String> {
        let gathered = match self.gathered().take() {
            Some(gathered) => Some(gathered),
            // What a process before this one began.
            None => self.store.resume_transfer().map_err(sentence)?,
        };
        gathered.map_or(Ok(()), |transfer| transfer.abandon().map_err(sentence))
    }

    fn look_into(&self, page: &ChunkId) -> Result<Option<Vec<ChunkId>>, String> {
        let mut gathered = self.gathered();
        let Some(transfer) = &mut *gathered else { return Ok(None) };
        if !transfer.missing(&[*page]).is_empty() {
            return Ok(None);
        }
        let bytes = transfer.read(&page.digest).map_err(sentence)?;
        let page = Page::decode(&bytes).map_err(|why| format!("a page of a state cannot be read: {why}"))?;
        Ok(Some(transfer.missing(&page.0)))
    }

    fn store(&self, id: &ChunkId, bytes: &Bytes) -> Result<(), String> {
        let mut gathered = self.gathered();
        let Some(transfer) = &mut *gathered else { return Ok(()) };
        transfer.store(id, bytes).map(drop).map_err(sentence)
    }

    fn install(&self) -> Result<(), String> {
        let transfer = self.gathered().take().ok_or("no state was gathered")?;
        transfer.install().map(drop).map_err(sentence)
    }

    fn certify(&self, certificate: Arc<CheckpointCertificate>) -> Result<(), String> {
        match self.store.certify(certificate) {
            // A newer checkpoint may have taken its place.
            Ok(_) | Err(SnapshotError::NoSnapshot(_)) => Ok(()),
            Err(error) => Err(sentence(error)),
        }
    }

    fn retain_from(&self, height: Height) -> Result<(), String> {
        // An unfinished transfer that the chain has overtaken would keep its chunks for ever.
        if self.gathered().is_none()
            && let Some(left) = self.store.resume_transfer().map_err(sentence)?
            && left.target().height() <= height
        {
            left.abandon().map_err(sentence)?;
        }
        let kept: Vec<Height> = self.store.heights().into_iter().filter(|kept| *kept >= height).collect();
        self.store.retain(&kept).map_err(sentence)
    }

    fn bytes(&self) -> u64 {
        self.store.usage().bytes
    }
}

struct Sink {
    writer: SnapshotWriter,
    chunks_new: u64,
    bytes_new: u64,
}

impl ChunkSink for Sink {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        let id = ChunkId::of(bytes);
        if self.writer.put(&id, bytes).map_err(io::Error::other)? {
            self.chunks_new += 1;
            self.bytes_new += bytes.len() as u64;
        }
        Ok(id)
    }

    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool> {
        Ok(self.writer.has(&chunk.digest))
    }
}

fn sentence(error: SnapshotError) -> String {
    error.to_string()
}
