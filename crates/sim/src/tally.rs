//! What do simulated clusters replicate? A sum whose replies tell order and count of all commands.

use quorate_machine::{Context, StateMachine};
use serde::{Deserialize, Serialize};

/// Adds numbers. Its state is a digest of every command that was applied, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many commands were applied.
    pub count: u64,
    /// Their sum.
    pub total: u64,
    /// Mixes every command with its height and all before it.
    pub history: u64,
}

impl StateMachine for Tally {
    type Command = u64;
    type Reply = (u64, u64);
    type Query = ();
    type Answer = (u64, u64);

    fn apply(&mut self, add: u64, context: &Context) -> (u64, u64) {
        self.count += 1;
        self.total = self.total.wrapping_add(add);
        self.history =
            (self.history ^ add ^ context.height().0.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (self.count, self.total)
    }

    fn query(&self, (): ()) -> (u64, u64) {
        (self.count, self.total)
    }
}
