//! Is everything that is wrong with a file named, and nothing guessed?

use quorate_types::Height;
use std::fs;

use super::{Cluster, Scratch, State};
use crate::snapshots::SnapshotError;

const CHUNKS: u64 = 8;

struct Scene {
    cluster: Cluster,
    scratch: Scratch,
    state: State,
}

fn scene() -> Scene {
    let (cluster, scratch) = (Cluster::new("a"), Scratch::new());
    let state = State::numbered(&cluster, 1, CHUNKS, |_| 0);
    state.write(&cluster, &scratch.open(&cluster).expect("an empty store")).expect("room");
    Scene { cluster, scratch, state }
}

impl Scene {
    fn change(&self, prefix: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.scratch.files(prefix).remove(0);
        let mut bytes = fs::read(&path).expect("readable");
        change(&mut bytes);
        fs::write(&path, bytes).expect("room");
    }

    fn open_error(&self) -> SnapshotError {
        let names = |scratch: &Scratch| scratch.files("");
        let before = names(&self.scratch);
        let error = self.scratch.open(&self.cluster).expect_err("it is damaged");
        assert_eq!(names(&self.scratch), before, "nothing is changed");
        error
    }
}

#[test]
fn a_rotten_chunk_is_named_when_it_is_read() {
    let scene = scene();
    let (id, bytes) = &scene.state.chunks[5];
    scene.change("pack-", |pack| {
        let at = pack.windows(100).position(|window| window == bytes).expect("it lies there");
        pack[at + 50] ^= 1;
    });
    let store = scene.scratch.open(&scene.cluster).expect("chunks are checked when they are read");
    let is_named = |e: &SnapshotError| matches!(e, SnapshotError::ChunkDamaged { digest, file } if *digest == id.digest && file == "pack-00000000");
    let error = store.read(&id.digest).expect_err("it is rotten");
    assert!(is_named(&error), "{error}");
    let snapshot = store.at(Height(1)).expect("it is visible");
    assert!(is_named(&store.check(&snapshot).expect_err("it is rotten")));
    assert_eq!(
        store.read(&scene.state.chunks[6].0.digest).expect("the others are not"),
        scene.state.chunks[6].1
    );
}

#[test]
fn a_rotten_page_stops_the_start() {
    let scene = scene();
    let page = &scene.state.pages[1].1;
    scene.change("pack-", |pack| {
        let at = pack.windows(page.len()).position(|window| window == page).expect("it lies there");
        pack[at] ^= 1;
    });
    assert!(matches!(scene.open_error(), SnapshotError::ChunkDamaged { .. }));
}

#[test]
fn a_pack_that_is_not_what_it_was_stops_the_start() {
    let damage: [fn(&mut Vec<u8>); 6] = [
        Vec::clear,
        |pack| pack.truncate(pack.len() / 2),
        |pack| pack.truncate(pack.len() - 1),
        |pack| pack.push(0),
        |pack| pack[0] ^= 1,
        |pack| {
            let at = pack.len() - 60;
            pack[at] ^= 1;
        },
    ];
    for damage in damage {
        let scene = scene();
        scene.change("pack-", damage);
        let error = scene.open_error();
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    }
}

#[test]
fn no_flipped_byte_of_a_pack_goes_unnoticed() {
    let scene = scene();
    let length = fs::read(&scene.scratch.files("pack-")[0]).expect("readable").len();
    // The digests and lengths that stand before the chunks are for salvage alone.
    let mut unnoticed = 0_u64;
    for at in 0..length {
        scene.change("pack-", |pack| pack[at] ^= 0x10);
        let opened = scene.scratch.open(&scene.cluster);
        let checked = opened.and_then(|store| store.check(&store.at(Height(1)).expect("it is visible")));
        unnoticed += u64::from(checked.is_ok());
        scene.change("pack-", |pack| pack[at] ^= 0x10);
    }
    assert_eq!(unnoticed, 36 * (CHUNKS + 2));
}

#[test]
fn a_lost_pack_stops_the_start() {
    let scene = scene();
    fs::remove_file(scene.scratch.files("pack-").remove(0)).expect("it is there");
    assert!(matches!(scene.open_error(), SnapshotError::Incomplete { height: Height(1), .. }));
}

#[test]
fn a_snapshot_file_that_is_not_what_it_was_stops_the_start() {
    for prefix in ["snapshot-", "transfer"] {
        let scene = scene();
        if prefix == "transfer" {
            let store = scene.scratch.open(&scene.cluster).expect("one snapshot");
            let target = State::numbered(&scene.cluster, 2, 30, |_| 1).head;
            drop(store.begin_transfer(target, scene.cluster.header(2), None).expect("none is under way"));
        }
        let whole = fs::read(&scene.scratch.files(prefix)[0]).expect("readable");
        scene.change(prefix, Vec::clear);
        assert!(matches!(scene.open_error(), SnapshotError::Empty { .. }));
        for length in (1..whole.len()).step_by(5) {
            scene.change(prefix, |file| *file = whole[..length].to_vec());
            assert!(matches!(scene.open_error(), SnapshotError::Truncated { .. }));
        }
        for at in (0..16).chain((16..whole.len()).step_by(5)) {
            scene.change(prefix, |file| {
                file.clone_from(&whole);
                file[at] ^= 4;
            });
            let error = scene.open_error();
            let is_expected = match at {
                0..8 => matches!(error, SnapshotError::NotThis { .. }),
                8..12 => matches!(error, SnapshotError::FutureFormat { .. }),
                12..16 => matches!(error, SnapshotError::Truncated { .. } | SnapshotError::Damaged { .. }),
                _ => matches!(error, SnapshotError::Damaged { .. }),
            };
            assert!(is_expected, "{at}: {error}");
        }
        scene.change(prefix, |file| *file = [&whole[..], &[0]].concat());
        assert!(matches!(scene.open_error(), SnapshotError::TrailingBytes { .. }));
    }
}

#[test]
fn a_snapshot_under_another_height_stops_the_start() {
    let scene = scene();
    let path = scene.scratch.files("snapshot-").remove(0);
    fs::rename(&path, path.with_file_name("snapshot-0000000000000007")).expect("room");
    assert!(matches!(scene.open_error(), SnapshotError::Damaged { .. }));
}

#[test]
fn another_clusters_snapshots_are_refused() {
    let scene = Scene { cluster: Cluster::new("b"), ..scene() };
    assert!(matches!(scene.open_error(), SnapshotError::ForeignCluster { .. }));
}

#[test]
fn a_later_versions_files_are_refused() {
    for (prefix, at) in [("pack-", 8), ("snapshot-", 8)] {
        let scene = scene();
        scene.change(prefix, |file| file[at] = 2);
        let error = scene.open_error();
        assert!(matches!(error, SnapshotError::FutureFormat { version: 2, .. }), "{error}");
    }
}
