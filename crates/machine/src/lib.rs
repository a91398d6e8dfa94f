//! What does a user write, and how do replicas run it without knowing its types?
//!
//! The user implements [`StateMachine`]; [`Snapshot`] comes for free with `Clone + Serialize +
//! Deserialize`. Simulator and node drive the erased form, [`Application`]: bytes in, bytes out.
//! [`Typed`] leads from one to the other and [`ApplicationFactory`] makes a fresh one, because a
//! replica that restarts begins again from a snapshot or the initial state. [`Runner`] does so also after
//! a panic, which becomes a rejection.
//!
//! A state is written as chunks ([`Frozen`], [`ChunkSink`]), whose list is under the root, and read back
//! from them ([`ChunkReader`]); what did not change since the last snapshot is neither written nor hashed again.
//!
//! ```
//! use quorate_machine::{Context, StateMachine, determinism::check_determinism};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Clone, Serialize, Deserialize)]
//! struct Counter { total: i64 }
//!
//! impl StateMachine for Counter {
//!     type Command = i64; type Reply = i64; type Query = (); type Answer = i64;
//!     fn apply(&mut self, add: i64, _: &Context) -> i64 { self.total += add; self.total }
//!     fn query(&self, _: ()) -> i64 { self.total }
//! }
//!
//! check_determinism(Counter::default, [5, 2, -3])?;
//! # Ok::<(), quorate_machine::determinism::Divergence>(())
//! ```
//!
//! # What every replica must agree on
//! Replicas that execute the same commands must reach the same state, byte for byte. So `apply`
//! reads no clock, no file, no environment, no global and no randomness but those of its
//! [`Context`], and never lets the order of a `HashMap` reach a reply, the snapshot or a command.
//! [`determinism::check_determinism`] finds most slips in a unit test, with a restore half-way and a run in another process; in a cluster, replicas
//! that differ are stopped by their state roots.
//!
//! Commands come from clients that may lie. A command, query or reply therefore has one encoding
//! only (postcard, nothing left over, encoding it again gives the same bytes), and its types hold no
//! `HashMap` and no collection of zero-sized elements, whose count no number of bytes bounds.

mod state_machine;

mod application;
mod chunk_reader;
mod chunker;
mod chunks;
mod codec;
mod context;
mod memory_chunks;
mod panicked;
mod runner;
mod snapshot;

pub mod determinism;

pub use application::{Application, ApplicationFactory, Typed};
pub use chunk_reader::{ChunkReader, ChunkSource};
pub use chunker::chunk_stream;
pub use chunks::{ChunkHasher, ChunkSink, content_of, content_of_stream, root_of, root_of_content};
pub use codec::{CodecError, decode, encode};
pub use context::{BlockContext, Context, Randomness};
pub use memory_chunks::MemoryChunks;
pub use panicked::{Panicked, catch};
pub use quorate_types::message::{Outcome, REPLY_BYTES_MAX};
pub use quorate_types::state::{CHUNK_BYTES_MAX, ChunkId, Content};
pub use runner::{OpenSnapshot, Request, Runner, RunnerError};
pub use snapshot::{Frozen, RestoreError, Snapshot};
pub use state_machine::StateMachine;
