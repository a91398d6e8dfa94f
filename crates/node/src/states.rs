//! Where does a replica keep its states (rules K1, K3)? On its disk, or in this process where nothing has to
//! survive it: the same operations.

mod disk;
mod memory;

use bytes::Bytes;
use quorate_machine::{ChunkReader, ChunkSink, ChunkSource};
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::state::Content;
use quorate_types::{ChunkId, Digest, Height, StateHead};
use std::io;
use std::sync::Arc;

pub(crate) use disk::DiskStates;
pub(crate) use memory::MemoryStates;

/// A durable snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) header: SignedHeader,
    pub(crate) head: Arc<StateHead>,
}

/// A snapshot that was written, and what it added to what was held.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) head: Arc<StateHead>,
    pub(crate) chunks_new: u64,
    pub(crate) bytes_new: u64,
}

/// What is written of a new snapshot: gives its chunks to the sink and then its head.
pub(crate) type Write<'a> = &'a mut dyn FnMut(&mut dyn ChunkSink) -> io::Result<StateHead>;

/// A replica's states. One thread at a time changes them; any may read. Errors are sentences for the operator.
pub(crate) trait States: Send + Sync + std::fmt::Debug {
    /// The newest snapshot between two heights, both included.
    fn newest(&self, lowest: Height, highest: Height) -> Result<Option<Snapshot>, String>;

    /// Writes a snapshot, which is durable when this returns.
    fn write(&self, header: SignedHeader, write: Write<'_>) -> Result<Written, String>;

    /// A chunk or page, if it is held.
    fn chunk(&self, digest: &Digest) -> Result<Option<Bytes>, String>;

    /// Begins to gather a state, or goes on.
    fn begin(&self, head: &StateHead, header: SignedHeader) -> Result<(), String>;

    /// Forgets the state that is gathered.
    fn abandon(&self) -> Result<(), String>;

    /// Which chunks of a page of the gathered state are missing; `None` if the page is.
    fn look_into(&self, page: &ChunkId) -> Result<Option<Vec<ChunkId>>, String>;

    /// Keeps a chunk of the gathered state.
    fn store(&self, id: &ChunkId, bytes: &Bytes) -> Result<(), String>;

    /// The gathered state, which is complete, becomes a durable snapshot.
    fn install(&self) -> Result<(), String>;

    /// Puts a certificate beside its snapshot.
    fn certify(&self, certificate: Arc<CheckpointCertificate>) -> Result<(), String>;

    /// Drops the snapshots below a height.
    fn retain_from(&self, height: Height) -> Result<(), String>;

    /// Bytes that all snapshots take.
    fn bytes(&self) -> u64;
}

/// The bytes of a content, in their order, each chunk checked.
pub(crate) fn reader(states: &Arc<dyn States>, content: &Content) -> impl io::Read + Send + use<> {
    ChunkReader::new(Chunks(Arc::clone(states)), content)
}

struct Chunks(Arc<dyn States>);

impl ChunkSource for Chunks {
    fn read(&self, chunk: &ChunkId) -> io::Result<Bytes> {
        let missing = || io::Error::other(format!("the chunk {} is missing", chunk.digest));
        self.0.chunk(&chunk.digest).map_err(io::Error::other)?.ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests;
