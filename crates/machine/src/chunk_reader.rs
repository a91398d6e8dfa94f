//! How does a state come back from its chunks? One after the other, each checked as it is read.

use bytes::Bytes;
use quorate_types::state::{ChunkId, Content, Page};
use std::io;
use std::sync::Arc;

/// What holds chunks: a directory, memory.
pub trait ChunkSource {
    /// A chunk's bytes. Whoever asks checks them.
    ///
    /// # Errors
    /// `NotFound` if it is not there, and those of what is behind the source.
    fn read(&self, chunk: &ChunkId) -> io::Result<Bytes>;
}

impl<T: ChunkSource + ?Sized> ChunkSource for &T {
    fn read(&self, chunk: &ChunkId) -> io::Result<Bytes> {
        (**self).read(chunk)
    }
}

impl<T: ChunkSource + ?Sized> ChunkSource for Arc<T> {
    fn read(&self, chunk: &ChunkId) -> io::Result<Bytes> {
        (**self).read(chunk)
    }
}

/// A content's bytes, in order. Holds its list of pages, one page and one chunk.
///
/// Whoever trusts the content needs not trust the source: a chunk that is not what the content says ends
/// the reading with `InvalidData`, before any of its bytes is given.
#[derive(Debug)]
pub struct ChunkReader<S> {
    source: S,
    pages: std::vec::IntoIter<ChunkId>,
    chunks: std::vec::IntoIter<ChunkId>,
    chunk: Bytes,
    /// What the content claims and was not yet read.
    chunks_left: u64,
    bytes_left: u64,
}

impl<S: ChunkSource> ChunkReader<S> {
    /// Reads a content from its first byte.
    #[must_use]
    pub fn new(source: S, content: &Content) -> Self {
        Self {
            source,
            pages: content.pages.clone().into_vec().into_iter(),
            chunks: Vec::new().into_iter(),
            chunk: Bytes::new(),
            chunks_left: content.chunks,
            bytes_left: content.bytes,
        }
    }

    /// Moves to the next chunk; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(id) = self.next_chunk()? else {
            return match (self.chunks_left, self.bytes_left) {
                (0, 0) => Ok(false),
                _ => Err(damaged("the content ends before what it claims to hold")),
            };
        };
        let left = self.chunks_left.checked_sub(1).zip(self.bytes_left.checked_sub(id.bytes.into()));
        (self.chunks_left, self.bytes_left) =
            left.ok_or_else(|| damaged("the content lists more than it claims to hold"))?;
        self.chunk = self.read_checked(&id)?;
        Ok(true)
    }

    fn next_chunk(&mut self) -> io::Result<Option<ChunkId>> {
        if let Some(id) = self.chunks.next() {
            return Ok(Some(id));
        }
        let Some(page) = self.pages.next() else { return Ok(None) };
        let bytes = self.read_checked(&page)?;
        let page = Page::decode(&bytes).map_err(|_| damaged(&format!("{:?} is no page", page.digest)))?;
        // A page is never empty.
        self.chunks = page.0.into_vec().into_iter();
        Ok(self.chunks.next())
    }

    fn read_checked(&self, id: &ChunkId) -> io::Result<Bytes> {
        let bytes = self.source.read(id).map_err(|error| {
            io::Error::new(error.kind(), format!("chunk {:?} cannot be read: {error}", id.digest))
        })?;
        if ChunkId::of(&bytes) == *id {
            Ok(bytes)
        } else {
            Err(damaged(&format!("chunk {:?} has other bytes than its digest says", id.digest)))
        }
    }
}

impl<S: ChunkSource> io::Read for ChunkReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !buffer.is_empty() && !self.advance()? {
            return Ok(0);
        }
        let taken = self.chunk.split_to(buffer.len().min(self.chunk.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

fn damaged(sentence: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChunkSink as _, MemoryChunks, content_of_stream};
    use quorate_types::limited::Limited;
    use std::io::Read as _;

    fn bytes() -> Vec<u8> {
        (0..300_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    }

    fn kept() -> (MemoryChunks, Content) {
        let mut chunks = MemoryChunks::default();
        let content = content_of_stream(&mut chunks, |out| out.write_all(&bytes())).expect("memory takes it");
        (chunks, content)
    }

    fn read(source: impl ChunkSource, content: &Content) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        ChunkReader::new(source, content).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn a_content_comes_back_as_it_was_written() {
        let (chunks, content) = kept();
        assert!(content.chunks > 10);
        assert_eq!(read(&chunks, &content).expect("all there"), bytes());
        assert_eq!(read(&chunks, &Content::default()).expect("nothing"), []);
        let mut reader = ChunkReader::new(&chunks, &content);
        let mut byte = [0];
        assert_eq!(reader.read(&mut []).expect("nothing asked for"), 0);
        for expected in &bytes()[..70_000] {
            reader.read_exact(&mut byte).expect("not at the end");
            assert_eq!(byte[0], *expected);
        }
    }

    #[test]
    fn a_missing_chunk_is_named() {
        let (mut chunks, content) = kept();
        chunks.retain([]);
        let error = read(&chunks, &content).expect_err("nothing is there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("chunk "), "{error}");
    }

    /// Gives what it was asked for, changed.
    struct Liar<'a>(&'a MemoryChunks, fn(&mut Vec<u8>));
    impl ChunkSource for Liar<'_> {
        fn read(&self, chunk: &ChunkId) -> io::Result<Bytes> {
            let mut bytes = self.0.read(chunk)?.to_vec();
            self.1(&mut bytes);
            Ok(bytes.into())
        }
    }

    #[test]
    fn changed_cut_and_lengthened_chunks_are_refused() {
        let (chunks, content) = kept();
        let lies: [fn(&mut Vec<u8>); 4] =
            [|bytes| bytes[0] ^= 1, |bytes| bytes.truncate(5), |bytes| bytes.push(0), Vec::clear];
        for lie in lies {
            let error = read(Liar(&chunks, lie), &content).expect_err("not what was asked for");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }

    #[test]
    fn a_content_that_lies_about_itself_is_refused() {
        let (mut chunks, content) = kept();
        let no_page = chunks.chunk(b"no page").expect("memory takes it");
        let lies = [
            Content { bytes: content.bytes - 1, ..content.clone() },
            Content { bytes: content.bytes + 1, ..content.clone() },
            Content { chunks: content.chunks - 1, ..content.clone() },
            Content { chunks: content.chunks + 1, ..content.clone() },
            Content { pages: Limited::default(), ..content.clone() },
            Content { pages: Limited::take([no_page]), ..content.clone() },
        ];
        for lie in lies {
            let error = read(&chunks, &lie).expect_err("not what it claims");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
    }
}
