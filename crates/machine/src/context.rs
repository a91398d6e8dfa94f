//! What may a command know besides itself and the state? Only what all replicas agree on.

use quorate_types::{Digest, Height, PublicKey, RequestNumber, Time};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _, TryRng};
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;

/// The block in which a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// The block's height.
    pub height: Height,
    /// The block's agreed time.
    pub time: Time,
    /// The block's digest, the seed of the randomness in it.
    pub digest: Digest,
}

/// What a command may know besides itself and the state: the same on every replica.
///
/// Not `Sync`, because [`Context::random`] hands out one stream after the other and threads would
/// make their order a matter of chance.
#[derive(Clone, Debug)]
pub struct Context {
    block: BlockContext,
    position: u32,
    client: PublicKey,
    request: RequestNumber,
    streams_taken: Cell<u64>,
}

impl Context {
    /// The context of the request at `position` in a block, counted from 0 over all requests of
    /// the block's batch.
    #[must_use]
    pub const fn new(block: BlockContext, position: u32, client: PublicKey, request: RequestNumber) -> Self {
        Self { block, position, client, request, streams_taken: Cell::new(0) }
    }

    /// The height of the command's block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.block.height
    }

    /// The agreed time: never runs back, is the same for all commands of a block, and is as far from a
    /// replica's own clock as the cluster's bound allows. The primary chose it within that bound.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.block.time
    }

    /// The key that signed the request. This is the authenticated caller.
    #[must_use]
    pub const fn client(&self) -> PublicKey {
        self.client
    }

    /// The request's number within its client session. Two sessions of one client use the same
    /// numbers.
    #[must_use]
    pub const fn request(&self) -> RequestNumber {
        self.request
    }

    /// Randomness on which all replicas agree: a new stream each time it is called, the same ones in
    /// the same order on every replica.
    ///
    /// It is seeded from the block's digest and the request's position. **The primary can bias
    /// it**: it sees the outcome before it proposes, and may try many batches until it likes one. It is
    /// public as soon as the block is. Good for sampling and spreading load; not for lotteries, keys or
    /// anything that somebody gains by guessing.
    #[must_use]
    pub fn random(&self) -> Randomness {
        let stream = self.streams_taken.get();
        self.streams_taken.set(stream.wrapping_add(1));
        let seed = Digest::of_parts(RANDOM_DOMAIN, &[&self.block.digest.0, &self.position.to_le_bytes()]);
        let mut generator = ChaCha8Rng::from_seed(seed.0);
        generator.set_stream(stream);
        Randomness(generator)
    }
}

/// "request 7 of client 00ff.. at height 12".
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} of client {} at height {}", self.request, self.client, self.block.height)
    }
}

/// A stream of numbers that is the same on every replica; see [`Context::random`].
///
/// It is also a generator in the sense of `rand` 0.10, for its distributions and shuffles.
#[derive(Clone, Debug)]
pub struct Randomness(ChaCha8Rng);

impl Randomness {
    /// A number from all of them, each equally likely.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, each equally likely.
    ///
    /// # Panics
    /// If `bound` is 0: there is no such number.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        // The first 2^64 mod bound numbers are drawn again: with them, some remainders would be likelier.
        let biased = bound.wrapping_neg() % bound;
        loop {
            let number = self.0.next_u64();
            if number >= biased {
                return number % bound;
            }
        }
    }
}

impl TryRng for Randomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(bytes)
    }
}

const RANDOM_DOMAIN: &str = "quorate request randomness";

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;

    fn context(block: u8, position: u32) -> Context {
        let block = BlockContext { height: Height(12), time: Time(5), digest: Digest([block; 32]) };
        Context::new(block, position, PublicKey([0xab; 32]), RequestNumber(7))
    }

    #[test]
    fn the_same_request_draws_the_same_numbers_on_every_replica() {
        let (one, other) = (context(1, 3), context(1, 3));
        for _ in 0..3 {
            assert_eq!(one.random().next_u64(), other.random().next_u64());
        }
    }

    #[test]
    fn calls_requests_and_blocks_have_streams_of_their_own() {
        let here = context(1, 3);
        let mut drawn = vec![
            here.random().next_u64(),
            here.random().next_u64(),
            context(1, 4).random().next_u64(),
            context(2, 3).random().next_u64(),
        ];
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 4);
    }

    #[test]
    fn the_stream_is_pinned_so_that_releases_agree() {
        assert_eq!(context(1, 3).random().next_u64(), 15_102_619_024_589_246_411);
    }

    #[test]
    fn below_stays_below_and_reaches_every_number() {
        let mut random = context(1, 0).random();
        let mut seen = [false; 6];
        for _ in 0..200 {
            seen[usize::try_from(random.below(6)).expect("below 6")] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(random.below(1), 0);
        assert!(random.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn it_serves_as_a_generator_of_rand() {
        let mut random = context(1, 0).random();
        let die: u8 = random.random_range(1..=6);
        assert!((1..=6).contains(&die));
    }

    #[test]
    fn a_context_names_its_request() {
        assert_eq!(context(1, 3).to_string(), "request 7 of client abababababababab at height 12");
    }
}
