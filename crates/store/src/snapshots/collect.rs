//! Which chunks are needed no more, and how is their space given back without disturbing anybody?
//!
//! Chunks that a visible snapshot or the transfer's target lists are live. A pack without live chunks is removed.
//! A pack that is live by less than half is emptied into new packs, and so are small packs once there are many,
//! each of which some small change left. So packs take at most twice what is live, and a few small packs.
//!
//! A crash finds moved chunks in both places or in one: old packs are removed after new ones are durable. A reader
//! that opened an old pack reads on from it.

use quorate_types::ChunkId;
use std::collections::BTreeSet;

use super::chunks::PackUse;
use super::pack::PackNumber;
use super::{Gate, PackSet, Snapshot, SnapshotError, SnapshotStore};

/// A pack below this size is small.
const SMALL_BYTES: u64 = if cfg!(test) { 4 << 10 } else { 16 << 20 };
/// Most small packs that stay.
const SMALL_PACKS_MAX: usize = 16;

impl SnapshotStore {
    /// Gives space back, unless someone is choosing chunks right now.
    pub(super) fn collect(&self, gate: &Gate) -> Result<(), SnapshotError> {
        if !self.mark_live(gate)? {
            return Ok(());
        }
        self.remove_dead()?;
        let emptied = to_empty(self.chunks.usage());
        if emptied.is_empty() {
            return Ok(());
        }
        let mut packs = PackSet::moving(self.chunks.clone());
        let moved = self.move_live(&emptied, &mut packs);
        if moved.is_err() {
            packs.discard();
        }
        moved?;
        self.chunks.remove(&emptied)
    }

    /// As [`SnapshotStore::collect`], but moves nothing. What the snapshots need was marked in this round.
    pub(super) fn collect_dead(&self, gate: &Gate) -> Result<(), SnapshotError> {
        if self.mark_target(gate)? { self.remove_dead() } else { Ok(()) }
    }

    /// Marks what is needed; false if that is not known.
    fn mark_live(&self, gate: &Gate) -> Result<bool, SnapshotError> {
        if gate.writers > 0 {
            return Ok(false);
        }
        self.chunks.begin_round();
        // Snapshots share most pages. Marks do not tell which were read: an application's chunk may have the
        // bytes of a page.
        let mut read = BTreeSet::new();
        for height in self.heights() {
            if let Some(snapshot) = self.at(height) {
                let is_new = |page: &&ChunkId| read.insert(page.digest);
                self.mark_pages(&snapshot, snapshot.head.pages().filter(is_new))?;
            }
        }
        self.mark_target(gate)
    }

    /// Marks what a transfer needs; false if that is not known yet.
    fn mark_target(&self, gate: &Gate) -> Result<bool, SnapshotError> {
        let Some(target) = &gate.target else { return Ok(true) };
        if !target.head.pages().all(|page| self.has(&page.digest)) {
            return Ok(false);
        }
        for id in target.head.pages() {
            let page = self.page(target, id)?;
            self.chunks.mark_held(&[*id]);
            self.chunks.mark_held(&page.0);
        }
        Ok(true)
    }

    fn mark_pages<'a>(
        &self,
        snapshot: &Snapshot,
        pages: impl Iterator<Item = &'a ChunkId>,
    ) -> Result<(), SnapshotError> {
        for id in pages {
            let page = self.page(snapshot, id)?;
            self.chunks.mark(snapshot.height(), &[*id])?;
            self.chunks.mark(snapshot.height(), &page.0)?;
        }
        Ok(())
    }

    fn remove_dead(&self) -> Result<(), SnapshotError> {
        let usage = self.chunks.usage();
        let dead: Vec<_> = usage.iter().filter(|(_, pack)| pack.live == 0).map(|(n, _)| *n).collect();
        self.chunks.remove(&dead)
    }

    fn move_live(&self, emptied: &[PackNumber], packs: &mut PackSet) -> Result<(), SnapshotError> {
        for digest in self.chunks.marked_in(emptied) {
            let bytes = self.read(&digest)?;
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            packs.append(&ChunkId { digest, bytes: length }, &bytes)?;
        }
        packs.seal()
    }
}

/// Which packs are to be emptied.
fn to_empty(usage: impl IntoIterator<Item = (PackNumber, PackUse)>) -> Vec<PackNumber> {
    let (mut emptied, mut small) = (Vec::new(), Vec::new());
    for (number, pack) in usage {
        if pack.live.saturating_mul(2) < pack.bytes {
            emptied.push(number);
        } else if pack.bytes < SMALL_BYTES {
            small.push(number);
        }
    }
    if small.len() > SMALL_PACKS_MAX {
        emptied.append(&mut small);
    }
    emptied
}
