//! Does the doctor say what is in a directory, healthy or not, and change nothing?

mod common;

use common::files::Files;
use common::{Journal, append_in_order, until, within};
use quorate::backup;
use quorate::config::read_genesis;
use quorate::doctor::{Gravity, Report, examine};
use quorate::prelude::*;
use quorate::types::{Genesis, Height, ProtocolParameters};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Looks, and makes sure that nothing changed.
fn look(dir: &Path, genesis: Option<&Genesis>) -> Report {
    let before = contents(dir);
    let report = examine(dir, genesis, true);
    assert_eq!(before, contents(dir), "the doctor changes nothing");
    report
}

/// Every file with its bytes.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return found };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(contents(&path));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("it reads");
            found.insert(path, bytes);
        }
    }
    found
}

fn assert_finding(report: &Report, gravity: Gravity, what: &str) {
    let is_it = |finding: &&quorate::doctor::Finding| finding.what.contains(what);
    let found = report.findings.iter().find(is_it);
    let found = found.unwrap_or_else(|| panic!("no finding says {what:?}: {:?}", report.findings));
    assert_eq!(found.gravity, gravity, "{found:?}");
    assert!(!found.to_do.is_empty() && !found.to_do.contains('\n'), "{found:?}");
    assert!(report.gravity() >= gravity && !report.verdict().is_empty());
}

/// A cluster that ran and was stopped, in `old` below the files' directory.
async fn stopped(files: &Files) -> Genesis {
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 16, ..ProtocolParameters::default() };
    std::fs::create_dir(files.path("old")).expect("it is new");
    let builder = LocalCluster::builder().protocol(protocol).directory(files.path("old"));
    let cluster = builder.start(Journal::default).await.expect("the cluster starts");
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..10).await;
    for replica in cluster.replicas() {
        until("a checkpoint is stable", replica, |status| status.stable >= Height(8)).await;
    }
    // While they run, the doctor needs no lock and finds them in use. What they write meanwhile is no damage.
    for index in 0..4 {
        let report = examine(&files.path(format!("old/replica-{index}")), Some(cluster.genesis()), false);
        assert!(report.is_in_use && report.gravity() == Gravity::Healthy, "{:?}", report.findings);
    }
    let genesis = cluster.genesis().clone();
    within("it stops", cluster.stop()).await.expect("it stops");
    genesis
}

#[tokio::test]
async fn a_healthy_directory_is_described() {
    let files = Files::new();
    let genesis = stopped(&files).await;
    let report = look(&files.path("old/replica-2"), Some(&genesis));
    assert_eq!((report.gravity(), report.verdict()), (Gravity::Healthy, "nothing to do".to_owned()));
    assert!(!report.is_in_use, "{report:?}");
    assert_eq!(report.replica, Some(quorate::types::ReplicaId(2)));
    assert_eq!(report.cluster, Some(genesis.cluster_id()));
    let log = report.log.expect("it is intact");
    assert_eq!((log.account.committed, log.account.stable), (Height(10), Height(8)));
    assert!(log.account.last_vote.is_some_and(|(_, height, _)| height == Height(10)), "{log:?}");
    assert!(log.bytes > 0 && log.segments == 1 && log.end > 10, "{log:?}");
    let snapshots = report.snapshots.expect("they are intact");
    let newest = snapshots.snapshots.last().expect("there is one");
    assert_eq!((newest.height, newest.is_intact), (Height(8), Some(true)));
    assert!(newest.bytes > 0 && newest.chunks > 0 && snapshots.packs > 0 && report.free_bytes.is_some());
}

#[tokio::test]
async fn what_is_lost_foreign_or_unused_is_named() {
    let files = Files::new();
    let genesis = stopped(&files).await;
    let foreign = read_genesis(&files.path("genesis.json"), None).expect("it reads");
    let dir = files.path("old/replica-0");
    let report = look(&dir, Some(&foreign));
    assert_finding(&report, Gravity::ToDo, "and genesis is of cluster");

    let nowhere = files.path("nowhere");
    assert_finding(&look(&nowhere, None), Gravity::ToDo, "cannot be read");
    std::fs::create_dir(&nowhere).expect("it is new");
    assert_finding(&look(&nowhere, None), Gravity::ToDo, "the directory is empty");
    std::fs::write(nowhere.join("notes"), "mine").expect("it writes");
    assert_finding(&look(&nowhere, None), Gravity::ToDo, "nothing says whose they are");
    assert_finding(&look(&files.path("genesis.json"), None), Gravity::ToDo, "is not a directory");

    Replica::init(files.path("replica-0.toml")).expect("it is new");
    let fresh = look(&files.path("replica-0"), Some(&foreign));
    assert_finding(&fresh, Gravity::Healthy, "prepared and never started");
    assert_eq!(fresh.verdict(), "nothing to do");

    // A directory that `replica` made itself, because there was none.
    let lost = Replica::open(files.path("replica-1.toml"), Journal::default).expect("it opens");
    within("it stops", lost.stop()).await.expect("it stops");
    drop(lost);
    assert_finding(&look(&files.path("replica-1"), None), Gravity::ToDo, "its disk was lost (rule D3)");

    let saved = files.path("saved");
    backup::save(&dir, None, &saved).expect("it is certified");
    let restored = files.path("restored");
    backup::restore(&saved, &genesis, &restored, genesis.replicas[1].key).expect("it is new");
    let report = look(&restored, Some(&genesis));
    assert_finding(&report, Gravity::ToDo, "it was restored from a saved snapshot");
    assert_eq!(report.log.expect("intact").account.committed, Height(8));
    assert!(report.snapshots.expect("intact").snapshots[0].is_certified);

    std::fs::create_dir(dir.join("dumps/height-7")).expect("it is new");
    assert_finding(&look(&dir, None), Gravity::ToDo, "1 dumps of states that differed");
}

