//! Where does a replica keep its snapshots? In a directory of chunks that any number of snapshots share
//! (rules K1, K3, K4, D1).
//!
//! A [`SnapshotStore`] holds snapshots by height. Writing one ([`SnapshotStore::begin`]) costs what changed: a chunk
//! that is held already is not written again. A snapshot is visible once it is complete and durable, never
//! before. The state of another replica comes in through a [`Transfer`], which survives restarts; a snapshot
//! leaves the cluster as one file ([`SnapshotStore::save`]), and whoever has the genesis can check that file
//! ([`verify`]).
//!
//! On the disk: `pack-*` hold chunks (see `pack.rs`), `snapshot-*` name the visible snapshots, `transfer` names the
//! target of an unfinished transfer, and `*.new` is whatever was not complete when the process ended. Any number
//! of threads may read while one writes. Errors are [`SnapshotError`]s; nothing that lies in a file makes this
//! code panic, and every chunk's digest is checked whenever it is read.

use bytes::Bytes;
use quorate_types::certificate::CheckpointCertificate;
use quorate_types::state::{Content, PAGE_CHUNKS_MAX, Page};
use quorate_types::{ChunkId, ClusterId, Digest, Height, StateHead};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chunks::{Chunks, PackSet};
use files::Disk;
use manifest::Kind;

mod manifest;

mod writer;

mod transfer;

mod saved;

mod opening;

mod collect;

mod chunks;

mod pack;

mod files;

mod error;

#[cfg(test)]
mod tests;

pub use error::SnapshotError;
pub use manifest::Snapshot;
pub use saved::{read_into, restore, verify};
pub use transfer::{Progress, Transfer};
pub use writer::SnapshotWriter;

/// The snapshots of one replica.
///
/// Readers never wait for a writer. Whoever makes a change waits for a [`SnapshotStore::retain`] that is
/// moving chunks.
pub struct SnapshotStore {
    cluster: ClusterId,
    chunks: Arc<Chunks>,
    snapshots: RwLock<BTreeMap<Height, Arc<Snapshot>>>,
    /// Held while the set of snapshots, packs or transfers changes. Locked before `snapshots`.
    gate: Mutex<Gate>,
}

/// Who needs chunks that no visible snapshot lists.
#[derive(Default)]
struct Gate {
    /// Snapshots that are being written.
    writers: usize,
    /// What an unfinished transfer is to become.
    target: Option<Arc<Snapshot>>,
    /// Whether there is a [`Transfer`] for it.
    is_transfer_open: bool,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Visible snapshots.
    pub snapshots: usize,
    /// Distinct chunks, pages included, needed or not.
    pub chunks: usize,
    /// Pack files.
    pub packs: usize,
    /// Bytes of all pack files.
    pub bytes: u64,
}

impl SnapshotStore {
    /// Opens the snapshots in a directory, which is made if there is none. Removes what a crash left, but for an
    /// unfinished transfer's chunks. Checks that every visible snapshot is complete, which reads its pages.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`], [`SnapshotError::Incomplete`], [`SnapshotError::ForeignCluster`],
    /// [`SnapshotError::FutureFormat`] and others: nothing was changed then.
    pub fn open(path: &Path, cluster: ClusterId) -> Result<Arc<Self>, SnapshotError> {
        let files = files::Directory::open(path, false)?;
        opening::open(Disk::new(Box::new(files), false), cluster)
    }

    /// Opens the snapshots in a directory without changing anything there; writing is refused.
    ///
    /// # Errors
    /// As [`SnapshotStore::open`].
    pub fn inspect(path: &Path, cluster: ClusterId) -> Result<Arc<Self>, SnapshotError> {
        let files = files::Directory::open(path, true)?;
        opening::open(Disk::new(Box::new(files), true), cluster)
    }

