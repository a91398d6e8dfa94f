//! Where is a chunk? An index in memory over all packs, and the only way to read and write chunks.
//!
//! An entry costs about 75 bytes (48 of its own, the rest is the tree's), whatever the chunk's size is: 19 MB for
//! 1 GiB in chunks of 4 KiB, 1.2 MB in chunks of 64 KiB. The index also knows chunks that no snapshot needs any
//! more, as long as their packs exist: a state that comes back finds them.

use bytes::Bytes;
use quorate_types::state::Page;
use quorate_types::{ChunkId, Digest, Height};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::SnapshotError;
use super::files::{Disk, File};
use super::pack::{self, PackNumber, PackWriter};

/// Most packs that are held open.
const HANDLES_MAX: usize = 64;

/// Where a chunk lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub(super) pack: PackNumber,
    pub(super) offset: u32,
    pub(super) bytes: u32,
    /// The last round in which a snapshot needed it.
    round: u32,
}

/// All chunks in complete packs.
pub(super) struct Chunks {
    pub(super) disk: Disk,
    index: RwLock<Index>,
    handles: Mutex<VecDeque<(PackNumber, Arc<dyn File>)>>,
    next: AtomicU32,
}

#[derive(Default)]
struct Index {
    chunks: BTreeMap<Digest, Location>,
    /// The length of each pack's file.
    packs: BTreeMap<PackNumber, u64>,
    round: u32,
}

/// How much of a pack is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PackUse {
    /// The length of its file.
    pub(super) bytes: u64,
    /// Bytes in it for chunks that some snapshot needs.
    pub(super) live: u64,
}

impl Chunks {
    /// Reads the indexes of these packs. `next` is the first number that no pack ever had.
    pub(super) fn open(disk: Disk, packs: &[PackNumber], next: PackNumber) -> Result<Self, SnapshotError> {
        let mut index = Index::default();
        for number in packs {
            let (chunks, bytes) = pack::read_index(&disk, *number)?;
            index.add(*number, bytes, chunks, false);
        }
        Ok(Self { disk, index: RwLock::new(index), handles: Mutex::default(), next: AtomicU32::new(next) })
    }

    pub(super) fn find(&self, digest: &Digest) -> Option<Location> {
        self.index().chunks.get(digest).copied()
    }

    /// The bytes of a chunk, which have its digest.
    pub(super) fn read(&self, digest: &Digest) -> Result<Bytes, SnapshotError> {
        let (location, file) = {
            // The file is opened before the index can forget the pack; it is readable from then on.
            let index = self.index();
            let location = *index.chunks.get(digest).ok_or(SnapshotError::NoChunk(*digest))?;
            (location, self.handle(location.pack)?)
        };
        let name = pack::name(location.pack);
        let mut bytes = vec![0; location.bytes as usize];
        file.read_at(&mut bytes, u64::from(location.offset))
            .map_err(|e| SnapshotError::io(&name, "read", e))?;
        if ChunkId::of(&bytes).digest != *digest {
            return Err(SnapshotError::ChunkDamaged { digest: *digest, file: name });
        }
        Ok(bytes.into())
    }

    pub(super) fn page(&self, id: &ChunkId, height: Height) -> Result<Page, SnapshotError> {
        let bytes = self.read(&id.digest).map_err(|error| match error {
            SnapshotError::NoChunk(digest) => SnapshotError::Incomplete { height, digest },
            other => other,
        })?;
        Page::decode(&bytes).map_err(|_| SnapshotError::Contradiction { height, what: "a page is none" })
    }

    /// Begins a round: nothing is marked in it.
    pub(super) fn begin_round(&self) {
        let mut index = self.index_mut();
        index.round = index.round.wrapping_add(1);
    }

    /// Marks these chunks as needed by the snapshot at `height`.
    pub(super) fn mark(&self, height: Height, ids: &[ChunkId]) -> Result<(), SnapshotError> {
        let mut index = self.index_mut();
        let round = index.round;
        for id in ids {
            match index.chunks.get_mut(&id.digest) {
                Some(location) if location.bytes == id.bytes => location.round = round,
                Some(_) => {
                    return Err(SnapshotError::Contradiction { height, what: "a chunk has another length" });
                }
                None => return Err(SnapshotError::Incomplete { height, digest: id.digest }),
            }
        }
        Ok(())
    }

    /// Marks those of these chunks that are held.
    pub(super) fn mark_held(&self, ids: &[ChunkId]) {
        let mut index = self.index_mut();
        let round = index.round;
        for id in ids {
            if let Some(location) = index.chunks.get_mut(&id.digest) {
                location.round = round;
            }
        }
    }

    /// How much of each pack was marked in this round.
    pub(super) fn usage(&self) -> BTreeMap<PackNumber, PackUse> {
        let index = self.index();
        let empty = index.packs.iter().map(|(number, bytes)| (*number, PackUse { bytes: *bytes, live: 0 }));
        let mut usage: BTreeMap<_, _> = empty.collect();
        for location in index.chunks.values().filter(|location| location.round == index.round) {
            if let Some(pack) = usage.get_mut(&location.pack) {
                pack.live += pack::bytes_of(location.bytes);
            }
        }
        usage
    }

