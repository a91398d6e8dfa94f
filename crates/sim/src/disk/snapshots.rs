//! Where does a simulated replica keep its states? One file each, with its chunks in the form in which they travel.
//!
//! A file counts once a second, empty one bears its name and the ending `.done`, which is made after the first is
//! durable and removed, durably, before it. So a state without its mark is remains of a crash, and one with it is whole or damaged.
//! Chunks that come in from others stand in one more file until their state is complete; nothing of that is known to be durable,
//! so each is hashed again at the start.

use bytes::Bytes;
use quorate_consensus::{RecoveredSnapshot, SnapshotOrder};
use quorate_store::{FaultyDisk, FaultyFiles, Files, is_full};
use quorate_types::certificate::SignedHeader;
use quorate_types::state::{Content, ContentBuilder, Page};
use quorate_types::wire::{canonical, from_canonical};
use quorate_types::{ChunkId, ClusterId, Digest, Height, StateHead};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::DiskError;
use crate::guards::{self, Guard};

/// Bytes per chunk: so few that even a small state has several.
const CHUNK_BYTES: usize = 16;
/// Where chunks of others stand until their state is complete.
const GATHERED: &str = "gathered";
/// Most bytes that stand there.
const GATHERED_BYTES_MAX: u64 = 256 << 10;
/// A chunk's digest and length before its bytes.
const ENTRY_BYTES: usize = 36;

/// The bytes of an application and of a session table.
type Contents = (Vec<u8>, Vec<u8>);

/// A replica's states.
#[derive(Debug)]
pub(crate) struct Snapshots {
    disk: FaultyDisk,
    files: FaultyFiles,
    /// Those that are durable.
    durable: BTreeMap<Height, (SignedHeader, Arc<StateHead>)>,
    chunks: BTreeMap<Digest, Place>,
    /// The state that is being gathered.
    target: Option<(Arc<StateHead>, SignedHeader)>,
    /// The length of what was gathered.
    gathered: u64,
    /// Bytes that came in for the target.
    taken: u64,
}

/// Where a chunk stands: in the state of a height, or among what is gathered.
#[derive(Clone, Copy, Debug)]
struct Place {
    state: Option<Height>,
    offset: u64,
    bytes: u32,
}

/// A state's chunks by their digests.
type Chunks = BTreeMap<Digest, Bytes>;

impl Snapshots {
    /// Reads what is there, and removes what a crash left.
    pub(crate) fn open(disk: &FaultyDisk) -> Result<Self, DiskError> {
        let mut snapshots = Self {
            disk: disk.clone(),
            files: disk.files(),
            durable: BTreeMap::new(),
            chunks: BTreeMap::new(),
            target: None,
            gathered: 0,
            taken: 0,
        };
        // What a process before this one could not make durable is durable now.
        snapshots.ask(|files| files.sync_directory())?;
        let names = snapshots.ask(|files| files.list())?;
        for name in &names {
            let height = |ending: &str| Some(Height(name.strip_suffix(ending)?.parse().ok()?));
            if let Some(height) = height(DONE) {
                snapshots.read_state(height)?;
            } else if height(STATE).is_some_and(|height| !names.contains(&named(height, DONE))) {
                snapshots.ask(|files| files.remove(name))?;
            } else if name == GATHERED {
                snapshots.read_gathered()?;
            }
        }
        Ok(snapshots)
    }

    /// Writes a state; it is a snapshot once [`Self::become_durable`] is called.
    pub(crate) fn write(
        &mut self,
        order: &SnapshotOrder,
        configuration: ClusterId,
        application: &[u8],
    ) -> Result<StateHead, DiskError> {
        let mut sessions = Vec::new();
        order.sessions.write(&mut sessions).expect("memory takes it");
        let mut chunks = Chunks::new();
        let head = StateHead {
            configuration,
            height: order.header.header.height,
            result_root: order.result_root,
            sessions: cut(&sessions, &mut chunks),
            application: cut(application, &mut chunks),
        };
        let is_known = self.durable.get(&head.height).is_some_and(|(_, known)| **known == head);
        if !is_known {
            self.remove(head.height)?;
            self.write_state(&order.header, &head, &chunks)?;
        }
        Ok(head)
    }

