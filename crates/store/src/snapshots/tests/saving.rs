//! Can a saved snapshot be checked and restored by anybody, and nothing else be taken for one?

use quorate_types::Height;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Cluster, Scratch, State, heights};
use crate::snapshots::{SnapshotError, SnapshotStore, restore, verify};

struct Scene {
    cluster: Cluster,
    scratch: Scratch,
    store: Arc<SnapshotStore>,
    state: State,
}

impl Scene {
    fn new() -> Self {
        let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
        let store = scratch.open(&cluster).expect("an empty store");
        let state = State::numbered(&cluster, 5, 30, |_| 0);
        state.write(&cluster, &store).expect("room");
        Self { cluster, scratch, store, state }
    }

    fn saved(&self) -> PathBuf {
        let path = self.scratch.0.join("saved");
        let _ = self.store.certify(self.cluster.certificate(&self.state.head, 0)).expect("it fits");
        self.store.save(Height(5), &path).expect("stable and complete");
        path
    }

    /// Checks the file and tries to restore it; both must say the same.
    fn error(&self, path: &Path) -> SnapshotError {
        let scratch = Scratch::new();
        let store = scratch.open(&self.cluster).expect("an empty store");
        let old = State::numbered(&self.cluster, 1, 10, |_| 3);
        old.write(&self.cluster, &store).expect("room");
        let restored = restore(path, &self.cluster.membership, &store).expect_err("it is wrong");
        assert_eq!(store.heights(), heights(&[1]));
        old.assert_held_by(&store);
        let verified = verify(path, &self.cluster.membership).expect_err("it is wrong");
        assert_eq!(restored.to_string(), verified.to_string());
        verified
    }
}

#[test]
fn what_was_saved_is_verified_and_restored() {
    let scene = Scene::new();
    let path = scene.saved();
    let snapshot = verify(&path, &scene.cluster.membership).expect("it is what was saved");
    assert_eq!(Some(snapshot), scene.store.at(Height(5)).as_deref().cloned());
    let scratch = Scratch::new();
    let store = scratch.open(&scene.cluster).expect("an empty store");
    let restored = restore(&path, &scene.cluster.membership, &store).expect("it is what was saved");
    assert!(restored.certificate.is_some());
    drop(store);
    let store = scratch.open(&scene.cluster).expect("one snapshot");
    scene.state.assert_held_by(&store);
    let again = scratch.0.join("again");
    store.save(Height(5), &again).expect("stable and complete");
    assert_eq!(fs::read(again).expect("readable"), fs::read(path).expect("readable"));
}

#[test]
fn only_a_stable_snapshot_is_saved_and_no_file_is_overwritten() {
    let scene = Scene::new();
    let path = scene.scratch.0.join("saved");
    let save = |height| scene.store.save(Height(height), &path);
    assert!(matches!(save(5), Err(SnapshotError::NotStable(Height(5)))));
    assert!(matches!(save(6), Err(SnapshotError::NoSnapshot(Height(6)))));
    assert!(!path.exists());
    scene.saved();
    let before = fs::read(&path).expect("readable");
    assert!(matches!(save(5), Err(SnapshotError::Exists { .. })));
    assert_eq!(fs::read(&path).expect("readable"), before);
}

#[test]
fn a_damaged_snapshot_is_not_saved() {
    let scene = Scene::new();
    let saved = scene.saved();
    let pack = scene.scratch.files("pack-").remove(0);
    let mut bytes = fs::read(&pack).expect("readable");
    let at = bytes.windows(100).position(|window| window == scene.state.chunks[7].1).expect("it lies there");
    bytes[at] ^= 1;
    fs::write(&pack, bytes).expect("room");
    let path = saved.with_file_name("other");
    assert!(matches!(scene.store.save(Height(5), &path), Err(SnapshotError::ChunkDamaged { .. })));
    assert!(!path.exists());
}

#[test]
fn an_older_snapshot_is_not_restored_over_a_newer_one() {
    let scene = Scene::new();
    let path = scene.saved();
    let error = restore(&path, &scene.cluster.membership, &scene.store).expect_err("it is there already");
    assert!(matches!(error, SnapshotError::NotNewer { found: Height(5), held: Height(5), .. }));
}

