//! Which chunks is a state made of, and what digest stands for them all?

use quorate_types::Digest;
use quorate_types::state::{CHUNK_BYTES_MAX, ChunkId, Content, ContentBuilder, TooManyChunks};
use quorate_types::wire::canonical;
use std::io;

use crate::{Frozen, chunk_stream};

/// What takes the chunks of a state, in their order: a disk, a hasher, memory.
pub trait ChunkSink {
    /// Takes the next chunk, of 1 to [`CHUNK_BYTES_MAX`] bytes, and gives its id, [`ChunkId::of`] the bytes.
    ///
    /// # Errors
    /// Those of what is behind the sink.
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId>;

    /// Takes a chunk without its bytes, as unchanged since an earlier snapshot. `false` means that the
    /// sink does not hold it, and that the caller must give the bytes to [`ChunkSink::chunk`].
    ///
    /// # Errors
    /// Those of what is behind the sink.
    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool>;
}

/// Gives all chunks of a frozen state to `sink`, and after every full page of them that page, which is a
/// chunk too. Whoever holds the content finds the rest in what the sink holds.
///
/// # Errors
/// Those of the state and the sink; `InvalidInput` for a chunk of no or too many bytes, or for more chunks than
/// a [`Content`] lists.
pub fn content_of(frozen: Box<dyn Frozen>, sink: &mut dyn ChunkSink) -> io::Result<Content> {
    content_with(sink, |out| frozen.chunks(out))
}

/// The same for any bytes that are written one after the other, cut as [`chunk_stream`] does.
///
/// # Errors
/// Those of `write` and the sink; `InvalidInput` for more chunks than a [`Content`] lists.
pub fn content_of_stream(
    sink: &mut dyn ChunkSink,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<Content> {
    content_with(sink, |out| chunk_stream(out, write))
}

/// The application root: the digest of the content, computed without keeping anything.
///
/// # Errors
/// Those of [`content_of`].
pub fn root_of(frozen: Box<dyn Frozen>) -> io::Result<Digest> {
    content_of(frozen, &mut ChunkHasher::default()).map(|content| root_of_content(&content))
}

/// The application root of a state of this content.
#[must_use]
pub fn root_of_content(content: &Content) -> Digest {
    Digest::of_parts(ROOT_DOMAIN, &[&canonical(content)])
}

/// A sink that hashes and keeps nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkHasher {
    /// Whether it refuses [`ChunkSink::reuse`], so that every chunk is made and hashed again: what a test
    /// does that does not trust the ids which a machine remembers.
    pub all_bytes: bool,
}

impl ChunkSink for ChunkHasher {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        Ok(ChunkId::of(bytes))
    }

    fn reuse(&mut self, _: &ChunkId) -> io::Result<bool> {
        Ok(!self.all_bytes)
    }
}

fn content_with(
    sink: &mut dyn ChunkSink,
    give: impl FnOnce(&mut dyn ChunkSink) -> io::Result<()>,
) -> io::Result<Content> {
    let mut listing = Listing { sink, builder: ContentBuilder::default() };
    give(&mut listing)?;
    let Listing { sink, builder } = listing;
    let (content, last) = builder.finish().map_err(invalid)?;
    if let Some((id, page)) = last {
        give_page(sink, &id, &page)?;
    }
    Ok(content)
}

/// Passes chunks on and lists them.
struct Listing<'a> {
    sink: &'a mut dyn ChunkSink,
    builder: ContentBuilder,
}

impl Listing<'_> {
    fn list(&mut self, chunk: ChunkId) -> io::Result<()> {
        match self.builder.push(chunk).map_err(invalid)? {
            Some((id, page)) => give_page(self.sink, &id, &page),
            None => Ok(()),
        }
    }
}

impl ChunkSink for Listing<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        check_length(bytes.len())?;
        let id = self.sink.chunk(bytes)?;
        self.list(id)?;
        Ok(id)
    }

    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool> {
        check_length(chunk.bytes as usize)?;
        let is_held = self.sink.reuse(chunk)?;
        if is_held {
            self.list(*chunk)?;
        }
        Ok(is_held)
    }
}

