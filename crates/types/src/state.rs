//! What is a state, as replicas vouch for it, keep it and hand it to each other? Chunks under one root
//! (rules K1, K3).
//!
//! A state is two runs of bytes, the session table's and the application's, each cut into chunks. A page
//! lists chunks, a [`Content`] lists pages, and the [`StateHead`] holds both contents. Everything below the
//! head is found and checked by its digest, so a chunk that two states share is kept and sent once, and
//! whoever has a certified root needs to trust nobody about the rest.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limited::Limited;
use crate::wire::{canonical, from_canonical};
use crate::{ClusterId, Digest, Height, Rejection};

/// Most bytes in one chunk.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Most chunks that one page lists.
pub const PAGE_CHUNKS_MAX: usize = 1024;
/// Most pages of one content: 16 million chunks.
pub const PAGES_MAX: usize = 16_384;

/// A chunk's digest and length. Pages are chunks too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its length in bytes, at most [`CHUNK_BYTES_MAX`].
    pub bytes: u32,
}

impl ChunkId {
    /// The id of these bytes. Chunks longer than [`CHUNK_BYTES_MAX`] are nobody's: their length is capped
    /// here and refused where they are read.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = Digest::of_parts(CHUNK_DOMAIN, &[bytes]);
        Self { digest, bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }
}

/// A list of chunks in the order of the content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page(pub Limited<ChunkId, PAGE_CHUNKS_MAX>);

impl Page {
    /// Its bytes, which are a chunk.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        canonical(self).into()
    }

    /// Reads a page.
    ///
    /// # Errors
    /// A decoding error, or [`Rejection::Malformed`] if it is empty or lists a chunk of no or too many bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Rejection> {
        let page: Self = from_canonical(bytes)?;
        let is_sane = |chunk: &ChunkId| (1..=CHUNK_BYTES_MAX).contains(&(chunk.bytes as usize));
        if page.0.is_empty() || !page.0.iter().all(is_sane) {
            return Err(Rejection::Malformed);
        }
        Ok(page)
    }
}

/// A run of bytes, as a list of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The sum of its chunks' bytes.
    pub bytes: u64,
    /// How many chunks it has.
    pub chunks: u64,
    /// Its pages. All but the last list [`PAGE_CHUNKS_MAX`] chunks.
    pub pages: Limited<ChunkId, PAGES_MAX>,
}

/// What a checkpoint's state root is the digest of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHead {
    /// The configuration: the cluster's genesis.
    pub configuration: ClusterId,
    /// The block after which the state is.
    pub height: Height,
    /// The result root of that block.
    pub result_root: Digest,
    /// The session table.
    pub sessions: Content,
    /// The application's state.
    pub application: Content,
}

impl StateHead {
    /// The state root that checkpoint votes sign.
    #[must_use]
    pub fn root(&self) -> Digest {
        Digest::of_parts(STATE_DOMAIN, &[&canonical(self)])
    }
    /// All pages, the session table's first.
    pub fn pages(&self) -> impl Iterator<Item = &ChunkId> {
        self.sessions.pages.iter().chain(self.application.pages.iter())
    }
    /// Bytes of both contents.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.sessions.bytes.saturating_add(self.application.bytes)
    }
    /// Chunks of both contents, without pages.
    #[must_use]
    pub const fn chunks(&self) -> u64 {
        self.sessions.chunks.saturating_add(self.application.chunks)
    }
}

/// Puts chunks together to a [`Content`].
#[derive(Clone, Debug, Default)]
pub struct ContentBuilder {
    content: Content,
    pages: Vec<ChunkId>,
    page: Vec<ChunkId>,
}

/// The state has more chunks than a [`Content`] can list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state has more than {} chunks; make its chunks larger",
    PAGES_MAX * PAGE_CHUNKS_MAX
)]
pub struct TooManyChunks;

