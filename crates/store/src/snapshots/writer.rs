//! How does a replica write its own state down? Chunk by chunk, and only what changed.

use quorate_types::certificate::SignedHeader;
use quorate_types::{ChunkId, Digest, StateHead};
use std::sync::Arc;

use super::{PackSet, Snapshot, SnapshotError, SnapshotStore};

/// A snapshot that is being written: [`SnapshotWriter::put`] chunks and pages in any order, then
/// [`SnapshotWriter::finish`]. Dropped before, it leaves nothing that is visible.
pub struct SnapshotWriter {
    store: Arc<SnapshotStore>,
    packs: PackSet,
}

impl SnapshotWriter {
    pub(super) fn new(store: Arc<SnapshotStore>) -> Self {
        let packs = PackSet::new(store.chunks.clone());
        Self { store, packs }
    }

    /// Whether this chunk is held and need not be put.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.packs.find(digest).is_some()
    }

    /// Writes a chunk or page unless it is held, and tells whether it was new. The caller has just hashed it:
    /// the digest is not computed again here, but it is whenever the chunk is read.
    ///
    /// # Errors
    /// [`SnapshotError::ChunkLength`], or the disk's; the snapshot is then to be dropped.
    pub fn put(&mut self, chunk: &ChunkId, bytes: &[u8]) -> Result<bool, SnapshotError> {
        if self.packs.find(&chunk.digest) == Some(chunk.bytes) && bytes.len() == chunk.bytes as usize {
            return Ok(false);
        }
        self.packs.append(chunk, bytes).map(|()| true)
    }

    /// Makes the snapshot visible. It is durable when this returns. In place of one at the same height, whose
    /// certificate it keeps if the state is the same.
    ///
    /// # Errors
    /// [`SnapshotError::Incomplete`] if a chunk was not put, [`SnapshotError::Contradiction`] or
    /// [`SnapshotError::ForeignCluster`] if the parts do not belong together, or the disk's.
    pub fn finish(self, head: StateHead, header: SignedHeader) -> Result<Arc<Snapshot>, SnapshotError> {
        self.publish(Snapshot { head, header, certificate: None })
    }

    /// As [`SnapshotWriter::finish`], with a certificate that was checked.
    pub(super) fn publish(mut self, snapshot: Snapshot) -> Result<Arc<Snapshot>, SnapshotError> {
        snapshot.check(&self.store.cluster, "the snapshot")?;
        // [D1] Chunks first: what is visible is complete.
        self.packs.seal()?;
        self.store.check_complete(&snapshot.head)?;
        let gate = self.store.gate();
        self.store.publish(&gate, snapshot)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.packs.discard();
        self.store.gate().writers -= 1;
    }
}
