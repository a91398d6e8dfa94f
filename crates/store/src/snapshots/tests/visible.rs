//! When is a snapshot visible, and what does writing it cost?

use bytes::Bytes;
use quorate_types::{ChunkId, Digest, Height};

use super::{Cluster, Scratch, State, chunk, heights};
use crate::snapshots::{SnapshotError, SnapshotStore};

#[test]
fn a_finished_snapshot_is_there_after_a_restart() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let states =
        [State::numbered(&cluster, 1, 2500, |_| 0), State::numbered(&cluster, 2, 2500, |i| i / 2000)];
    let store = scratch.open(&cluster).expect("an empty store");
    assert!(store.latest().is_none());
    for state in &states {
        state.write(&cluster, &store).expect("room");
    }
    drop(store);
    let store = scratch.open(&cluster).expect("two snapshots");
    assert_eq!(store.heights(), heights(&[1, 2]));
    assert_eq!(store.latest().map(|latest| latest.height()), Some(Height(2)));
    assert_eq!(store.of_root(&states[0].head.root()).map(|found| found.height()), Some(Height(1)));
    states.iter().for_each(|state| state.assert_held_by(&store));
}

#[test]
fn an_unfinished_snapshot_leaves_nothing() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let state = State::numbered(&cluster, 1, 20, |_| 0);
    let mut writer = store.begin().expect("writable");
    state.put(&mut writer).expect("room");
    assert!(!store.has(&state.chunks[0].0.digest), "nobody sees it before it is durable");
    drop(writer);
    assert!(store.heights().is_empty());
    assert!(scratch.files("").is_empty());
}

#[test]
fn only_what_changed_is_written() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    State::numbered(&cluster, 1, 3000, |_| 0).write(&cluster, &store).expect("room");
    let changed = State::numbered(&cluster, 2, 3000, |i| u64::from(i == 7));
    let page = changed.pages[1].1.len() as u64;
    assert_eq!(changed.write(&cluster, &store).expect("room"), 100 + page);
    let same = State::numbered(&cluster, 3, 3000, |i| u64::from(i == 7));
    assert_eq!(same.write(&cluster, &store).expect("room"), 0);
    same.assert_held_by(&store);
}

#[test]
fn a_snapshot_with_a_missing_chunk_stays_invisible() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let state = State::numbered(&cluster, 1, 20, |_| 0);
    for left_out in [state.pages[1].0, state.chunks[0].0, state.chunks[19].0] {
        let mut writer = store.begin().expect("writable");
        for (id, bytes) in state.parts().filter(|(id, _)| *id != left_out) {
            writer.put(id, bytes).expect("room");
        }
        let finished = writer.finish(state.head.clone(), cluster.header(1));
        let is_named = matches!(finished, Err(SnapshotError::Incomplete { height: Height(1), digest }) if digest == left_out.digest);
        assert!(is_named, "{finished:?}");
        assert!(store.heights().is_empty());
        store.retain(&[]).expect("room");
        assert_eq!(store.usage().packs, 0);
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (cluster, other, scratch) = (Cluster::new("a"), Cluster::new("b"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let state = State::numbered(&cluster, 1, 20, |_| 0);
    let finish = |head, header| {
        let mut writer = store.begin().expect("writable");
        state.put(&mut writer).expect("room");
        writer.finish(head, header).expect_err("they contradict each other")
    };
    let mut wrong = state.head.clone();
    wrong.application.bytes += 1;
    assert!(matches!(finish(wrong, cluster.header(1)), SnapshotError::Contradiction { .. }));
    let mut wrong = state.head.clone();
    wrong.sessions.chunks = 0;
    assert!(matches!(finish(wrong, cluster.header(1)), SnapshotError::Contradiction { .. }));
    let of_other = State::numbered(&other, 1, 20, |_| 0).head;
    assert!(matches!(finish(of_other, cluster.header(1)), SnapshotError::ForeignCluster { .. }));
    assert!(matches!(finish(state.head.clone(), other.header(1)), SnapshotError::ForeignCluster { .. }));
    assert!(matches!(finish(state.head.clone(), cluster.header(2)), SnapshotError::Contradiction { .. }));
    assert!(store.heights().is_empty());
}

#[test]
fn a_chunk_without_bytes_or_with_too_many_is_refused() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let mut writer = store.begin().expect("writable");
    for bytes in [vec![], vec![0; (1 << 20) + 1]] {
        let refused = writer.put(&ChunkId::of(&bytes), &bytes);
        assert!(matches!(refused, Err(SnapshotError::ChunkLength(_))));
    }
    let lying = ChunkId { bytes: 4, ..ChunkId::of(b"abc") };
    assert!(matches!(writer.put(&lying, b"abc"), Err(SnapshotError::ChunkLength(3))));
    assert!(writer.put(&ChunkId::of(b"abc"), b"abc").expect("in order"));
}

#[test]
fn a_certificate_is_added_once_there_is_one() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let state = State::numbered(&cluster, 1, 20, |_| 0);
    let certificate = cluster.certificate(&state.head, 0);
    assert!(matches!(store.certify(certificate.clone()), Err(SnapshotError::NoSnapshot(Height(1)))));
    state.write(&cluster, &store).expect("room");
    let diverged = State::numbered(&cluster, 1, 20, |_| 1);
    let refused = store.certify(cluster.certificate(&diverged.head, 0));
    assert!(matches!(refused, Err(SnapshotError::Contradiction { .. })));
    store.certify(certificate.clone()).expect("it fits");
    state.write(&cluster, &store).expect("the same again keeps its certificate");
    drop(store);
    let store = scratch.open(&cluster).expect("one snapshot");
    assert_eq!(store.at(Height(1)).and_then(|s| s.certificate.clone()), Some(certificate));
    diverged.write(&cluster, &store).expect("room");
    assert_eq!(store.at(Height(1)).and_then(|s| s.certificate.clone()), None);
    diverged.assert_held_by(&store);
}

