//! Does a transfer survive whatever happens on the way, and become visible only when it is complete?

use bytes::Bytes;
use quorate_types::{ChunkId, Height};
use std::sync::Arc;

use super::disk::{CrashingDisk, Fault};
use super::{Cluster, Scratch, State, heights};
use crate::snapshots::{SnapshotError, SnapshotStore, Transfer};

fn begin(cluster: &Cluster, store: &Arc<SnapshotStore>, state: &State) -> Transfer {
    let header = cluster.header(state.head.height.0);
    let certificate = cluster.certificate(&state.head, 0);
    store.begin_transfer(state.head.clone(), header, Some(certificate)).expect("nothing is under way")
}

#[test]
fn a_transfer_brings_what_is_missing_and_nothing_else() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    State::numbered(&cluster, 1, 3000, |_| 0).write(&cluster, &store).expect("room");
    let target = State::numbered(&cluster, 2, 3000, |i| u64::from(i % 100 == 50));
    let mut transfer = begin(&cluster, &store, &target);
    let pages: Vec<ChunkId> = target.head.pages().copied().collect();
    assert_eq!(transfer.missing(&pages), pages[1..], "the session table has not changed");
    let chunks: Vec<ChunkId> = target.chunks.iter().map(|(id, _)| *id).collect();
    assert_eq!(transfer.missing(&chunks).len(), 30);
    assert!(
        !transfer.store(&target.chunks[50].0, &target.chunks[50].1).expect("ignored"),
        "no page lists it yet"
    );
    for (id, bytes) in &target.pages {
        assert_eq!(transfer.store(id, bytes).expect("room"), pages[1..].contains(id));
    }
    let progress = transfer.progress();
    assert_eq!((progress.bytes, progress.bytes_held), (300_000, 297_000));
    assert_eq!((progress.pages_missing, progress.chunks_missing), (0, 30));
    for (id, bytes) in &target.chunks {
        transfer.store(id, bytes).expect("room");
    }
    assert_eq!(transfer.progress().bytes_held, 300_000);
    assert_eq!(store.heights(), heights(&[1]), "it is not visible before it is installed");
    transfer.install().expect("complete");
    target.assert_held_by(&store);
    assert!(store.resume_transfer().expect("none").is_none());
    assert!(scratch.files("transfer").is_empty());
}

#[test]
fn junk_is_refused_and_stored_nowhere() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let target = State::numbered(&cluster, 1, 20, |_| 0);
    let mut transfer = begin(&cluster, &store, &target);
    let (page, bytes) = &target.pages[1];
    let wrong = transfer.store(page, &Bytes::from_static(b"junk"));
    assert!(matches!(wrong, Err(SnapshotError::WrongChunk(digest)) if digest == page.digest));
    let unasked = Bytes::from(vec![7; 1 << 20]);
    assert!(!transfer.store(&ChunkId::of(&unasked), &unasked).expect("ignored"));
    assert!(transfer.store(page, bytes).expect("room"));
    assert!(!transfer.store(page, bytes).expect("ignored"), "repeated");
    let lying = ChunkId { bytes: 3, ..target.chunks[1].0 };
    assert!(matches!(transfer.store(&lying, &target.chunks[1].1), Err(SnapshotError::WrongChunk(_))));
    let installed = transfer.install();
    assert!(matches!(installed, Err(SnapshotError::Incomplete { height: Height(1), .. })));
    assert!(store.heights().is_empty());
    assert!(store.usage().bytes < 10_000);
}

#[test]
fn a_transfer_goes_on_after_a_restart() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let target = State::numbered(&cluster, 9, 1500, |_| 0);
    let mut came_in = 0;
    for (part, (id, bytes)) in target.parts().enumerate() {
        if part % 250 == 0 {
            let inspected = SnapshotStore::inspect(&scratch.snapshots(), cluster.membership.cluster());
            let seen = inspected.and_then(|store| store.unfinished_transfer()).unwrap_or(None);
            assert_eq!(seen.is_some(), part > 0, "whoever inspects sees what is under way");
            if let Some((seen, progress)) = seen {
                assert_eq!(seen.head, target.head);
                assert!(progress.bytes == target.head.bytes() && progress.bytes_held < progress.bytes);
            }
            let store = scratch.open(&cluster).expect("no snapshot");
            let mut transfer = match store.resume_transfer().expect("nothing is under way") {
                Some(transfer) => transfer,
                None => begin(&cluster, &store, &target),
            };
            assert!(matches!(store.resume_transfer(), Err(SnapshotError::TransferOpen)));
            for (id, bytes) in target.parts().skip(part).take(250) {
                came_in += usize::from(transfer.store(id, bytes).expect("room"));
            }
            store.retain(&[]).expect("room");
        }
        let _ = (id, bytes);
    }
    assert_eq!(came_in, target.parts().count(), "nothing came twice");
    let store = scratch.open(&cluster).expect("no snapshot");
    let transfer = store.resume_transfer().expect("nothing is under way").expect("one is to be resumed");
    assert_eq!(transfer.target().head, target.head);
    assert!(transfer.target().certificate.is_some());
    assert_eq!(transfer.progress().chunks_missing, 0);
    transfer.install().expect("complete");
    target.assert_held_by(&store);
}

