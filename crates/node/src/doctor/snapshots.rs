//! Which snapshots are there, are they complete, and is a transfer under way?

use quorate_store::LogIdentity;
use quorate_store::snapshots::{Snapshot, SnapshotError, SnapshotStore};
use quorate_types::{Digest, Height, Membership, ProtocolParameters, Unverified, Verifier};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

use super::{EMPTY_DIRECTORY, Gravity, Report};

/// The snapshots as they were read.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotsState {
    /// Each of them, by height.
    pub snapshots: Vec<SnapshotState>,
    /// Distinct chunks, needed or not.
    pub chunks: usize,
    /// Pack files.
    pub packs: usize,
    /// Bytes of all pack files.
    pub bytes: u64,
    /// A state that is being fetched from others.
    pub transfer: Option<TransferState>,
    /// Files that a start would remove, or search for chunks if a transfer is under way, with their bytes.
    pub leftovers: Vec<(String, u64)>,
}

/// One snapshot. Its pages were read, so it is complete.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotState {
    /// Its height.
    pub height: Height,
    /// Its state root.
    pub root: Digest,
    /// Bytes of the state.
    pub bytes: u64,
    /// Chunks of the state.
    pub chunks: u64,
    /// Whether it has its certificate, so that it can be saved.
    pub is_certified: bool,
    /// Whether every chunk was read and is intact; `None` if nobody asked.
    pub is_intact: Option<bool>,
}

/// An unfinished transfer, as far as its complete files tell.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TransferState {
    /// The height of the state.
    pub height: Height,
    /// Bytes that are there.
    pub bytes_held: u64,
    /// Bytes in all.
    pub bytes: u64,
}

pub(super) fn look(
    report: &mut Report,
    identity: LogIdentity,
    membership: Option<&Arc<Membership>>,
    is_deep: bool,
) -> Option<SnapshotsState> {
    let path = report.directory.join("snapshots");
    if !path.is_dir() {
        // One that was never opened; a log that needs a snapshot says so.
        return Some(nothing());
    }
    let store = match SnapshotStore::inspect(&path, identity.owner.cluster) {
        Ok(store) => store,
        Err(error) => {
            note(report, &error);
            return None;
        }
    };
    let mut snapshots = Vec::new();
    for snapshot in store.heights().into_iter().filter_map(|height| store.at(height)) {
        if let Some(membership) = membership {
            check_certificate(report, &snapshot, membership);
        }
        let is_intact = is_deep.then(|| store.check(&snapshot).map_err(|error| note(report, &error)).is_ok());
        snapshots.push(SnapshotState {
            height: snapshot.height(),
            root: snapshot.head.root(),
            bytes: snapshot.head.bytes(),
            chunks: snapshot.head.chunks(),
            is_certified: snapshot.certificate.is_some(),
            is_intact,
        });
    }
    let transfer = store.unfinished_transfer().unwrap_or_else(|error| {
        note(report, &error);
        None
    });
    let transfer = transfer.map(|(target, progress)| TransferState {
        height: target.height(),
        bytes_held: progress.bytes_held,
        bytes: progress.bytes,
    });
    let usage = store.usage();
    let (chunks, packs, bytes) = (usage.chunks, usage.packs, usage.bytes);
    Some(SnapshotsState { snapshots, chunks, packs, bytes, transfer, leftovers: leftovers(&path) })
}

const fn nothing() -> SnapshotsState {
    SnapshotsState {
        snapshots: Vec::new(),
        chunks: 0,
        packs: 0,
        bytes: 0,
        transfer: None,
        leftovers: Vec::new(),
    }
}

/// Files without their final names.
fn leftovers(path: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.ends_with(".new").then(|| (name, entry.metadata().map_or(0, |file| file.len())))
    });
    let mut leftovers: Vec<_> = named.collect();
    leftovers.sort();
    leftovers
}

fn check_certificate(report: &mut Report, snapshot: &Snapshot, membership: &Arc<Membership>) {
    let Some(certificate) = &snapshot.certificate else { return };
    let verifier = Verifier::new(Arc::clone(membership), ProtocolParameters::default());
    if let Err(why) = verifier.check(Unverified::Checkpoint(Arc::clone(certificate))) {
        let what =
            format!("the certificate of the snapshot at height {} proves nothing: {why}", snapshot.height());
        report.note(Gravity::Damaged, what, EMPTY_DIRECTORY);
    }
}

fn note(report: &mut Report, error: &SnapshotError) {
    let what = format!("the snapshots: {error}");
    match error {
        SnapshotError::Io { .. } | SnapshotError::FutureFormat { .. } => {
            report.refuse(Gravity::ToDo, &what);
        }
        _ => report.note(Gravity::Damaged, what, EMPTY_DIRECTORY),
    }
}