#[test]
fn readers_go_on_while_others_write_and_chunks_move() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let kept = State::numbered(&cluster, 1, 400, |_| 0);
    kept.write(&cluster, &store).expect("room");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let read = || {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                kept.assert_held_by(&store);
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        for height in 2..40 {
            // Each changes most of the state, so that old packs are emptied again and again.
            let state = State::numbered(&cluster, height, 400, |i| if i % 10 == 0 { 0 } else { height });
            state.write(&cluster, &store).expect("room");
            store.retain(&heights(&[1, height])).expect("room");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().expect("nothing disturbed it"));
    });
}

#[test]
fn inspecting_changes_nothing() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let missing = SnapshotStore::inspect(&scratch.snapshots(), cluster.membership.cluster());
    assert!(matches!(missing, Err(SnapshotError::Io { .. })));
    let state = State::numbered(&cluster, 1, 20, |_| 0);
    state.write(&cluster, &scratch.open(&cluster).expect("an empty store")).expect("room");
    std::fs::write(scratch.snapshots().join("pack-00000009.new"), b"torn").expect("room");
    std::fs::write(scratch.snapshots().join("notes.txt"), b"by the operator").expect("room");
    let store = SnapshotStore::inspect(&scratch.snapshots(), cluster.membership.cluster());
    let store = store.expect("one snapshot");
    state.assert_held_by(&store);
    assert!(matches!(store.begin(), Err(SnapshotError::ReadOnly)));
    assert!(matches!(store.retain(&[]), Err(SnapshotError::ReadOnly)));
    assert!(matches!(store.resume_transfer(), Err(SnapshotError::ReadOnly)));
    assert_eq!(scratch.files("").len(), 4);
    drop(scratch.open(&cluster).expect("one snapshot"));
    assert_eq!(scratch.files("").len(), 3, "opening cleans up, but for what is not ours");
}

#[test]
fn the_empty_state_and_repeated_chunks_are_states_too() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let empty = State::new(&cluster, 1, []);
    let repeated = State::new(&cluster, 2, (0..1500).map(|i| chunk(i % 2, 0, 10)));
    for state in [&empty, &repeated] {
        state.write(&cluster, &store).expect("room");
        state.assert_held_by(&store);
    }
    assert_eq!(store.usage().chunks, repeated.pages.len() + 2);
    assert!(matches!(store.read(&Digest::default()), Err(SnapshotError::NoChunk(_))));
    assert_eq!(repeated.install(&cluster, &store).expect("all there").head, repeated.head);
    let bytes: Bytes = store.read(&repeated.chunks[0].0.digest).expect("held");
    assert_eq!(bytes, repeated.chunks[0].1);
}
