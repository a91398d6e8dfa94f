//! A whole cluster in one thread from one seed: the real machines of replicas and clients and a real
//! state machine, over a simulated network, simulated disks and simulated time.
//!
//! - [`Plan::generate`] and [`run`] make campaigns: a seed generates a plan, the plan runs, the
//!   [`invariants`] judge every step, and the [`Report`] says what happened.
//! - [`Sim`] is driven by hand, for tests that read as scenarios.
//!
//! Reading order: `world.rs` (what happens when), `perform.rs`, `drive_disks.rs` and `drive_clients.rs` (the drivers
//! of replicas and clients), `faults.rs`, then `observe.rs`, `history.rs` and `invariants`.

mod world;

mod perform;

mod drive_clients;

mod drive_disks;

mod clients;
mod costs;
mod disk;
mod faults;
mod guards;
mod host;
mod network;
mod queue;
mod setup;
mod stream;
mod tally;

mod audit;
mod chain;
mod delays;
mod history;
pub mod invariants;
mod observe;

mod campaign;
mod episodes;
mod plan;
mod run;
mod sim;
mod validate;

pub mod shrink;

pub use audit::Audit;
pub use campaign::{AttackTotals, Campaign, Totals};
pub use chain::{Block, BlockRef, Chain, GENESIS, ReplicaSet};
pub use clients::Workload;
pub use costs::{Costs, Span};
pub use delays::{BlockTimes, Delays};
pub use disk::Part;
pub use faults::{Fault, Operation, TimedFault};
pub use guards::Guard;
#[cfg(feature = "mutations")]
pub use guards::remove as remove_guard;
pub use history::{Contribution, Durable, History, ReplicaFacts};
pub use network::NetworkParameters;
pub use observe::{Observation, Violation};
pub use plan::{AttackChoice, Plan, Traitor};
pub use run::{Report, STATUSES_TO_SETTLE, liveness_bound, run, run_with_story};
pub use setup::{Bounds, CLIENTS_MAX, Crypto, Setup, timing};
pub use sim::{LATENCY, Sim, SimClient, SimOptions, SimReplica, WAIT_MAX};
pub use stream::Stream;
pub use tally::Tally;
pub use validate::{PlanError, REPLICAS};
pub use world::EVENTS_MAX;