impl ContentBuilder {
    /// Adds the next chunk. Gives a page with its id once it is full, to be kept like a chunk.
    ///
    /// # Errors
    /// [`TooManyChunks`].
    pub fn push(&mut self, chunk: ChunkId) -> Result<Option<(ChunkId, Bytes)>, TooManyChunks> {
        self.content.bytes += u64::from(chunk.bytes);
        self.content.chunks += 1;
        self.page.push(chunk);
        if self.page.len() < PAGE_CHUNKS_MAX { Ok(None) } else { self.close_page().map(Some) }
    }

    /// The content, and its last page unless that was given already.
    ///
    /// # Errors
    /// [`TooManyChunks`].
    pub fn finish(mut self) -> Result<(Content, Option<(ChunkId, Bytes)>), TooManyChunks> {
        let last = if self.page.is_empty() { None } else { Some(self.close_page()?) };
        self.content.pages = Limited::take(self.pages);
        Ok((self.content, last))
    }

    fn close_page(&mut self) -> Result<(ChunkId, Bytes), TooManyChunks> {
        if self.pages.len() == PAGES_MAX {
            return Err(TooManyChunks);
        }
        let bytes = Page(Limited::take(self.page.drain(..))).encode();
        let id = ChunkId::of(&bytes);
        self.pages.push(id);
        Ok((id, bytes))
    }
}

const CHUNK_DOMAIN: &str = "quorate state chunk";
const STATE_DOMAIN: &str = "quorate state";

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(number: usize) -> ChunkId {
        ChunkId::of(&number.to_le_bytes())
    }

    fn build(count: usize) -> (Content, Vec<(ChunkId, Bytes)>) {
        let mut builder = ContentBuilder::default();
        let mut pages = Vec::new();
        for number in 0..count {
            pages.extend(builder.push(chunk(number)).expect("few chunks"));
        }
        let (content, last) = builder.finish().expect("few chunks");
        pages.extend(last);
        (content, pages)
    }

    #[test]
    fn a_content_lists_every_chunk_in_order_over_full_pages() {
        for count in [0, 1, PAGE_CHUNKS_MAX, PAGE_CHUNKS_MAX + 1, 3 * PAGE_CHUNKS_MAX] {
            let (content, pages) = build(count);
            assert_eq!(content.chunks, count as u64);
            assert_eq!(content.bytes, 8 * count as u64);
            assert_eq!(content.pages.len(), count.div_ceil(PAGE_CHUNKS_MAX));
            assert!(content.pages.iter().eq(pages.iter().map(|(id, _)| id)));
            let listed =
                pages.iter().flat_map(|(_, bytes)| Page::decode(bytes).expect("a page").0.into_vec());
            assert!(listed.eq((0..count).map(chunk)));
        }
    }

    #[test]
    fn every_field_of_the_head_is_under_the_root() {
        let (content, _) = build(3);
        let head = StateHead { height: Height(4), application: content.clone(), ..StateHead::default() };
        let others = [
            StateHead { configuration: Digest([1; 32]), ..head.clone() },
            StateHead { height: Height(5), ..head.clone() },
            StateHead { result_root: Digest([1; 32]), ..head.clone() },
            StateHead { sessions: content, ..head.clone() },
            StateHead { application: Content::default(), ..head.clone() },
        ];
        for other in others {
            assert_ne!(other.root(), head.root());
        }
    }

    #[test]
    fn a_page_that_lists_nothing_or_impossible_chunks_is_refused() {
        let of = |chunks: Vec<ChunkId>| Page(Limited::take(chunks)).encode();
        assert!(Page::decode(&of(vec![chunk(1)])).is_ok());
        assert_eq!(Page::decode(&of(Vec::new())), Err(Rejection::Malformed));
        for bytes in [0, CHUNK_BYTES_MAX as u32 + 1] {
            assert_eq!(Page::decode(&of(vec![ChunkId { bytes, ..chunk(1) }])), Err(Rejection::Malformed));
        }
        assert!(Page::decode(&[&of(vec![chunk(1)])[..], &[0]].concat()).is_err());
    }
}