#[test]
fn truncated_flipped_and_longer_files_are_named() {
    let scene = Scene::new();
    let path = scene.saved();
    let whole = fs::read(&path).expect("readable");
    fs::write(&path, []).expect("room");
    assert!(matches!(scene.error(&path), SnapshotError::Empty { .. }));
    for length in (1..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).expect("room");
        assert!(matches!(scene.error(&path), SnapshotError::Truncated { .. }));
    }
    for at in (0..whole.len()).step_by(61) {
        let mut flipped = whole.clone();
        flipped[at] ^= 2;
        fs::write(&path, flipped).expect("room");
        let error = scene.error(&path);
        let is_named = matches!(
            error,
            SnapshotError::Damaged { .. }
                | SnapshotError::ChunkDamaged { .. }
                | SnapshotError::NotThis { .. }
                | SnapshotError::FutureFormat { .. }
                | SnapshotError::Truncated { .. }
        );
        assert!(is_named, "{at}: {error}");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).expect("room");
    assert!(matches!(scene.error(&path), SnapshotError::TrailingBytes { .. }));
    let mut future = whole.clone();
    future[8] = 2;
    fs::write(&path, future).expect("room");
    assert!(matches!(scene.error(&path), SnapshotError::FutureFormat { version: 2, .. }));
    fs::write(&path, fs::read(&scene.scratch.files("snapshot-")[0]).expect("readable")).expect("room");
    assert!(matches!(scene.error(&path), SnapshotError::NotThis { .. }));
    fs::remove_file(&path).expect("it is there");
    assert!(matches!(scene.error(&path), SnapshotError::Io { .. }));
}

#[test]
fn another_clusters_or_epochs_or_nobodys_certificate_proves_nothing() {
    let scene = Scene::new();
    let path = scene.saved();
    let other = Cluster::new("b");
    let error = verify(&path, &other.membership).expect_err("it is this cluster's");
    assert!(matches!(error, SnapshotError::ForeignCluster { .. }));

    let height = Height(5);
    let whole = verify(&path, &scene.cluster.membership).expect("it is what was saved");
    let rewrite = |change: &dyn Fn(&mut crate::snapshots::Snapshot)| {
        let mut changed = whole.clone();
        change(&mut changed);
        fs::write(&path, changed.encode(crate::snapshots::Kind::Saved)).expect("room");
        scene.error(&path)
    };
    let forged = other.certificate(&whole.head, 0);
    let error = rewrite(&|snapshot| {
        let mut certificate = (*forged).clone();
        certificate.checkpoint.block = snapshot.header.header.digest();
        snapshot.certificate = Some(Arc::new(certificate));
    });
    assert!(matches!(error, SnapshotError::Unproven { .. }), "{error}");
    let error = rewrite(&|snapshot| snapshot.certificate = None);
    assert!(matches!(error, SnapshotError::Unproven { .. }), "{error}");
    let error = rewrite(&|snapshot| snapshot.header.signature.0[3] ^= 1);
    assert!(matches!(error, SnapshotError::Unproven { .. }), "{error}");
    let error = rewrite(&|snapshot| snapshot.head.application.bytes += 1);
    assert!(matches!(error, SnapshotError::Contradiction { height: Height(5), .. }), "{error}");
    let error = rewrite(&|snapshot| snapshot.header.header.time.0 += 1);
    assert!(matches!(error, SnapshotError::Contradiction { .. }), "{error}");
    let error = rewrite(&|snapshot| {
        snapshot.header.header.epoch = quorate_types::Epoch(1);
        let mut certificate = (**snapshot.certificate.as_ref().expect("it is stable")).clone();
        certificate.checkpoint.epoch = quorate_types::Epoch(1);
        certificate.checkpoint.block = snapshot.header.header.digest();
        snapshot.certificate = Some(Arc::new(certificate));
    });
    assert!(matches!(error, SnapshotError::ForeignEpoch { .. }), "{error}");
    assert_eq!(whole.height(), height);
}
