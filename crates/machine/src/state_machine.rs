//! What does a user write?

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Snapshot};

/// The service that is replicated: every replica runs one and feeds it the same commands in the
/// same order.
///
/// The contract is determinism: equal states and equal arguments give equal replies and equal
/// states, on every machine. See the crate's documentation for what that excludes, and
/// [`determinism::check_determinism`](crate::determinism::check_determinism) for a test of it.
pub trait StateMachine: Snapshot + Send + 'static {
    /// What a client asks to be done. Ordered by the cluster, executed by every replica.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What a command returns, at most [`REPLY_BYTES_MAX`](crate::REPLY_BYTES_MAX) when encoded.
    /// An application's own refusals belong here, as a `Result` for instance.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// What a client asks to be told. Not ordered, changes nothing.
    type Query: Serialize + DeserializeOwned + Send + 'static;
    /// What a query returns, at most [`REPLY_BYTES_MAX`](crate::REPLY_BYTES_MAX) when encoded.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Executes one command.
    ///
    /// Runs on a thread of its own, one command after the other, so what takes long here delays
    /// every later command. It should not panic: the command is then rejected, and the replica computes its
    /// state again from the last snapshot, which takes long. See [`Runner`](crate::Runner).
    fn apply(&mut self, command: Self::Command, context: &Context) -> Self::Reply;

    /// Answers a query from the state as it is between two blocks.
    fn query(&self, query: Self::Query) -> Self::Answer;
}
