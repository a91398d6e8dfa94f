//! The protocol of Quorate as pure machines: inputs in, actions out, no clock, socket, disk,
//! thread or randomness. The same inputs give the same actions.
//!
//! `PROTOCOL.md` beside this crate has the numbered rules; the code cites them as `[V3]`.

pub mod client;
mod config;
mod io;
mod record;
mod replica;
pub mod session;

pub use config::{Config, Limits, Timing};
pub use io::{Action, Cause, Command, CommitRule, Event, Execution, Halt, Input, Peer, Recipients};
pub use record::{Record, Recovered};
pub use replica::{Replica, ReplicaStatus};