#[test]
fn a_killed_process_keeps_what_it_had_written() {
    let cluster = Cluster::new("a");
    let disk = CrashingDisk::default();
    let target = State::numbered(&cluster, 9, 200, |_| 0);
    let store = cluster.open(disk.boxed()).expect("an empty store");
    let mut transfer = begin(&cluster, &store, &target);
    for (id, bytes) in target.parts().take(150) {
        transfer.store(id, bytes).expect("room");
    }
    disk.set_fault(Some((0, Fault::Crash)));
    drop((transfer, store));
    disk.set_fault(None);
    assert!(disk.names().iter().any(|name| name.ends_with(".new")));
    let store = cluster.open(disk.boxed()).expect("no snapshot");
    let transfer = store.resume_transfer().expect("readable").expect("one is to be resumed");
    let missing = transfer.progress().chunks_missing;
    assert!((52..80).contains(&missing), "all but a buffer: {missing}");
    assert!(!disk.names().iter().any(|name| name.ends_with(".new")));
}

#[test]
fn another_target_keeps_the_chunks() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let (first, second) =
        (State::numbered(&cluster, 1, 400, |_| 0), State::numbered(&cluster, 2, 400, |i| u64::from(i < 40)));
    let mut transfer = begin(&cluster, &store, &first);
    for (id, bytes) in first.parts() {
        transfer.store(id, bytes).expect("room");
    }
    let refused = store.begin_transfer(second.head.clone(), cluster.header(2), None);
    assert!(matches!(refused, Err(SnapshotError::TransferOpen)));
    drop(transfer);
    let mut transfer = begin(&cluster, &store, &second);
    store.retain(&[]).expect("the pages are not known yet");
    for (id, bytes) in &second.pages {
        transfer.store(id, bytes).expect("room");
    }
    assert_eq!(transfer.progress().chunks_missing, 40);
    let before = store.usage().chunks;
    store.retain(&[]).expect("the pages are known");
    assert!(store.usage().chunks <= before);
    for (id, bytes) in &second.chunks {
        transfer.store(id, bytes).expect("room");
    }
    transfer.install().expect("complete");
    second.assert_held_by(&store);
}

#[test]
fn an_abandoned_transfer_gives_its_space_back() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let kept = State::numbered(&cluster, 1, 50, |_| 0);
    kept.write(&cluster, &store).expect("room");
    let target = State::numbered(&cluster, 2, 2000, |_| 1);
    let mut transfer = begin(&cluster, &store, &target);
    for (id, bytes) in target.parts().take(1500) {
        transfer.store(id, bytes).expect("room");
    }
    transfer.abandon().expect("room");
    store.retain(&heights(&[1])).expect("room");
    assert!(store.usage().bytes < 20_000);
    assert!(store.resume_transfer().expect("none").is_none());
    drop(store);
    kept.assert_held_by(&scratch.open(&cluster).expect("one snapshot"));
}

#[test]
fn a_certified_state_replaces_a_diverged_one_and_what_came_after() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    for height in [1, 2, 3] {
        State::numbered(&cluster, height, 50, |_| 666).write(&cluster, &store).expect("room");
    }
    let certified = State::numbered(&cluster, 2, 50, |_| 0);
    certified.install(&cluster, &store).expect("complete");
    assert_eq!(store.heights(), heights(&[1, 2]));
    drop(store);
    let store = scratch.open(&cluster).expect("two snapshots");
    assert_eq!(store.latest().map(|latest| latest.head.clone()), Some(certified.head.clone()));
    certified.assert_held_by(&store);
}

#[test]
fn a_full_disk_interrupts_a_transfer_and_no_more() {
    let cluster = Cluster::new("a");
    let target = State::numbered(&cluster, 2, 300, |_| 1);
    let kept = State::numbered(&cluster, 1, 50, |_| 0);
    for full_at in [3, 5, 9, 14] {
        let disk = CrashingDisk::default();
        let store = cluster.open(disk.boxed()).expect("an empty store");
        kept.write(&cluster, &store).expect("room");
        let mut transfer = begin(&cluster, &store, &target);
        disk.set_fault(Some((disk.operations() + full_at, Fault::Full)));
        let mut is_full = false;
        for (id, bytes) in target.parts() {
            let stored = transfer.store(id, bytes);
            is_full |= matches!(stored, Err(SnapshotError::Full { .. }));
            assert!(is_full || stored.is_ok());
        }
        assert!(is_full);
        kept.assert_held_by(&store);
        disk.set_fault(None);
        for (id, bytes) in target.parts() {
            transfer.store(id, bytes).expect("room again");
        }
        transfer.install().expect("complete");
        target.assert_held_by(&cluster.open(disk.boxed()).expect("two snapshots"));
    }
}
