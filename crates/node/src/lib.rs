//! Drives replicas and clients for real: clock, log, sockets, verifier threads, executor.
//!
//! [`LocalCluster`] runs replicas inside this process, [`Replica`] one replica from a configuration
//! file, and [`Client`] submits commands to either. Reading order: `driver` (the loop around the protocol
//! machine), `network`, `verify`, `executor`, `journal` (what the loop hands work to), `node` (all
//! threads of one replica), then the public faces.

mod driver;

mod core;
mod executor;
mod journal;
mod keeper;
mod dump;
mod states;
mod network;
mod verify;

mod clock;
mod durability;
mod evidence;
mod home;
mod handover;
mod meter;
mod threads;

mod node;
mod status;
mod trail;
#[cfg(feature = "lab")]
mod verdict;
#[cfg(feature = "lab")]
mod venue;

pub mod backup;
mod client;
mod client_driver;
pub mod config;
mod control;
mod directory;
pub mod doctor;
mod local;
mod local_replica;
#[cfg(feature = "lab")]
mod local_attacks;
#[cfg(feature = "lab")]
pub mod links;
mod replica;

mod error;

pub use client::{Client, ClientOptions, ClientStats, Submitted};
pub use control::ControlClient;
pub use durability::Durability;
pub use error::{Error, RejectedWhy, Result, SubmitError};
pub use local::{LocalCluster, LocalClusterBuilder};
pub use local_replica::LocalReplica;
pub use quorate_consensus::Timing;
pub use quorate_consensus::client::RequestId;
pub use quorate_transport::floor;
pub use replica::Replica;
pub use status::{LogStatus, Status};
pub use trail::{TRAIL_MAX, Trail};
#[cfg(feature = "lab")]
pub use venue::Venue;
#[cfg(feature = "lab")]
pub use verdict::{ClientTally, Verdict, Witness};
