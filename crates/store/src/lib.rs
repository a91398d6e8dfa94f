//! Where does a replica keep what it must not forget? In a [`Log`] of opaque records, and in [`snapshots`] of its state.
//!
//! What the records mean is the consensus crate's business; this crate keeps their order and knows
//! which of them are durable.
//!
//! Reading order: [`Log`] is the contract. [`Files`] is all that a log asks of a disk. `format.rs` says which
//! bytes stand in the files, `recovery.rs` what they prove after a crash, and [`DiskLog`] keeps the log in
//! them. [`DirectoryFiles`] are files in a real directory, and [`DataDirectory`] says whose that is and lets
//! one process in. [`FaultyDisk`] has files in memory and fails on demand. [`MemoryDisk`] is a log in memory
//! without files, which loses on a crash what was not synced.

mod log;
mod files;

mod format;
mod recovery;
mod disk_log;

mod directory_files;
mod identity;
mod directory;

mod faulty;

mod memory;

pub mod mutation;
pub mod snapshots;

pub use directory::{DataDirectory, DirectoryError, DirectoryState};
pub use directory_files::DirectoryFiles;
pub use disk_log::{DiskLog, LogReport, LogSettings};
pub use faulty::{Fault, FaultyDisk, FaultyFiles, Image};
pub use files::{Files, is_full};
pub use format::{LogIdentity, Owner};
pub use log::{Log, Position, Records, StoreError};
pub use memory::{DISK_BYTES_MAX, MemoryDisk, MemoryLog};