    /// The newest snapshot: what a restart begins with.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.snapshots().last_key_value().map(|(_, snapshot)| snapshot.clone())
    }

    /// The snapshot at a height.
    #[must_use]
    pub fn at(&self, height: Height) -> Option<Arc<Snapshot>> {
        self.snapshots().get(&height).cloned()
    }

    /// The snapshot of a state.
    #[must_use]
    pub fn of_root(&self, root: &Digest) -> Option<Arc<Snapshot>> {
        self.snapshots().values().find(|snapshot| snapshot.head.root() == *root).cloned()
    }

    /// The heights of all snapshots, ascending.
    #[must_use]
    pub fn heights(&self) -> Vec<Height> {
        self.snapshots().keys().copied().collect()
    }

    /// Whether this chunk or page is held.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.chunks.find(digest).is_some()
    }

    /// Reads a chunk or page. Its digest was checked.
    ///
    /// # Errors
    /// [`SnapshotError::NoChunk`], [`SnapshotError::ChunkDamaged`], or the disk's.
    pub fn read(&self, digest: &Digest) -> Result<Bytes, SnapshotError> {
        self.chunks.read(digest)
    }

    /// Reads a page of a snapshot.
    ///
    /// # Errors
    /// As [`SnapshotStore::read`], or [`SnapshotError::Contradiction`] if it is no page.
    pub fn page(&self, snapshot: &Snapshot, id: &ChunkId) -> Result<Page, SnapshotError> {
        self.chunks.page(id, snapshot.height())
    }

    /// Reads every chunk and page of a snapshot, so that damage is found before it is needed.
    ///
    /// # Errors
    /// As [`SnapshotStore::read`].
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.check_complete(&snapshot.head)?;
        for page in snapshot.head.pages() {
            let page = self.page(snapshot, page)?;
            page.0.iter().try_for_each(|chunk| self.read(&chunk.digest).map(drop))?;
        }
        Ok(())
    }

    /// How much there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (chunks, packs, bytes) = self.chunks.totals();
        Usage { snapshots: self.snapshots().len(), chunks, packs, bytes }
    }

    /// Begins a snapshot. As long as it is being written no chunk goes away.
    ///
    /// # Errors
    /// [`SnapshotError::Stopped`] or [`SnapshotError::ReadOnly`].
    pub fn begin(self: &Arc<Self>) -> Result<SnapshotWriter, SnapshotError> {
        self.chunks.disk.check_writable()?;
        self.gate().writers += 1;
        Ok(SnapshotWriter::new(self.clone()))
    }

    /// Adds the certificate that made a snapshot stable, durably when it returns.
    ///
    /// # Errors
    /// [`SnapshotError::NoSnapshot`]; [`SnapshotError::Contradiction`] if it is for something else; the disk's.
    pub fn certify(&self, certificate: Arc<CheckpointCertificate>) -> Result<Arc<Snapshot>, SnapshotError> {
        let gate = self.gate();
        let height = certificate.checkpoint.height;
        let snapshot = self.at(height).ok_or(SnapshotError::NoSnapshot(height))?;
        if let Some(what) = snapshot.mismatch(&certificate) {
            return Err(SnapshotError::Contradiction { height, what });
        }
        self.publish(&gate, Snapshot { certificate: Some(certificate), ..(*snapshot).clone() })
    }

    /// Removes all other snapshots, and gives space back. What is being served or restored from is the caller's to
    /// keep. While a snapshot is being written, or a transfer does not know yet which chunks it needs, the chunks stay
    /// until the next call.
    ///
    /// # Errors
    /// The disk's. The snapshots that are kept are untouched.
    pub fn retain(&self, keep: &[Height]) -> Result<(), SnapshotError> {
        self.chunks.disk.check_writable()?;
        let gate = self.gate();
        self.remove_where(&gate, |height| !keep.contains(&height))?;
        self.collect(&gate)
    }

    /// Removes snapshots, durably when it returns, since only then their chunks may go.
    fn remove_where(&self, _: &Gate, is_gone: impl Fn(Height) -> bool) -> Result<(), SnapshotError> {
        let gone: Vec<_> = self.heights().into_iter().filter(|height| is_gone(*height)).collect();
        for height in &gone {
            self.chunks.disk.remove(&manifest::name(*height))?;
            self.snapshots_mut().remove(height);
        }
        if gone.is_empty() { Ok(()) } else { self.chunks.disk.sync_directory() }
    }

    /// Makes a complete snapshot visible and durable. A certificate that is there already and fits stays.
    fn publish(&self, _: &Gate, mut snapshot: Snapshot) -> Result<Arc<Snapshot>, SnapshotError> {
        let height = snapshot.height();
        let earlier = self.at(height).and_then(|earlier| earlier.certificate.clone());
        let earlier = earlier.filter(|certificate| snapshot.mismatch(certificate).is_none());
        snapshot.certificate = snapshot.certificate.or(earlier);
        self.chunks.disk.replace(&manifest::name(height), &snapshot.encode(Kind::Snapshot))?;
        let snapshot = Arc::new(snapshot);
        self.snapshots_mut().insert(height, snapshot.clone());
        Ok(snapshot)
    }

    /// Whether every page and chunk is held, and the head counts them right.
    fn check_complete(&self, head: &StateHead) -> Result<(), SnapshotError> {
        for content in [&head.sessions, &head.application] {
            self.check_content(head.height, content)?;
        }
        Ok(())
    }

    fn check_content(&self, height: Height, content: &Content) -> Result<(), SnapshotError> {
        let (mut chunks, mut bytes) = (0_u64, 0_u64);
        for (position, id) in content.pages.iter().enumerate() {
            self.chunks.mark(height, &[*id])?;
            let page = self.chunks.page(id, height)?;
            if page.0.len() < PAGE_CHUNKS_MAX && position + 1 < content.pages.len() {
                return Err(SnapshotError::Contradiction { height, what: "a page is not full" });
            }
            self.chunks.mark(height, &page.0)?;
            chunks += page.0.len() as u64;
            bytes += page.0.iter().map(|chunk| u64::from(chunk.bytes)).sum::<u64>();
        }
        if (chunks, bytes) != (content.chunks, content.bytes) {
            return Err(SnapshotError::Contradiction { height, what: "its head counts chunks wrongly" });
        }
        Ok(())
    }

    // A thread that panicked cannot leave these halfway: each change is one call of a collection.

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshots(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Height, Arc<Snapshot>>> {
        self.snapshots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshots_mut(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<Height, Arc<Snapshot>>> {
        self.snapshots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStore").field("heights", &self.heights()).finish_non_exhaustive()
    }
}
