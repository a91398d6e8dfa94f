//! How does a replica take in the state of others? Piece by piece, so that a cut costs only what was under way
//! (rule K3).
//!
//! The target's file comes first, then pages and chunks in any order in which pages are known. After a restart the
//! file is there, and so is all that was written before the process ended or, after a power cut, all but the
//! last 256 MiB at most. Once complete, the snapshot becomes visible at once.

use bytes::Bytes;
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::state::Page;
use quorate_types::{ChunkId, Digest, StateHead};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::manifest::Kind;
use super::opening::TRANSFER;
use super::{PackSet, Snapshot, SnapshotError, SnapshotStore};

/// A snapshot that comes in from other replicas. Dropped, it can be resumed.
///
/// It remembers each missing chunk that a page lists, about 60 bytes each.
pub struct Transfer {
    store: Arc<SnapshotStore>,
    target: Arc<Snapshot>,
    packs: PackSet,
    /// Missing pages, and how often the head lists each.
    pages_missing: BTreeMap<Digest, u64>,
    /// Missing chunks, and how many bytes of the state each one is, since a chunk may be there several times.
    wanted: BTreeMap<Digest, u64>,
    bytes_held: u64,
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the state whose chunks are known and held.
    pub bytes_held: u64,
    /// Bytes of the state.
    pub bytes: u64,
    /// Pages that are still missing; what they list is not in `bytes_held`, held or not.
    pub pages_missing: usize,
    /// Chunks that are still missing, as far as pages tell.
    pub chunks_missing: usize,
}

impl SnapshotStore {
    /// Begins a transfer, durably, in place of an earlier one that was dropped. What that one had received counts.
    /// The caller has verified the certificate, or has its own reason to trust the head.
    ///
    /// # Errors
    /// [`SnapshotError::TransferOpen`]; [`SnapshotError::Contradiction`] or [`SnapshotError::ForeignCluster`] if the
    /// parts do not belong together; the disk's.
    pub fn begin_transfer(
        self: &Arc<Self>,
        head: StateHead,
        header: SignedHeader,
        certificate: Option<Arc<CheckpointCertificate>>,
    ) -> Result<Transfer, SnapshotError> {
        let target = Snapshot { head, header, certificate };
        target.check(&self.cluster, "the transfer's target")?;
        {
            let mut gate = self.gate();
            if gate.is_transfer_open {
                return Err(SnapshotError::TransferOpen);
            }
            self.chunks.disk.replace(TRANSFER, &target.encode(Kind::Transfer))?;
            gate.target = Some(Arc::new(target));
        }
        self.resume_transfer()?.ok_or(SnapshotError::TransferOpen)
    }

    /// How far the transfer is that was under way, if there is one, as far as its complete packs tell. Changes
    /// nothing, so it is for who inspects.
    ///
    /// # Errors
    /// As [`SnapshotStore::read`].
    pub fn unfinished_transfer(&self) -> Result<Option<(Arc<Snapshot>, Progress)>, SnapshotError> {
        let Some(target) = self.gate().target.clone() else { return Ok(None) };
        let mut progress =
            Progress { bytes_held: 0, bytes: target.head.bytes(), pages_missing: 0, chunks_missing: 0 };
        for id in target.head.pages() {
            if !self.has(&id.digest) {
                progress.pages_missing += 1;
                continue;
            }
            for chunk in self.page(&target, id)?.0.iter() {
                if self.has(&chunk.digest) {
                    progress.bytes_held += u64::from(chunk.bytes);
                } else {
                    progress.chunks_missing += 1;
                }
            }
        }
        Ok(Some((target, progress)))
    }

    /// Goes on with the transfer that was under way, if there is one.
    ///
    /// # Errors
    /// [`SnapshotError::TransferOpen`] if it is under way right now; [`SnapshotError::ChunkDamaged`]; the disk's.
    pub fn resume_transfer(self: &Arc<Self>) -> Result<Option<Transfer>, SnapshotError> {
        self.chunks.disk.check_writable()?;
        let target = {
            let mut gate = self.gate();
            let Some(target) = gate.target.clone() else { return Ok(None) };
            if gate.is_transfer_open {
                return Err(SnapshotError::TransferOpen);
            }
            gate.is_transfer_open = true;
            target
        };
        // From here on dropping it closes it.
        let mut pages_missing = BTreeMap::new();
        target.head.pages().for_each(|page| *pages_missing.entry(page.digest).or_default() += 1);
        let mut transfer = Transfer {
            store: self.clone(),
            packs: PackSet::new(self.chunks.clone()),
            pages_missing,
            wanted: BTreeMap::new(),
            bytes_held: 0,
            target: target.clone(),
        };
        for id in target.head.pages() {
            if transfer.pages_missing.contains_key(&id.digest) && self.has(&id.digest) {
                let page = transfer.read(&id.digest)?;
                transfer.learn_page(&id.digest, &page)?;
            }
        }
        Ok(Some(transfer))
    }
}

