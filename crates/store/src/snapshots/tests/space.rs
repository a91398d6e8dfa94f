//! Is space given back, and how much is used meanwhile?

use super::disk::{CrashingDisk, Fault};
use super::{Cluster, Scratch, State, heights};
use crate::snapshots::SnapshotError;

#[test]
fn fifty_snapshots_with_small_changes_take_little_more_than_one() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let count = 1500;
    let one = State::numbered(&cluster, 0, count, |_| 0).write(&cluster, &store).expect("room");
    for height in 1..=50 {
        // One per cent, somewhere else each time. A chunk's generation is the last height that changed it.
        let generation =
            |i: u64| (0..=height).rev().find(|h| *h == 0 || (i * 37 + h).is_multiple_of(100)).unwrap_or(0);
        let state = State::numbered(&cluster, height, count, generation);
        let written = state.write(&cluster, &store).expect("room");
        assert!(written < one / 20 + 60_000, "{written} of {one}");
        store.retain(&heights(&[height - 1, height])).expect("room");
        state.assert_held_by(&store);
        let usage = store.usage();
        assert!(usage.bytes < 3 * one, "{usage:?}, one snapshot is {one}");
        assert!(usage.packs < 100, "{usage:?}");
    }
    let on_disk: u64 = scratch.files("pack-").iter().map(|f| f.metadata().expect("a file").len()).sum();
    assert_eq!(on_disk, store.usage().bytes);
}

#[test]
fn many_small_packs_become_few() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    for height in 1..=60 {
        State::numbered(&cluster, height, height, |_| 0).write(&cluster, &store).expect("room");
        let all: Vec<u64> = (1..=height).collect();
        store.retain(&heights(&all)).expect("room");
        assert!(store.usage().packs < 40, "{:?}", store.usage());
    }
    for height in 1..=60 {
        State::numbered(&cluster, height, height, |_| 0).assert_held_by(&store);
    }
}

#[test]
fn nothing_goes_while_a_snapshot_is_being_written() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    State::numbered(&cluster, 1, 500, |_| 0).write(&cluster, &store).expect("room");
    let next = State::numbered(&cluster, 2, 500, |i| u64::from(i == 3));
    let mut writer = store.begin().expect("writable");
    next.put(&mut writer).expect("room");
    store.retain(&[]).expect("room");
    assert!(store.heights().is_empty());
    writer.finish(next.head.clone(), cluster.header(2)).expect("its chunks are there");
    next.assert_held_by(&store);
    store.retain(&heights(&[2])).expect("room");
    next.assert_held_by(&store);
    store.retain(&[]).expect("room");
    assert_eq!(store.usage(), crate::snapshots::Usage::default());
    assert!(scratch.files("").is_empty());
}

#[test]
fn a_chunk_that_has_the_bytes_of_a_page_hides_nothing() {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let store = scratch.open(&cluster).expect("an empty store");
    let victim = State::numbered(&cluster, 2, 30, |_| 0);
    // The application of the lower snapshot keeps the other one's page as its data.
    let page = victim.pages[1].1.to_vec();
    State::new(&cluster, 1, [vec![1], page]).write(&cluster, &store).expect("room");
    victim.write(&cluster, &store).expect("room");
    store.retain(&heights(&[1, 2])).expect("room");
    victim.assert_held_by(&store);
}

#[test]
fn a_disk_that_is_full_costs_the_new_snapshot_only() {
    let cluster = Cluster::new("a");
    let (old, new) = (State::numbered(&cluster, 1, 300, |_| 0), State::numbered(&cluster, 2, 300, |_| 1));
    let mut writes_seen = 0;
    for full_at in 1.. {
        let disk = CrashingDisk::default();
        let store = cluster.open(disk.boxed()).expect("an empty store");
        old.write(&cluster, &store).expect("room");
        disk.set_fault(Some((disk.operations() + full_at, Fault::Full)));
        let written = new.write(&cluster, &store);
        if written.is_ok() {
            break;
        }
        writes_seen += 1;
        assert!(matches!(written, Err(SnapshotError::Full { .. })), "{written:?}");
        assert_eq!(store.heights(), heights(&[1]));
        old.assert_held_by(&store);
        store.retain(&heights(&[1])).expect("removing needs no room");
        drop(store);
        disk.set_fault(None);
        let store = cluster.open(disk.boxed()).expect("one snapshot");
        assert!(!disk.names().iter().any(|name| name.ends_with(".new")));
        assert!(disk.bytes() < store.usage().bytes + 1000, "packs and one small file");
        new.write(&cluster, &store).expect("room again");
        new.assert_held_by(&store);
    }
    assert!(writes_seen > 10, "{writes_seen}");
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    let cluster = Cluster::new("a");
    let (old, new) = (State::numbered(&cluster, 1, 30, |_| 0), State::numbered(&cluster, 2, 500, |_| 1));
    let mut failed = 0;
    // While the pack grows, when it is complete, and in the directory.
    for sync_at in 1..=60 {
        let disk = CrashingDisk::default();
        let store = cluster.open(disk.boxed()).expect("an empty store");
        old.write(&cluster, &store).expect("room");
        disk.set_fault(Some((disk.operations() + sync_at, Fault::Sync)));
        let written = new.write(&cluster, &store);
        if written.is_ok() {
            continue;
        }
        failed += 1;
        assert!(matches!(written, Err(SnapshotError::SyncFailed { .. })), "{written:?}");
        assert!(matches!(store.begin().err(), Some(SnapshotError::Stopped)));
        assert!(matches!(store.retain(&[]), Err(SnapshotError::Stopped)));
        old.assert_held_by(&store);
        old.assert_held_by(&cluster.open(disk.boxed()).expect("one snapshot, or two"));
    }
    // The first sync from each operation on fails; without those of a growing pack 21 would be told.
    assert!(failed > 40, "{failed}");
}
