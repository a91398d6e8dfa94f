//! What does a replica do about a disk that is full, damaged, lost or rolled back? Real processes on real files.

mod common;

use common::campaign::check_equal_roots;
use common::processes::Processes;
use quorate::types::View;
use quorate::{Durability, Status};
use std::path::{Path, PathBuf};

/// Puts so many values, each of so many bytes.
fn put(processes: &Processes, name: &str, count: usize, bytes: usize) {
    for number in 0..count {
        let output = processes.quorate(&["put", &format!("{name}{number}"), &"x".repeat(bytes)]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn is_back(status: &Status) -> bool {
    status.is_awake && !status.is_recovering && status.connected.len() == 3
}

async fn start_all() -> Processes {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    for index in 0..4 {
        processes.wait_until_ready(index).await;
    }
    processes
}

#[tokio::test]
async fn a_replica_on_a_full_disk_stops_with_a_sentence_and_goes_on_when_there_is_room() {
    let mut processes = start_all().await;
    processes.kill(2);
    processes.start_with_full_disk(2, 256);
    processes.wait_until_ready(2).await;
    put(&processes, "a", 6, 60_000);
    assert_eq!(processes.ended(2).await.code(), Some(3));
    let log = processes.log(2);
    assert!(log.contains("the disk is full") && log.contains("free"), "{log}");
    put(&processes, "b", 6, 60_000);
    processes.start(2);
    processes.wait_until_ready(2).await;
    // Now it is needed.
    processes.kill(3);
    put(&processes, "c", 3, 1000);
    processes.start(3);
    check_equal_roots(&processes).await;
}

#[tokio::test]
async fn damage_in_the_log_is_named_and_nothing_is_guessed() {
    let mut processes = start_all().await;
    put(&processes, "a", 10, 1000);
    processes.kill(1);
    put(&processes, "b", 2, 1000);
    let segment = newest_file(&processes.path("replica-1/log"));
    let whole = std::fs::read(&segment).expect("it reads");
    let mut damaged = whole.clone();
    // In the middle of what was synced long before the end.
    let place =
        whole.windows(200).position(|window| window.iter().all(|byte| *byte == b'x')).expect("a value");
    damaged[place + 100] ^= 1;
    std::fs::write(&segment, &damaged).expect("it writes");
    let output = processes.try_start(1).expect_err("it does not start");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("is damaged at byte") && errors.contains("start with an empty one"), "{errors}");
    assert_eq!(std::fs::read(&segment).expect("it reads"), damaged, "nothing is overwritten");
    // What the sentence says to do.
    std::fs::rename(processes.path("replica-1"), processes.path("kept")).expect("it moves");
    processes.start(1);
    processes.wait_for(1, "is back", is_back).await;
    put(&processes, "c", 2, 1000);
    check_equal_roots(&processes).await;
}

/// Rule D3, in an idle cluster.
#[tokio::test]
async fn a_replica_with_a_wiped_directory_is_let_in_again_by_one_view_change() {
    let mut processes = start_all().await;
    put(&processes, "a", 5, 100);
    processes.kill(3);
    std::fs::remove_dir_all(processes.path("replica-3")).expect("it was there");
    processes.start(3);
    let status = processes.wait_for(3, "is back", is_back).await;
    assert_eq!(status.view, View(1), "{status:?}");
    processes.kill(0);
    put(&processes, "b", 2, 100);
    processes.start(0);
    check_equal_roots(&processes).await;
}

/// Rule D3: what its peers have seen of it tells a replica that its directory is an old one.
#[tokio::test]
async fn a_replica_with_an_old_directory_is_told_so_and_let_in_again() {
    let mut processes = start_all().await;
    put(&processes, "a", 3, 100);
    processes.kill(3);
    copy(&processes.path("replica-3"), &processes.path("backup"));
    processes.start(3);
    put(&processes, "b", 5, 100);
    let voted = processes.wait_for(3, "has executed all", |status| status.executed.0 >= 8).await;
    assert_eq!(voted.view, View(0), "{voted:?}");
    processes.kill(3);
    std::fs::remove_dir_all(processes.path("replica-3")).expect("it was there");
    copy(&processes.path("backup"), &processes.path("replica-3"));
    processes.start(3);
    let status = processes.wait_for(3, "is back", is_back).await;
    assert_eq!(status.view, View(1), "{status:?}");
    assert!(processes.log(3).contains("rolled back"), "{}", processes.log(3));
    put(&processes, "c", 3, 100);
    check_equal_roots(&processes).await;
}

fn newest_file(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).expect("it is there");
    entries.map(|entry| entry.expect("it reads").path()).max().expect("a segment")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("it is new");
    for entry in std::fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("it reads");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().expect("it has one") {
            kind if kind.is_dir() => copy(&from, &to),
            kind if kind.is_file() => drop(std::fs::copy(&from, &to).expect("it copies")),
            // The control socket is made anew.
            _ => {}
        }
    }
}