impl Transfer {
    /// What is being fetched.
    #[must_use]
    pub const fn target(&self) -> &Arc<Snapshot> {
        &self.target
    }

    /// Which of these chunks and pages are not held.
    #[must_use]
    pub fn missing(&self, ids: &[ChunkId]) -> Vec<ChunkId> {
        ids.iter().copied().filter(|id| self.packs.find(&id.digest).is_none()).collect()
    }

    /// Takes in a page of the target or a chunk that a page lists, and tells whether it was wanted. What is held or
    /// stands in no page is ignored, so that nobody fills the disk with junk.
    ///
    /// # Errors
    /// [`SnapshotError::WrongChunk`] is the sender's fault. [`SnapshotError::Contradiction`] is the target's.
    /// After [`SnapshotError::Full`] the transfer may go on when there is room.
    pub fn store(&mut self, id: &ChunkId, bytes: &Bytes) -> Result<bool, SnapshotError> {
        let is_page = self.pages_missing.contains_key(&id.digest);
        if !is_page && !self.wanted.contains_key(&id.digest) {
            return Ok(false);
        }
        if ChunkId::of(bytes) != *id {
            return Err(SnapshotError::WrongChunk(id.digest));
        }
        if self.packs.find(&id.digest).is_none() {
            self.packs.append(id, bytes)?;
        }
        self.bytes_held += self.wanted.remove(&id.digest).unwrap_or(0);
        if is_page {
            self.learn_page(&id.digest, bytes)?;
        }
        if is_page && self.pages_missing.is_empty() {
            // From now on it is known which chunks may go, as soon as the pages are known to all.
            self.packs.seal()?;
        }
        Ok(true)
    }

    /// Reads a page or chunk that is held.
    ///
    /// # Errors
    /// As [`SnapshotStore::read`].
    pub fn read(&mut self, digest: &Digest) -> Result<Bytes, SnapshotError> {
        self.packs.read(digest)
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            bytes_held: self.bytes_held,
            bytes: self.target.head.bytes(),
            pages_missing: self.pages_missing.len(),
            chunks_missing: self.wanted.len(),
        }
    }

    /// Makes the target visible; it is durable when this returns. Snapshots above it are removed before: an honest
    /// replica installs a state below its own only if its own has diverged (rule K2), and a restart must not
    /// begin with that. A crash leaves the old snapshots below it, or the new one as well.
    ///
    /// # Errors
    /// [`SnapshotError::Incomplete`]; [`SnapshotError::Contradiction`] if the head does not count its chunks right;
    /// the disk's. The transfer can then be resumed.
    pub fn install(mut self) -> Result<Arc<Snapshot>, SnapshotError> {
        self.packs.seal()?;
        self.store.check_complete(&self.target.head)?;
        let mut gate = self.store.gate();
        self.store.remove_where(&gate, |height| height > self.target.height())?;
        let installed = self.store.publish(&gate, (*self.target).clone())?;
        gate.target = None;
        // A target that comes back after a crash is seen to be installed.
        self.store.chunks.disk.remove(TRANSFER)?;
        Ok(installed)
    }

    /// Ends the transfer for good. What it received goes with the next [`SnapshotStore::retain`].
    ///
    /// # Errors
    /// The disk's.
    pub fn abandon(mut self) -> Result<(), SnapshotError> {
        self.packs.discard();
        let mut gate = self.store.gate();
        self.store.chunks.disk.remove(TRANSFER)?;
        gate.target = None;
        self.store.chunks.disk.sync_directory()
    }

    fn learn_page(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), SnapshotError> {
        let height = self.target.height();
        let page = Page::decode(bytes)
            .map_err(|_| SnapshotError::Contradiction { height, what: "a page is none" })?;
        let times = self.pages_missing.remove(digest).unwrap_or(0);
        for chunk in page.0.iter() {
            let bytes = u64::from(chunk.bytes).saturating_mul(times);
            if self.packs.find(&chunk.digest).is_some() {
                self.bytes_held += bytes;
            } else {
                *self.wanted.entry(chunk.digest).or_default() += bytes;
            }
        }
        Ok(())
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // Where this fails, a part of what came must come again.
        let _ = self.packs.seal();
        self.packs.discard();
        self.store.gate().is_transfer_open = false;
    }
}
