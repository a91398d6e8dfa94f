//! Where does a replica keep what it must not forget? In a [`Log`] of opaque records.
//!
//! What the records mean is the consensus crate's business; this crate keeps their order and knows
//! which of them are durable. [`MemoryDisk`] is a disk in memory that outlives the replicas that
//! open it, and loses on a crash what was not synced.

mod log;

mod memory;

pub use log::{Log, Position, Records, StoreError};
pub use memory::{DISK_BYTES_MAX, MemoryDisk, MemoryLog};