    /// The chunks in these packs that were marked in this round, in the order in which they lie.
    pub(super) fn marked_in(&self, packs: &[PackNumber]) -> Vec<Digest> {
        let index = self.index();
        let is_wanted = |location: &Location| location.round == index.round && packs.contains(&location.pack);
        let chosen = index.chunks.iter().filter(|(_, location)| is_wanted(location));
        let mut chunks: Vec<_> = chosen.map(|(digest, at)| (at.pack, at.offset, *digest)).collect();
        chunks.sort_unstable();
        chunks.into_iter().map(|(.., digest)| digest).collect()
    }

    /// Forgets packs and gives their space back.
    pub(super) fn remove(&self, packs: &[PackNumber]) -> Result<(), SnapshotError> {
        if packs.is_empty() {
            return Ok(());
        }
        {
            let mut index = self.index_mut();
            index.chunks.retain(|_, location| !packs.contains(&location.pack));
            index.packs.retain(|number, _| !packs.contains(number));
            self.handles().retain(|(number, _)| !packs.contains(number));
        }
        // A name that comes back after a crash is a pack of chunks that nobody needs.
        packs.iter().try_for_each(|number| self.disk.remove(&pack::name(*number)))
    }

    /// Chunks, packs and the bytes of their files.
    pub(super) fn totals(&self) -> (usize, usize, u64) {
        let index = self.index();
        (index.chunks.len(), index.packs.len(), index.packs.values().sum())
    }

    fn handle(&self, number: PackNumber) -> Result<Arc<dyn File>, SnapshotError> {
        let mut handles = self.handles();
        if let Some((_, file)) = handles.iter().find(|(other, _)| *other == number) {
            return Ok(file.clone());
        }
        let file = self.disk.open(&pack::name(number))?;
        handles.truncate(HANDLES_MAX - 1);
        handles.push_front((number, file.clone()));
        Ok(file)
    }

    // A thread that panicked cannot leave these halfway: each change is one call of a collection.

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn handles(&self) -> MutexGuard<'_, VecDeque<(PackNumber, Arc<dyn File>)>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Adds a pack. Of a chunk that lies twice, the new place counts if `moves`.
    fn add(
        &mut self,
        number: PackNumber,
        bytes: u64,
        chunks: impl IntoIterator<Item = (ChunkId, u32)>,
        moves: bool,
    ) {
        self.packs.insert(number, bytes);
        for (chunk, offset) in chunks {
            let new = Location { pack: number, offset, bytes: chunk.bytes, round: self.round };
            let place = self.chunks.entry(chunk.digest).or_insert(new);
            if moves {
                *place = new;
            }
        }
    }
}

/// Writes chunks into as many packs as it takes. A pack is known to all once it is complete and durable.
pub(super) struct PackSet {
    chunks: Arc<Chunks>,
    open: Option<PackWriter>,
    /// What lies in the open pack.
    own: BTreeMap<Digest, (u32, u32)>,
    moves: bool,
}

impl PackSet {
    /// For new chunks.
    pub(super) const fn new(chunks: Arc<Chunks>) -> Self {
        Self { chunks, open: None, own: BTreeMap::new(), moves: false }
    }

    /// For chunks that lie elsewhere and are to be read from here.
    pub(super) const fn moving(chunks: Arc<Chunks>) -> Self {
        Self { chunks, open: None, own: BTreeMap::new(), moves: true }
    }

    /// The length of a chunk that was written here or is held anyway.
    pub(super) fn find(&self, digest: &Digest) -> Option<u32> {
        let own = self.own.get(digest).map(|(_, bytes)| *bytes);
        own.or_else(|| self.chunks.find(digest).map(|location| location.bytes))
    }

    /// Appends a chunk.
    pub(super) fn append(&mut self, id: &ChunkId, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.chunks.disk.check_writable()?;
        if bytes.len() != id.bytes as usize || !pack::is_length(bytes.len()) {
            return Err(SnapshotError::ChunkLength(bytes.len()));
        }
        let writer = match &mut self.open {
            Some(writer) => writer,
            None => {
                let number = self.chunks.next.fetch_add(1, Ordering::Relaxed);
                self.open.insert(PackWriter::create(&self.chunks.disk, number)?)
            }
        };
        let offset = writer.append(id, bytes)?;
        self.own.insert(id.digest, (offset, id.bytes));
        if writer.is_full() { self.seal() } else { Ok(()) }
    }

    /// Reads a chunk that was written here or is held anyway.
    pub(super) fn read(&mut self, digest: &Digest) -> Result<Bytes, SnapshotError> {
        match (self.own.get(digest), &mut self.open) {
            (Some((offset, bytes)), Some(writer)) => writer.read(*offset, *bytes).map(Bytes::from),
            _ => self.chunks.read(digest),
        }
    }

    /// Makes everything durable and known. Where there is no room, it may be tried again.
    pub(super) fn seal(&mut self) -> Result<(), SnapshotError> {
        let Some(writer) = &mut self.open else { return Ok(()) };
        writer.seal(&self.chunks.disk)?;
        self.chunks.disk.sync_directory()?;
        let (located, bytes) = writer.located();
        self.chunks.index_mut().add(writer.number(), bytes, located, self.moves);
        self.open = None;
        self.own.clear();
        Ok(())
    }

    /// Drops the open pack and its file.
    pub(super) fn discard(&mut self) {
        self.own.clear();
        if let Some(writer) = self.open.take() {
            // What cannot be removed now is removed when the store is opened again.
            let _ = self.chunks.disk.remove(&super::files::temporary(&pack::name(writer.number())));
        }
    }
}