    /// A snapshot that was written is there after a crash from now on.
    pub(crate) fn become_durable(
        &mut self,
        header: SignedHeader,
        head: &Arc<StateHead>,
        guard: Guard,
    ) -> Result<(), DiskError> {
        if self.durable.contains_key(&head.height) {
            return Ok(());
        }
        let (state, done) = (named(head.height, STATE), named(head.height, DONE));
        if !guards::is_removed(guard) {
            self.ask(|files| files.sync(&state))?;
            self.ask(|files| files.sync_directory())?;
        }
        self.ask(|files| files.create(&done))?;
        if !guards::is_removed(guard) {
            self.ask(|files| files.sync_directory())?;
        }
        self.read_entries(&state, Some(head.height))?;
        self.durable.insert(head.height, (header, Arc::clone(head)));
        Ok(())
    }

    /// Begins to gather a state; what was gathered before may be of use.
    pub(crate) fn begin(&mut self, head: Arc<StateHead>, header: SignedHeader) -> Result<(), DiskError> {
        if self.gathered > GATHERED_BYTES_MAX {
            self.forget_gathered()?;
        }
        (self.target, self.taken) = (Some((head, header)), 0);
        Ok(())
    }

    /// Gives up the state that is gathered, and what was gathered of it.
    pub(crate) fn abandon(&mut self) -> Result<(), DiskError> {
        self.target = None;
        self.forget_gathered()
    }

    /// The chunks of a page that are not there; `None` if the page itself is not.
    pub(crate) fn look_into(&mut self, page: &ChunkId) -> Result<Option<Vec<ChunkId>>, DiskError> {
        let Some(bytes) = self.chunk(&page.digest)? else { return Ok(None) };
        let Ok(page) = Page::decode(&bytes) else { return Ok(None) };
        let missing = page.0.iter().filter(|chunk| !self.chunks.contains_key(&chunk.digest));
        Ok(Some(missing.copied().collect()))
    }

    /// Keeps a chunk of the state that is gathered. Gives how many bytes came in for it, and how many it has.
    pub(crate) fn store(&mut self, chunk: &ChunkId, bytes: &[u8]) -> Result<(u64, u64), DiskError> {
        if self.gathered == 0 {
            self.ask(|files| files.create(GATHERED))?;
        }
        let (mut entry, offset) = (Vec::new(), self.gathered);
        push_entry(&mut entry, &chunk.digest, bytes);
        self.ask(|files| files.write(GATHERED, offset, &mut [IoSlice::new(&entry)]))?;
        self.gathered += entry.len() as u64;
        let place = Place { state: None, offset: offset + ENTRY_BYTES as u64, bytes: chunk.bytes };
        self.chunks.insert(chunk.digest, place);
        self.taken += u64::from(chunk.bytes);
        let bytes = self.target.as_ref().map_or(0, |(head, _)| {
            head.bytes() + head.pages().map(|page| u64::from(page.bytes)).sum::<u64>()
        });
        Ok((self.taken, bytes))
    }

    /// The bytes of a chunk, which have its digest; `None` if it is not there.
    pub(crate) fn chunk(&mut self, digest: &Digest) -> Result<Option<Bytes>, DiskError> {
        let Some(place) = self.chunks.get(digest).copied() else { return Ok(None) };
        let name = place.state.map_or_else(|| GATHERED.to_owned(), |height| named(height, STATE));
        let mut bytes = vec![0; place.bytes as usize];
        self.ask(|files| files.read(&name, place.offset, &mut bytes))?;
        if ChunkId::of(&bytes).digest != *digest && !guards::is_removed(Guard::DigestOfChunks) {
            return Err(DiskError::Damaged(format!("chunk {digest} in {name} is not what was written")));
        }
        Ok(Some(bytes.into()))
    }

    /// The state that was gathered becomes a snapshot: its application's and its session table's bytes, unless a
    /// chunk is missing.
    pub(crate) fn install(&mut self, head: &Arc<StateHead>) -> Result<Option<Contents>, DiskError> {
        let Some((gathered, header)) = self.target.take() else { return Ok(None) };
        let (application, sessions) = (self.read(&gathered.application)?, self.read(&gathered.sessions)?);
        let Some(contents) = application.zip(sessions) else { return Ok(None) };
        let mut chunks = Chunks::new();
        let contents_again = [&gathered.sessions, &gathered.application];
        for page in contents_again.iter().flat_map(|content| content.pages.iter()) {
            let listed = self.chunk(&page.digest)?.unwrap_or_default();
            for chunk in Page::decode(&listed).iter().flat_map(|page| page.0.iter()) {
                chunks.insert(chunk.digest, self.chunk(&chunk.digest)?.unwrap_or_default());
            }
            chunks.insert(page.digest, listed);
        }
        // What is durable already stays as it is: it may have been vouched for.
        let is_known = self.durable.get(&head.height).is_some_and(|(_, known)| known == head);
        if !is_known {
            self.remove(head.height)?;
            self.write_state(&header, head, &chunks)?;
            self.become_durable(header, head, Guard::SyncOfInstall)?;
        }
        self.forget_gathered()?;
        Ok(Some(contents))
    }