/// The one segment of a stopped replica's log.
fn segment(dir: &Path) -> PathBuf {
    dir.join("log/00000000000000000000.log")
}

#[tokio::test]
async fn damage_is_told_with_its_place_and_a_torn_tail_is_none() {
    let files = Files::new();
    stopped(&files).await;
    let dir = |index: usize| files.path(format!("old/replica-{index}"));

    let torn = segment(&dir(0));
    let mut bytes = std::fs::read(&torn).expect("it reads");
    bytes.extend([7; 100]);
    std::fs::write(&torn, &bytes).expect("it writes");
    let report = look(&dir(0), None);
    assert_finding(&report, Gravity::Healthy, "the log's tail is torn");
    assert!(report.log.expect("intact").torn_bytes >= 100);

    let mut flipped = bytes.clone();
    flipped[2000] ^= 1;
    std::fs::write(&torn, &flipped).expect("it writes");
    let report = look(&dir(0), None);
    assert_finding(&report, Gravity::Damaged, "is damaged at byte");
    assert!(report.verdict().contains("start it on an empty one"), "{}", report.verdict());

    let future = segment(&dir(1));
    let mut bytes = std::fs::read(&future).expect("it reads");
    bytes[8] = 2;
    let checksum = crc32(&bytes[..12]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&future, bytes).expect("it writes");
    assert_finding(&look(&dir(1), None), Gravity::ToDo, "start a newer program");

    std::fs::write(dir(1).join("log/notes"), "mine").expect("it writes");
    assert_finding(&look(&dir(1), None), Gravity::ToDo, "does not belong to this log");

    let identity = dir(1).join("identity");
    std::fs::write(&identity, "").expect("it writes");
    assert_finding(&look(&dir(1), None), Gravity::Damaged, "does not say whose data it holds");

    let snapshots = dir(2).join("snapshots");
    let pack = |kind: &str| {
        let entries = std::fs::read_dir(&snapshots).expect("it reads");
        let mut paths = entries.map(|entry| entry.expect("an entry").path());
        paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind)))
    };
    let path = pack("pack-").expect("there is one");
    let whole = std::fs::read(&path).expect("it reads");
    let mut flipped = whole.clone();
    flipped[60] ^= 1;
    std::fs::write(&path, &flipped).expect("it writes");
    let report = look(&dir(2), None);
    assert_finding(&report, Gravity::Damaged, "is damaged");
    std::fs::write(&path, &whole[..whole.len() - 1]).expect("it writes");
    assert_finding(&look(&dir(2), None), Gravity::Damaged, "the snapshots: ");
    std::fs::write(&path, &whole).expect("it writes");
    assert_eq!(look(&dir(2), None).gravity(), Gravity::Healthy);
    std::fs::write(snapshots.join("pack-000000ff.new"), [0; 9]).expect("it writes");
    let report = look(&dir(2), None);
    let leftovers = report.snapshots.as_ref().expect("intact").leftovers.clone();
    assert_eq!(leftovers, [("pack-000000ff.new".to_owned(), 9)]);
    std::fs::write(pack("snapshot-").expect("there is one"), "").expect("it writes");
    assert_finding(&look(&dir(2), None), Gravity::Damaged, "is empty");
}

#[tokio::test]
async fn a_directory_without_rights_is_named_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let files = Files::new();
    stopped(&files).await;
    let dir = files.path("old/replica-0");
    let identity = dir.join("identity");
    let set = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&identity, permissions).expect("it is ours");
    };
    set(0o000);
    // Who may do everything is refused nothing.
    if std::fs::read(&identity).is_err() {
        assert_finding(&look(&dir, None), Gravity::ToDo, "no right to read");
        let error = backup::save(&dir, None, &files.path("saved")).expect_err("no rights");
        assert!(error.to_string().contains("no right to read"), "{error}");
    }
    set(0o600);
    assert_eq!(look(&dir, None).gravity(), Gravity::Healthy);
}

/// As the log computes it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}
