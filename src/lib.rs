//! Byzantine fault tolerant replication: implement a state machine, run 3f+1 replicas, and keep
//! answering correctly while f of them lie.
//!
//! This crate is the paved path and only passes on what the others define:
//! - implement [`StateMachine`]; [`Snapshot`] comes for free with `Clone + Serialize + Deserialize`;
//! - start a [`LocalCluster`] to try it out, and [`Replica::open`] to run it for real;
//! - submit commands with a [`Client`], which trusts no replica alone;
//! - turn replicas into traitors with the module `attack`, and test your state machine under attack with `attack_test` and the
//!   module `lab`, all behind the feature `lab`.
//!
//! ```
//! use quorate::prelude::*;
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
//! #[tokio::main]
//! async fn main() -> quorate::Result<()> {
//!     let cluster = LocalCluster::start(4, Counter::default).await?;
//!     let client = cluster.client().await?;
//!     assert_eq!(client.submit(5).await?.reply, 5);
//!     assert_eq!(client.submit(2).await?.reply, 7);
//!     cluster.stop().await
//! }
//! ```

pub use quorate_machine::{
    CHUNK_BYTES_MAX, ChunkId, ChunkSink, Context, Frozen, Outcome, Randomness, RestoreError, Snapshot,
    StateMachine, chunk_stream,
};
pub use quorate_node::{
    Client, ClientOptions, ClientStats, ControlClient, Durability, Error, LocalCluster, LocalClusterBuilder,
    LocalReplica, LogStatus, RejectedWhy, Replica, RequestId, Result, Status, SubmitError, Submitted, Timing,
    Trail, backup, config, doctor,
};
pub use quorate_types as types;

/// Adversaries for replicas of test clusters, by name and with parameters.
#[cfg(feature = "lab")]
pub use quorate_attack as attack;
#[cfg(feature = "lab")]
pub use quorate_attack::Attack;
#[cfg(feature = "lab")]
pub use quorate_macros::attack_test;

/// What attack tests are written with: `use quorate::lab::*`.
///
/// A test is a function with the attribute [`attack_test`]. It drives a [`Sim`](lab::Sim), a whole cluster
/// of one's own state machine in one thread, and runs under many seeds. `docs/attack-your-service.md` leads from nothing
/// to the first bug. For real clusters: slow and lossy [`Links`](lab::Links), where an attack can run
/// ([`Venue`](lab::Venue)), and what it achieved ([`Verdict`](lab::Verdict)).
#[cfg(feature = "lab")]
pub mod lab {
    pub use crate::attack;
    pub use quorate_attack::{Adversary, Attack, Combine, Spec};
    pub use quorate_node::links::{LinkCounters, Links, Shape};
    pub use quorate_node::{ClientTally, Venue, Verdict, Witness};
    pub use quorate_sim::lab::{
        AttackTest, Check, Environment, Evidence, EvidenceCheck, Failure, Faults, Fired, Goal, Live,
        LiveWithin, Requests, RequestsExt, Safety, SimResult, TestPlan, TraitorPart, Until, ViewsArgument,
        evidence, fired, live, safety, seconds, views,
    };
    pub use quorate_sim::{
        AsReplica, Fault, NetworkParameters, Operation, Part, Sim, SimClient, SimOptions, SimReplica,
        SimTraitor, TimedFault, Violation, WAIT_MAX,
    };
}

/// Tools to test and measure a state machine with.
pub mod testkit {
    pub use quorate_machine::determinism::{
        Divergence, Moment, Run, check_determinism, check_in_this_process,
    };
    pub use quorate_machine::{
        ChunkHasher, ChunkReader, ChunkSource, Content, MemoryChunks, content_of, root_of, root_of_content,
    };
    pub use quorate_node::floor;
}

/// What a program with a state machine of its own needs: `use quorate::prelude::*`.
pub mod prelude {
    #[cfg(feature = "lab")]
    pub use crate::Attack;
    pub use crate::{Client, Context, LocalCluster, Replica, Snapshot, StateMachine, SubmitError, Submitted};
    pub use serde::{Deserialize, Serialize};
}

/// The README's twenty lines, compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
