//! Which few things does a failure need? Takes a plan that fails, tries smaller ones, and goes on from each that still
//! fails the same way, until none of the smaller ones does.
//!
//! Everything is deterministic but for the bound on time: a search that was cut short says so.

mod lists;
mod plan;
mod replicas;

use std::time::{Duration, Instant};

pub use lists::{lower, without};
pub use plan::shrink_plan;

/// Something that can be made smaller step by step.
pub trait Shrink: Clone {
    /// What is simpler than this by one step, the boldest steps first. Steps must lead downhill: whoever goes from step to
    /// step must come to an end, wherever it began.
    fn smaller(&self) -> Vec<Self>;
}

/// How long to look for something smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most candidates that are tried.
    pub runs: u32,
    /// Most time on the wall. The candidate that runs when it is over is run to its end.
    pub time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { runs: 4000, time: Duration::from_secs(60) }
    }
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk<T> {
    /// The smallest that was found.
    pub value: T,
    /// How many candidates were tried.
    pub runs: u32,
    /// Whether no step leads any further down. If not, the budget was used up.
    pub is_minimal: bool,
}

/// Makes a value smaller for as long as it fails. `fails` says whether a candidate fails in the same way as `value` does, which
/// is taken for granted.
pub fn shrink<T: Shrink>(value: T, budget: Budget, mut fails: impl FnMut(&T) -> bool) -> Shrunk<T> {
    let begin = Instant::now();
    let mut candidates = value.smaller();
    let mut shrunk = Shrunk { value, runs: 0, is_minimal: false };
    // Where the last one failed the next one of the same kind is likely to; so the search goes on from there, and ends after a
    // whole round without success.
    let (mut position, mut in_vain) = (0, 0);
    while in_vain < candidates.len() {
        if shrunk.runs >= budget.runs || begin.elapsed() >= budget.time {
            return shrunk;
        }
        position %= candidates.len();
        shrunk.runs += 1;
        if fails(&candidates[position]) {
            shrunk.value = candidates.swap_remove(position);
            candidates = shrunk.value.smaller();
            in_vain = 0;
        } else {
            position += 1;
            in_vain += 1;
        }
    }
    shrunk.is_minimal = true;
    shrunk
}

#[cfg(test)]
mod tests;
