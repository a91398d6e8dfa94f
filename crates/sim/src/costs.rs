//! How long do disks, verification and execution take in simulated time?

use serde::{Deserialize, Serialize};

use crate::stream::Stream;

/// A span between two numbers of microseconds, both included, every one equally likely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64);

impl Span {
    /// Draws from the span, in nanoseconds. Draws nothing from an empty span.
    pub(crate) fn draw(self, random: &mut Stream) -> u64 {
        if self.1 == 0 { 0 } else { random.between(self.0 * 1000, self.1 * 1000) }
    }
}

/// What local work costs, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// One sync of the log.
    pub sync_us: Span,
    /// One check of signatures.
    pub verify_us: Span,
    /// One execution of a block, or one root of the state.
    pub execute_us: Span,
}
