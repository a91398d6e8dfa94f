//! How do chunks live in memory? Once each, until no state lists them any more.

use bytes::Bytes;
use quorate_types::Digest;
use quorate_types::state::{ChunkId, Content, Page};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::{ChunkSink, ChunkSource};

/// Chunks in memory, for simulators and tests: what a directory of chunks is on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryChunks(BTreeMap<Digest, Bytes>);

impl MemoryChunks {
    /// Keeps a chunk or page.
    pub fn insert(&mut self, bytes: Bytes) -> ChunkId {
        let id = ChunkId::of(&bytes);
        self.0.insert(id.digest, bytes);
        id
    }

    /// The chunk of this digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Bytes> {
        self.0.get(digest).cloned()
    }

    /// A chunk's bytes.
    #[must_use]
    pub fn get(&self, chunk: &ChunkId) -> Option<Bytes> {
        self.0.get(&chunk.digest).filter(|bytes| bytes.len() == chunk.bytes as usize).cloned()
    }

    /// Drops everything that none of these contents lists. What a missing page would list is dropped too.
    pub fn retain<'a>(&mut self, contents: impl IntoIterator<Item = &'a Content>) {
        let mut reachable = BTreeSet::new();
        for page in contents.into_iter().flat_map(|content| content.pages.iter()) {
            if reachable.insert(page.digest)
                && let Some(Ok(page)) = self.get(page).map(|bytes| Page::decode(&bytes))
            {
                reachable.extend(page.0.iter().map(|chunk| chunk.digest));
            }
        }
        self.0.retain(|digest, _| reachable.contains(digest));
    }

    /// How many chunks and pages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all chunks and pages.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|bytes| bytes.len() as u64).sum()
    }
}

impl ChunkSink for MemoryChunks {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        let id = ChunkId::of(bytes);
        self.0.entry(id.digest).or_insert_with(|| Bytes::copy_from_slice(bytes));
        Ok(id)
    }

    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool> {
        Ok(self.get(chunk).is_some())
    }
}

impl ChunkSource for MemoryChunks {
    fn read(&self, chunk: &ChunkId) -> io::Result<Bytes> {
        self.get(chunk).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content_of_stream;

    fn keep(chunks: &mut MemoryChunks, bytes: &[u8]) -> Content {
        content_of_stream(chunks, |out| out.write_all(bytes)).expect("memory takes it")
    }

    #[test]
    fn a_chunk_stays_as_long_as_one_content_lists_it() {
        let mut chunks = MemoryChunks::default();
        let first = keep(&mut chunks, &[1; 100_000]);
        let alone = chunks.clone();
        let second = keep(&mut chunks, &[&[1; 65_536][..], &[2; 100]].concat());
        chunks.retain([&first, &second]);
        assert_eq!(chunks.len(), 5, "two pages, the chunk in both, and the ends");
        let pages: u64 =
            first.pages.iter().chain(second.pages.iter()).map(|page| u64::from(page.bytes)).sum();
        assert_eq!(chunks.bytes(), 65_536 + 34_464 + 100 + pages);
        chunks.retain([&first]);
        assert_eq!(chunks, alone);
        chunks.retain([]);
        assert!(chunks.is_empty());
    }
}
