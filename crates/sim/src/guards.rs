//! Seeded bugs of the driver and the disk, like those of [`quorate_consensus::mutation`]: each removes one guard, so that the
//! simulator can show that it would notice.
//!
//! Without the feature `mutations` none is ever on.

/// A guard that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// `Persisted` waits for the sync (D1).
    WaitForSync,
    /// Records are synced (D1).
    SyncOfRecords,
    /// `Snapshot` waits until the state is durable (D1).
    WaitForSnapshot,
    /// A state that was written is synced (D1).
    SyncOfSnapshot,
    /// A state that was gathered is synced before the log leads on from it (K3).
    SyncOfInstall,
    /// Chunks are hashed when they are read (D4).
    DigestOfChunks,
    /// An empty disk is no fresh one (D3).
    MarkOfInit,
}

impl Guard {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::WaitForSync,
        Self::SyncOfRecords,
        Self::WaitForSnapshot,
        Self::SyncOfSnapshot,
        Self::SyncOfInstall,
        Self::DigestOfChunks,
        Self::MarkOfInit,
    ];
}

#[cfg(feature = "mutations")]
mod removed {
    use super::Guard;
    use std::cell::Cell;

    thread_local! {
        static REMOVED: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    /// Removes the guard for the simulations that run on this thread.
    pub fn remove(guard: Option<Guard>) {
        REMOVED.set(guard);
    }

    pub(crate) fn is_removed(guard: Guard) -> bool {
        REMOVED.get() == Some(guard)
    }
}

#[cfg(feature = "mutations")]
pub(crate) use removed::is_removed;
#[cfg(feature = "mutations")]
pub use removed::remove;

/// Whether this guard is removed.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_removed(_: Guard) -> bool {
    false
}
