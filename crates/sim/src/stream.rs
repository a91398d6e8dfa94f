//! Where does chance come from? One stream per concern, derived from the seed and a label, so that
//! leaving out one fault does not shift what the others draw.

use quorate_types::Digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// One concern's stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of a seed with this label.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let digest = Digest::of_parts("quorate simulation stream", &[&seed.to_le_bytes(), label.as_bytes()]);
        Self(ChaCha8Rng::from_seed(digest.0))
    }
    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0.next_u64()
    }
    /// A number below `end`; 0 if `end` is 0. The bias of the remainder is below 2^-32 for every
    /// span that a simulation draws from.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }
    /// A position in a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }
    /// Whether something that happens this often in a thousand happens now.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < u64::from(per_mille)
    }
    /// One of several, which must not be none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }
    /// Puts a list into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            let other = self.index(end + 1);
            items.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_by_label_and_repeat() {
        let draw = |label| Stream::new(7, label).draw();
        assert_eq!(draw("network"), draw("network"));
        assert_ne!(draw("network"), draw("disk"));
        assert_ne!(Stream::new(8, "network").draw(), draw("network"));
    }

    #[test]
    fn spans_hold_their_ends() {
        let mut stream = Stream::new(1, "spans");
        let drawn: Vec<u64> = (0..200).map(|_| stream.between(3, 5)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&5)));
        assert!(!stream.chance(0));
        assert!(stream.chance(1000));
    }
}