/// A page that lists the same chunks as one before it moves no more than they do.
fn give_page(sink: &mut dyn ChunkSink, id: &ChunkId, page: &[u8]) -> io::Result<()> {
    if !sink.reuse(id)? {
        sink.chunk(page)?;
    }
    Ok(())
}

fn check_length(bytes: usize) -> io::Result<()> {
    if (1..=CHUNK_BYTES_MAX).contains(&bytes) {
        return Ok(());
    }
    let sentence = format!("a chunk has {bytes} bytes and not 1 to {CHUNK_BYTES_MAX}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, sentence))
}

fn invalid(error: TooManyChunks) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Puts chunks together again.
pub(crate) struct Joined<'a>(pub(crate) &'a mut dyn io::Write);

impl ChunkSink for Joined<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        self.0.write_all(bytes)?;
        // The state may remember it.
        Ok(ChunkId::of(bytes))
    }

    fn reuse(&mut self, _: &ChunkId) -> io::Result<bool> {
        Ok(false)
    }
}

const ROOT_DOMAIN: &str = "quorate application root";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryChunks;
    use quorate_types::state::{PAGE_CHUNKS_MAX, Page};

    /// Gives chunks of these lengths, all of other bytes.
    struct Lengths(Vec<usize>);
    impl Frozen for Lengths {
        fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
            for (number, length) in self.0.into_iter().enumerate() {
                let mut bytes = vec![0; length];
                bytes.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
                out.chunk(&bytes)?;
            }
            Ok(())
        }
    }

    #[test]
    fn a_content_finds_its_chunks_in_what_the_sink_holds() {
        let mut held = MemoryChunks::default();
        let frozen = Box::new(Lengths(vec![8; PAGE_CHUNKS_MAX + 3]));
        let content = content_of(frozen, &mut held).expect("memory takes it");
        assert_eq!((content.chunks, content.pages.len()), (PAGE_CHUNKS_MAX as u64 + 3, 2));
        let listed: Vec<ChunkId> = content
            .pages
            .iter()
            .map(|page| held.get(page).expect("the page was given"))
            .flat_map(|bytes| Page::decode(&bytes).expect("a page").0.into_vec())
            .collect();
        assert_eq!(listed.len(), PAGE_CHUNKS_MAX + 3);
        assert!(listed.iter().all(|chunk| held.get(chunk).is_some()));
    }

    #[test]
    fn a_chunk_of_no_or_too_many_bytes_is_refused() {
        for length in [0, CHUNK_BYTES_MAX + 1] {
            let error = root_of(Box::new(Lengths(vec![length]))).expect_err("no chunk");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        root_of(Box::new(Lengths(vec![1, CHUNK_BYTES_MAX]))).expect("both are allowed");
    }

    #[test]
    fn the_root_says_which_chunks_in_which_order_and_an_empty_state_has_one_too() {
        let root = |lengths: &[usize]| root_of(Box::new(Lengths(lengths.to_vec()))).expect("hashes");
        assert_eq!(root(&[8, 9]), root(&[8, 9]));
        assert_ne!(root(&[8, 9]), root(&[9, 8]));
        assert_ne!(root(&[8]), root(&[]));
    }

    /// Claims that its one chunk is an old one.
    struct Unchanged(ChunkId);
    impl Frozen for Unchanged {
        fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
            if !out.reuse(&self.0)? {
                out.chunk(b"the bytes")?;
            }
            Ok(())
        }
    }

    #[test]
    fn a_chunk_is_taken_without_its_bytes_only_from_a_sink_that_holds_it() {
        let id = ChunkId::of(b"the bytes");
        let mut held = MemoryChunks::default();
        let first = content_of(Box::new(Unchanged(id)), &mut held).expect("gives the bytes");
        assert!(held.get(&id).is_some());
        assert_eq!(content_of(Box::new(Unchanged(id)), &mut held).expect("reuses"), first);
        assert_eq!(content_of(Box::new(Unchanged(id)), &mut ChunkHasher::default()).expect("hashes"), first);
        let stale = Box::new(Unchanged(ChunkId::of(b"other")));
        let all_bytes = &mut ChunkHasher { all_bytes: true };
        assert_eq!(content_of(stale, all_bytes).expect("hashes"), first);
    }
}
