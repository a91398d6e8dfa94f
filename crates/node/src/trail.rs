//! Do two replicas agree? What each executed and vouched for lately, for whoever compares them.

use quorate_types::{Digest, Height};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What one replica executed and vouched for lately, in the order in which it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// The newest blocks that it executed, at most [`TRAIL_MAX`]. A block's digest covers all blocks below it.
    pub blocks: VecDeque<(Height, Digest)>,
    /// The roots of the newest states that it wrote down, at most [`TRAIL_MAX`], each after the block of this height.
    pub states: VecDeque<(Height, Digest)>,
}

impl Trail {
    pub(crate) fn on_block(&mut self, height: Height, block: Digest) {
        push(&mut self.blocks, (height, block));
    }

    pub(crate) fn on_state(&mut self, height: Height, root: Digest) {
        push(&mut self.states, (height, root));
    }

    /// The heights of which both tell the block, or the state after it.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        pairs(&self.blocks, &other.blocks).count() + pairs(&self.states, &other.states).count()
    }

    /// The heights at which they have different blocks, or different states after it, lowest first.
    #[must_use]
    pub fn conflicts(&self, other: &Self) -> Vec<Height> {
        let all = pairs(&self.blocks, &other.blocks).chain(pairs(&self.states, &other.states));
        let mut heights: Vec<Height> =
            all.filter(|(_, one, other)| one != other).map(|(height, ..)| height).collect();
        heights.sort_unstable();
        heights.dedup();
        heights
    }
}

fn push(trail: &mut VecDeque<(Height, Digest)>, step: (Height, Digest)) {
    if trail.len() == TRAIL_MAX {
        trail.pop_front();
    }
    trail.push_back(step);
}

/// What both have at one height. A replica that executed a height twice shows both.
fn pairs<'a>(
    one: &'a VecDeque<(Height, Digest)>,
    other: &'a VecDeque<(Height, Digest)>,
) -> impl Iterator<Item = (Height, Digest, Digest)> + 'a {
    let mut sorted: Vec<_> = other.iter().copied().collect();
    sorted.sort_unstable();
    one.iter().flat_map(move |(height, digest)| {
        let begin = sorted.partition_point(|(other, _)| other < height);
        let end = sorted.partition_point(|(other, _)| other <= height);
        let found: Vec<_> = sorted[begin..end].iter().map(|(_, other)| (*height, *digest, *other)).collect();
        found
    })
}

/// Most blocks, and most states, that a trail tells.
pub const TRAIL_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    #[test]
    fn a_fork_is_seen_wherever_both_have_a_block_or_a_state() {
        let (mut one, mut other) = (Trail::default(), Trail::default());
        for height in 1..=5 {
            one.on_block(Height(height), digest(1));
        }
        for height in 3..=9 {
            other.on_block(Height(height), digest(if height == 4 { 2 } else { 1 }));
        }
        one.on_state(Height(5), digest(7));
        other.on_state(Height(5), digest(8));
        assert_eq!(one.common(&other), 4);
        assert_eq!(one.conflicts(&other), [Height(4), Height(5)]);
        assert_eq!(other.conflicts(&one), one.conflicts(&other));
        assert_eq!(one.conflicts(&one), []);
    }

    #[test]
    fn a_trail_is_bounded_and_its_newest_end_is_kept() {
        let mut trail = Trail::default();
        for height in 0..=TRAIL_MAX as u64 {
            trail.on_block(Height(height), digest(1));
        }
        assert_eq!((trail.blocks.len(), trail.blocks[0].0), (TRAIL_MAX, Height(1)));
    }
}
