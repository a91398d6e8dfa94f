//! Where is a run of bytes cut into chunks? Where its own bytes say so, so that a small change moves few.

use fastcdc::v2020::{Normalization, cut, select_masks};
use std::io;

use crate::ChunkSink;

/// Cuts whatever `write` writes into chunks for `out`.
///
/// The cuts depend on the bytes alone, not on how they are written, and after a change they fall into the
/// old places again within a few chunks. Holds a quarter of a megabyte at most.
///
/// # Errors
/// Those of `write` and of `out`.
pub fn chunk_stream(
    out: &mut dyn ChunkSink,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunker =
        Chunker { out, masks: select_masks(AVERAGE, Normalization::Level1), pending: Vec::new() };
    write(&mut chunker)?;
    chunker.give(1)
}

struct Chunker<'a> {
    out: &'a mut dyn ChunkSink,
    masks: (u64, u64),
    /// What was written and not yet given.
    pending: Vec<u8>,
}

impl Chunker<'_> {
    /// Gives chunks as long as `least` bytes are pending.
    fn give(&mut self, least: usize) -> io::Result<()> {
        let (strict, relaxed) = self.masks;
        let mut rest = &self.pending[..];
        while rest.len() >= least {
            let (_, length) =
                cut(rest, SHORTEST, AVERAGE, LONGEST, strict, relaxed, strict << 1, relaxed << 1);
            let (chunk, after) = rest.split_at(length);
            self.out.chunk(chunk)?;
            rest = after;
        }
        let given = self.pending.len() - rest.len();
        self.pending.drain(..given);
        Ok(())
    }
}

impl io::Write for Chunker<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() == PENDING_MAX {
            // A cut looks no further than the longest chunk, so with fewer bytes it might fall elsewhere.
            self.give(LONGEST)?;
        }
        let taken = bytes.len().min(PENDING_MAX - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Does nothing: a chunk that ended here would depend on when it was asked for.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// The lengths are part of what a root means. Short chunks make small changes cheap, and each costs a list
// entry of 36 bytes: half a percent of the average.
const SHORTEST: usize = 2 << 10;
const AVERAGE: usize = 8 << 10;
const LONGEST: usize = 64 << 10;
const PENDING_MAX: usize = 4 * LONGEST;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryChunks, content_of_stream, root_of_content};
    use quorate_types::state::{ChunkId, Content};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut bytes);
        bytes
    }

    #[derive(Default)]
    struct Given(Vec<ChunkId>);
    impl ChunkSink for Given {
        fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
            self.0.push(ChunkId::of(bytes));
            Ok(ChunkId::of(bytes))
        }
        fn reuse(&mut self, _: &ChunkId) -> io::Result<bool> {
            Ok(false)
        }
    }

    fn chunks(bytes: &[u8], piece: usize) -> Vec<ChunkId> {
        let mut given = Given::default();
        let write = |out: &mut dyn io::Write| bytes.chunks(piece).try_for_each(|part| out.write_all(part));
        chunk_stream(&mut given, write).expect("memory takes it");
        given.0
    }

    fn content(bytes: &[u8]) -> Content {
        content_of_stream(&mut MemoryChunks::default(), |out| out.write_all(bytes)).expect("memory takes it")
    }

    #[test]
    fn the_cuts_depend_on_the_bytes_and_not_on_how_they_are_written() {
        let bytes = noise(PENDING_MAX + 100_001);
        let whole = chunks(&bytes, bytes.len());
        for piece in [1, 1000, LONGEST, PENDING_MAX - 1, PENDING_MAX] {
            assert_eq!(chunks(&bytes, piece), whole, "{piece}");
        }
        assert!(whole[..whole.len() - 1].iter().all(|chunk| chunk.bytes as usize >= SHORTEST));
        assert_eq!(whole.iter().map(|chunk| chunk.bytes as usize).sum::<usize>(), bytes.len());
        assert!((20..80).contains(&whole.len()), "{} chunks", whole.len());
    }

    #[test]
    fn a_byte_more_moves_a_chunk_or_two() {
        let bytes = noise(1 << 20);
        let before = chunks(&bytes, bytes.len());
        let longer = [&bytes[..500_000], &[7], &bytes[500_000..]].concat();
        let after = chunks(&longer, longer.len());
        assert!(after.iter().filter(|chunk| !before.contains(chunk)).count() <= 2);
    }

    #[test]
    fn bytes_without_a_place_to_cut_become_chunks_of_the_longest_kind() {
        let lengths: Vec<u32> = chunks(&vec![0; 2 * LONGEST + 5], 4096).iter().map(|c| c.bytes).collect();
        assert_eq!(lengths, [LONGEST as u32, LONGEST as u32, 5]);
        assert!(chunks(&[], 1).is_empty());
        assert_eq!(chunks(&[9], 1), [ChunkId::of(&[9])]);
    }

    #[test]
    fn the_cuts_are_pinned_so_that_releases_agree() {
        let content = content(&noise(1 << 20));
        assert_eq!(content.chunks, 101);
        assert_eq!(
            root_of_content(&content).to_string(),
            "5de9eeed8c8efc540bb7428adb933918a922abc4e74cf21ab0b3d77cc8f1572a"
        );
    }
}