    /// The newest snapshot between two heights, with its application's bytes.
    pub(crate) fn newest(
        &mut self,
        (lowest, highest): (Height, Height),
    ) -> Result<Option<(RecoveredSnapshot, Vec<u8>)>, DiskError> {
        let newest = self.durable.range(lowest..=highest).next_back().map(|(_, newest)| newest.clone());
        let Some((header, head)) = newest else { return Ok(None) };
        let (application, sessions) = (self.read(&head.application)?, self.read(&head.sessions)?);
        let Some((application, sessions)) = application.zip(sessions) else {
            let what = format!("the state of height {} lacks a chunk", head.height);
            return Err(DiskError::Damaged(what));
        };
        Ok(Some((RecoveredSnapshot { header, head, sessions: sessions.into() }, application)))
    }

    /// Drops the snapshots below a height, and what was gathered and is of no use. Gives how many are left.
    pub(crate) fn forget_below(&mut self, height: Height) -> Result<u64, DiskError> {
        let old: Vec<Height> = self.durable.range(..height).map(|(height, _)| *height).collect();
        for height in old {
            self.remove(height)?;
        }
        if self.target.is_none() {
            self.forget_gathered()?;
        }
        Ok(self.durable.len() as u64)
    }

    /// The roots of the snapshots that are durable.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (Height, Digest)> + '_ {
        self.durable.iter().map(|(height, (_, head))| (*height, head.root()))
    }

    fn read(&mut self, content: &Content) -> Result<Option<Vec<u8>>, DiskError> {
        let mut bytes = Vec::new();
        for page in content.pages.iter() {
            let Some(page) = self.chunk(&page.digest)? else { return Ok(None) };
            let Ok(page) = Page::decode(&page) else { return Ok(None) };
            for chunk in page.0.iter() {
                let Some(chunk) = self.chunk(&chunk.digest)? else { return Ok(None) };
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok(Some(bytes))
    }

    fn write_state(
        &mut self,
        header: &SignedHeader,
        head: &StateHead,
        chunks: &Chunks,
    ) -> Result<(), DiskError> {
        let manifest = canonical(&(header, head));
        let mut bytes = Vec::new();
        push_entry(&mut bytes, &ChunkId::of(&manifest).digest, &manifest);
        for (digest, chunk) in chunks {
            push_entry(&mut bytes, digest, chunk);
        }
        let name = named(head.height, STATE);
        self.ask(|files| files.create(&name))?;
        self.ask(|files| files.write(&name, 0, &mut [IoSlice::new(&bytes)]))
    }

    /// Removes the state of a height, if there is one, durable or not.
    fn remove(&mut self, height: Height) -> Result<(), DiskError> {
        if self.durable.remove(&height).is_some() {
            self.ask(|files| files.remove(&named(height, DONE)))?;
            self.ask(|files| files.sync_directory())?;
        }
        let state = named(height, STATE);
        if self.ask(|files| files.list())?.contains(&state) {
            self.ask(|files| files.remove(&state))?;
        }
        self.chunks.retain(|_, place| place.state != Some(height));
        let others: Vec<Height> = self.durable.keys().copied().collect();
        for other in others {
            // What only stood in the index as the removed file's may stand in these too.
            self.read_entries(&named(other, STATE), Some(other))?;
        }
        Ok(())
    }

    fn forget_gathered(&mut self) -> Result<(), DiskError> {
        if self.gathered > 0 {
            self.ask(|files| files.remove(GATHERED))?;
            self.gathered = 0;
            self.chunks.retain(|_, place| place.state.is_some());
        }
        Ok(())
    }

    /// Reads a state that bears the mark.
    fn read_state(&mut self, height: Height) -> Result<(), DiskError> {
        let name = named(height, STATE);
        let damaged = || DiskError::Damaged(format!("{name} had been durable and is not intact"));
        let manifest = self.read_entries(&name, Some(height))?.ok_or_else(damaged)?;
        let manifest: (SignedHeader, StateHead) = from_canonical(&manifest).map_err(|_| damaged())?;
        if manifest.1.height != height {
            return Err(damaged());
        }
        self.durable.insert(height, (manifest.0, Arc::new(manifest.1)));
        Ok(())
    }

    /// What was gathered counts as far as it is intact.
    fn read_gathered(&mut self) -> Result<(), DiskError> {
        let length = self.ask(|files| files.length(GATHERED))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.ask(|files| files.read(GATHERED, 0, &mut bytes))?;
        let mut intact = 0;
        for (digest, offset, entry) in entries(&bytes) {
            if ChunkId::of(entry).digest != digest {
                break;
            }
            let place = Place { state: None, offset, bytes: entry.len() as u32 };
            self.chunks.entry(digest).or_insert(place);
            intact = offset + entry.len() as u64;
        }
        self.gathered = intact;
        if intact == 0 {
            self.ask(|files| files.remove(GATHERED))?;
        }
        Ok(())
    }

    /// Notes where a file's chunks stand, and gives its first entry if that is intact.
    fn read_entries(&mut self, name: &str, state: Option<Height>) -> Result<Option<Bytes>, DiskError> {
        if !self.ask(|files| files.list())?.iter().any(|known| known == name) {
            return Ok(None);
        }
        let length = self.ask(|files| files.length(name))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.ask(|files| files.read(name, 0, &mut bytes))?;
        let mut first = None;
        for (number, (digest, offset, entry)) in entries(&bytes).enumerate() {
            if number == 0 {
                let is_intact = ChunkId::of(entry).digest == digest;
                first = is_intact.then(|| Bytes::copy_from_slice(entry));
            } else {
                let place = Place { state, offset, bytes: entry.len() as u32 };
                // A chunk that is gathered may not outlive that.
                let known = self.chunks.entry(digest).or_insert(place);
                if known.state.is_none() {
                    *known = place;
                }
            }
        }
        Ok(first)
    }

    /// Asks the disk for something.
    fn ask<T>(&mut self, what: impl FnOnce(&mut FaultyFiles) -> io::Result<T>) -> Result<T, DiskError> {
        what(&mut self.files).map_err(|error| {
            if self.disk.is_off() {
                DiskError::PowerLost
            } else if is_full(&error) {
                DiskError::Full(format!("no room for a state: {error}"))
            } else if error.kind() == io::ErrorKind::UnexpectedEof {
                DiskError::Damaged("a state's file is shorter than it was".to_owned())
            } else {
                DiskError::Failed(format!("the disk fails the states: {error}"))
            }
        })
    }
}

/// Cuts a content into chunks.
fn cut(bytes: &[u8], chunks: &mut Chunks) -> Content {
    let mut builder = ContentBuilder::default();
    for part in bytes.chunks(CHUNK_BYTES) {
        let id = ChunkId::of(part);
        chunks.entry(id.digest).or_insert_with(|| Bytes::copy_from_slice(part));
        let page = builder.push(id).expect("a simulated state is small");
        chunks.extend(page.map(|(id, bytes)| (id.digest, bytes)));
    }
    let (content, last) = builder.finish().expect("a simulated state is small");
    chunks.extend(last.map(|(id, bytes)| (id.digest, bytes)));
    content
}

fn push_entry(to: &mut Vec<u8>, digest: &Digest, bytes: &[u8]) {
    to.extend_from_slice(&digest.0);
    to.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    to.extend_from_slice(bytes);
}

/// The entries of a file, as far as their lengths lead: digest, offset and bytes.
fn entries(file: &[u8]) -> impl Iterator<Item = (Digest, u64, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = file.get(at..)?;
        let digest = Digest(*rest.first_chunk()?);
        let length = u32::from_le_bytes(*rest.get(32..)?.first_chunk()?) as usize;
        let bytes = rest.get(ENTRY_BYTES..)?.get(..length)?;
        let offset = at + ENTRY_BYTES;
        at = offset + length;
        Some((digest, offset as u64, bytes))
    })
}

fn named(height: Height, ending: &str) -> String {
    format!("{:012}{ending}", height.0)
}

const STATE: &str = ".state";
const DONE: &str = ".done";
