//! The protocol of Quorate as pure machines: inputs in, actions out, no clock, socket, disk,
//! thread or randomness. The same inputs give the same actions.
//!
//! `PROTOCOL.md` beside this crate has the numbered rules; the code cites them as `[V3]`.

mod config;
mod io;
mod record;
mod account;
mod held;

mod replica;

mod normal;
mod voting;
mod commit;
mod view_change;
mod view_timer;
mod select;
mod safety;
mod checkpoint;
mod truncation;
mod holding;
mod state_transfer;
mod gathering;
mod serving;
mod execution;
pub mod session;
mod status;
mod fetch;
mod catch_up;
mod evidence;
mod recovering;
mod waking;
mod recovery;

mod blocks;
mod chain;
mod outbox;
mod peers;
mod pool;
mod timer;
mod votes;

pub mod client;
pub mod mutation;

pub use account::Account;
pub use config::{Config, Limits, Timing};
pub use held::{Held, HeldOfPeer};
pub use io::{
    Action, Cause, Command, CommitRule, Event, Execution, Halt, Input, Peer, Recipients, SnapshotOrder,
};
pub use record::{Record, Recovered, RecoveredSnapshot, Summary};
pub use replica::{Replica, ReplicaStatus};
pub use select::{BlockId, PrimaryEquivocated, select};
