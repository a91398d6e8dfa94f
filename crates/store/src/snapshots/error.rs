//! What can go wrong with snapshots, and what should the operator do about it?

use quorate_types::{ClusterId, Digest, Epoch, Height, Rejection};
use std::io;

/// Why a snapshot could not be written, read, handed over or taken in. Each sentence says what to do.
///
/// After [`SnapshotError::SyncFailed`] the store refuses all writes until it is opened again: what is durable
/// is no longer known (rule D4). All other errors leave every snapshot as it was.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The operating system refused.
    #[error("cannot {doing} {file}: {source}; check rights and health of the disk")]
    Io {
        /// The file.
        file: String,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no room.
    #[error("the disk is full while writing {file}: {source}; make room and start again, nothing was lost")]
    Full {
        /// The file.
        file: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A sync failed.
    #[error(
        "syncing {file} failed: {source}; the disk may have dropped writes: stop this replica, check the disk, then start it again"
    )]
    SyncFailed {
        /// The file or directory.
        file: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A sync had failed before.
    #[error(
        "an earlier sync failed, so nothing more is written; check the disk, then start this replica again"
    )]
    Stopped,
    /// The store was opened for inspection.
    #[error("the snapshots were opened for inspection, which changes nothing")]
    ReadOnly,
    /// The content of a file is not what was written.
    #[error(
        "{file} is damaged ({what}); stop this replica, move its snapshots away, and let it fetch the state from its peers or restore a saved one"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A chunk is not what was written.
    #[error(
        "chunk {digest} of {file} is damaged; stop this replica, move its snapshots away, and let it fetch the state from its peers or restore a saved one"
    )]
    ChunkDamaged {
        /// The chunk.
        digest: Digest,
        /// The file that holds it.
        file: String,
    },
    /// A snapshot's chunk is not there.
    #[error(
        "the snapshot at height {height} needs chunk {digest}, which is not held; fetch it, or take the snapshot again"
    )]
    Incomplete {
        /// The snapshot.
        height: Height,
        /// The missing chunk.
        digest: Digest,
    },
    /// Nobody holds such a chunk here.
    #[error("no chunk {0} is held here; it belonged to a snapshot that was removed, or never came")]
    NoChunk(Digest),
    /// There is no snapshot at that height.
    #[error("there is no snapshot at height {0}; list the heights that there are")]
    NoSnapshot(Height),
    /// The file is empty.
    #[error("{file} is empty; use another copy")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file ends too early.
    #[error("{file} is truncated; use a complete copy")]
    Truncated {
        /// The file.
        file: String,
    },
    /// The file goes on behind its end.
    #[error("{file} has bytes behind its end; use an unaltered copy")]
    TrailingBytes {
        /// The file.
        file: String,
    },
    /// It is some other file.
    #[error("{file} is not a {expected}; check the path")]
    NotThis {
        /// The file.
        file: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A later version wrote it.
    #[error("{file} has format {version}, which this version does not know; use the version that wrote it")]
    FutureFormat {
        /// The file.
        file: String,
        /// Its format.
        version: u32,
    },
    /// It belongs to another cluster.
    #[error(
        "{file} belongs to cluster {found}, this is cluster {expected}; use this cluster's file or genesis"
    )]
    ForeignCluster {
        /// The file.
        file: String,
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        expected: ClusterId,
    },
    /// It belongs to another epoch.
    #[error("{file} was certified in epoch {found}, this is epoch {expected}; use a snapshot of this epoch")]
    ForeignEpoch {
        /// The file.
        file: String,
        /// Whose it is.
        found: Epoch,
        /// Whose it should be.
        expected: Epoch,
    },
    /// Its signatures do not prove it.
    #[error("the certificate in {file} proves nothing: {why}; use a copy from a replica that you trust")]
    Unproven {
        /// The file.
        file: String,
        /// What is wrong with them.
        why: Rejection,
    },
    /// Head, header, certificate and pages do not belong together.
    #[error("the snapshot at height {height} contradicts itself: {what}; take or fetch it again")]
    Contradiction {
        /// The snapshot.
        height: Height,
        /// What is wrong.
        what: &'static str,
    },
    /// Only a certified snapshot may leave.
    #[error(
        "the snapshot at height {0} is not stable yet, so no one could verify it; wait for the next checkpoint"
    )]
    NotStable(Height),
    /// A chunk has no or too many bytes, or not as many as its id says.
    #[error(
        "a chunk of {0} bytes is not what its id says or outside the limits; cut the state into smaller chunks"
    )]
    ChunkLength(usize),
    /// The bytes are not the chunk that was asked for.
    #[error("these bytes are not chunk {0}; count it against their sender and ask another one")]
    WrongChunk(Digest),
    /// Another transfer is going on.
    #[error("a transfer is going on already; use that one, or drop it first")]
    TransferOpen,
    /// A transfer's snapshot would be no news.
    #[error(
        "a snapshot at height {held} is held already, {file} has only height {found}; nothing was changed"
    )]
    NotNewer {
        /// The file.
        file: String,
        /// Its height.
        found: Height,
        /// The height that is held.
        held: Height,
    },
    /// There is a file already.
    #[error("{file} exists already and is not overwritten; choose another name")]
    Exists {
        /// The file.
        file: String,
    },
}

impl SnapshotError {
    pub(super) fn io(file: &str, doing: &'static str, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            _ if crate::is_full(&source) => Self::Full { file, source },
            io::ErrorKind::UnexpectedEof => Self::Truncated { file },
            _ => Self::Io { file, doing, source },
        }
    }

    pub(super) fn damaged(file: &str, what: &'static str) -> Self {
        Self::Damaged { file: file.to_owned(), what }
    }
}
