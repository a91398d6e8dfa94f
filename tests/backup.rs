//! Does a state leave a cluster and come back: into one lost directory, and, where too many are lost, into a new
//! cluster? Is everything else refused in a sentence, with nothing left behind?

mod common;

use common::files::Files;
use common::{Command, Journal, append_in_order, list, until, within};
use quorate::backup;
use quorate::config::{ReplicaConfig, read_genesis};
use quorate::prelude::*;
use quorate::types::{Genesis, Height, ProtocolParameters, PublicKey};
use quorate::{ClientOptions, Status};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cluster whose directories can be lost, with a checkpoint every four blocks.
async fn start(files: &Files) -> LocalCluster<Journal> {
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 16, ..ProtocolParameters::default() };
    let builder = LocalCluster::builder().protocol(protocol).directory(files.path("old"));
    std::fs::create_dir(files.path("old")).expect("it is new");
    builder.start(Journal::default).await.expect("the cluster starts")
}

fn key_of(cluster: &LocalCluster<Journal>, replica: usize) -> PublicKey {
    cluster.members()[replica].key
}

/// Appends numbers until a replica has a certified snapshot at or above a height.
async fn certified(cluster: &LocalCluster<Journal>, client: &Client<Journal>, count: u64) {
    append_in_order(client, 0..count).await;
    let height = Height(count / 4 * 4);
    for replica in cluster.replicas() {
        until("a checkpoint is stable", replica, move |status| status.stable >= height).await;
    }
    // The certificate is put beside its snapshot by another thread, so the first save may come too soon.
}

/// Saves a survivor's newest certified snapshot as soon as it is there.
async fn save(files: &Files, replica: usize, name: &str) -> (PathBuf, backup::SavedSnapshot) {
    let (dir, file) = (files.path(format!("old/replica-{replica}")), files.path(name));
    let saved = within("a certified snapshot is there", async {
        loop {
            match backup::save(&dir, None, &file) {
                Ok(saved) => break saved,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let saved = saved.await;
    (file, saved)
}

#[tokio::test]
async fn a_lost_directory_is_restored_from_a_survivor_under_load() {
    let files = Files::new();
    let cluster = start(&files).await;
    let client = cluster.client().await.expect("a client");
    certified(&cluster, &client, 10).await;
    cluster.replica(3).wipe().await.expect("it stops and is wiped");
    let (file, saved) = save(&files, 1, "saved").await;
    assert!(saved.height >= Height(4) && saved.signers.len() == 3, "{saved:?}");
    let verified = backup::verify(&file, cluster.genesis()).expect("it is intact");
    assert_eq!(verified, saved);
    let dir = files.path("old/replica-3");
    let restored = backup::restore(&file, cluster.genesis(), &dir, key_of(&cluster, 3)).expect("it is new");
    assert_eq!(restored, saved);

    within("it starts", cluster.replica(3).restart()).await.expect("it starts");
    let status = cluster.replica(3).status().await.expect("it runs");
    assert!(status.executed >= saved.height, "it goes on from the snapshot: {status:?}");
    let mut next = 10;
    let is_in = |status: &Status| status.is_awake && !status.is_recovering;
    while !is_in(&cluster.replica(3).status().await.expect("it runs")) {
        append_in_order(&client, next..next + 1).await;
        next += 1;
    }
    // With one of the others gone every quorum needs it.
    within("a replica stops", cluster.replica(2).stop()).await.expect("it stops");
    append_in_order(&client, next..next + 10).await;
    assert_eq!(list(&client).await, (0..next + 10).collect::<Vec<_>>());
    let goal = cluster.replica(0).status().await.expect("it runs").stable;
    let theirs = until("a checkpoint", cluster.replica(0), move |s| s.state.0 >= goal).await.state;
    let own = until("a checkpoint", cluster.replica(3), move |s| s.state.0 >= theirs.0).await.state;
    assert!(own.0 > theirs.0 || own == theirs);
    within("it stops", cluster.stop()).await.expect("it stops");
}

/// The runbook for more than f lost disks. The old cluster cannot go on: only two are left to say what the lost
/// ones may have signed, and three are needed (rule D3). A new cluster takes its state over.
#[tokio::test]
async fn a_new_cluster_begins_with_the_state_of_one_that_lost_two_disks() {
    let files = Files::new();
    let cluster = start(&files).await;
    let client = cluster.client().await.expect("a client");
    certified(&cluster, &client, 10).await;
    for lost in [2, 3] {
        cluster.replica(lost).wipe().await.expect("it stops and is wiped");
    }
    let (file, saved) = save(&files, 1, "saved").await;
    for lost in [2, 3] {
        let dir = files.path(format!("old/replica-{lost}"));
        backup::restore(&file, cluster.genesis(), &dir, key_of(&cluster, lost)).expect("it is new");
        within("it starts", cluster.replica(lost).restart()).await.expect("it starts");
    }
    let options = ClientOptions { deadline: Duration::from_secs(2), ..ClientOptions::default() };
    let hasty = cluster.client_with(&options).await.expect("a client");
    within("no answer", hasty.submit(Command::Append(10))).await.expect_err("there is no quorum");
    for lost in [2, 3] {
        let status = cluster.replica(lost).status().await.expect("it runs");
        assert!(status.is_recovering && status.halted.is_none(), "{status:?}");
    }
    within("it stops", cluster.stop()).await.expect("it stops");

    // Without the state that genesis names nobody starts, so that nobody begins with another one.
    let new = NewCluster { files: &files, file: &file, from: cluster.genesis() };
    new.begin_with(&saved);
    Replica::init(new.config(0)).expect("it is new");
    let error = Replica::open(new.config(0), Journal::default).expect_err("it has no state");
    assert!(error.to_string().contains("with `quorate snapshot seed`"), "{error}");
    new.seed(0, false).expect("it is prepared");
    for index in 1..4 {
        Replica::init(new.config(index)).expect("it is new");
        new.seed(index, false).expect("it is prepared");
    }
    let mut replicas: Vec<Replica> = (0..4).map(|index| new.open(index)).collect();
    let client = new.client();
    let taken_over = list(&client).await;
    let count = taken_over.len() as u64;
    assert_eq!(count, saved.height.0, "all that stood in the snapshot, each block one number");
    assert_eq!(taken_over, (0..count).collect::<Vec<_>>());
    append_in_order(&client, count..count + 10).await;

    // A restart goes on, and one that lost its directory is seeded again and let in.
    within("it stops", replicas[1].stop()).await.expect("it stops");
    drop(replicas.remove(1));
    replicas.insert(1, new.open(1));
    append_in_order(&client, count + 10..count + 15).await;
    within("it stops", replicas[3].stop()).await.expect("it stops");
    std::fs::remove_dir_all(files.path("replica-3")).expect("it was there");
    let error = new.seed(3, false).expect_err("it ran").to_string();
    assert!(error.contains("say --lost if its directory was lost"), "{error}");
    new.seed(3, true).expect("it is lost");
    drop(replicas.remove(3));
    replicas.push(new.open(3));
    let mut next = count + 15;
    while replicas[3].status().await.is_recovering || !replicas[3].status().await.is_awake {
        append_in_order(&client, next..next + 1).await;
        next += 1;
    }
    within("it stops", replicas[2].stop()).await.expect("it stops");
    append_in_order(&client, next..next + 5).await;
    assert_eq!(list(&client).await, (0..next + 5).collect::<Vec<_>>());
    for replica in &replicas {
        within("it stops", replica.stop()).await.expect("it stops");
    }
}

/// The files of the new cluster, with new keys and free ports.
struct NewCluster<'a> {
    files: &'a Files,
    file: &'a Path,
    from: &'a Genesis,
}

impl NewCluster<'_> {
    fn begin_with(&self, saved: &backup::SavedSnapshot) {
        self.files.edit("genesis.json", |text| {
            let mut genesis: Genesis = serde_json::from_str(&text).expect("a genesis");
            genesis.start = Some(saved.start());
            genesis.name = "after the loss".to_owned();
            serde_json::to_string_pretty(&genesis).expect("it writes")
        });
    }

    fn config(&self, index: usize) -> PathBuf {
        self.files.path(format!("replica-{index}.toml"))
    }

    fn seed(&self, index: usize, is_lost: bool) -> quorate::Result<backup::SavedSnapshot> {
        backup::seed(self.file, self.from, &ReplicaConfig::read(self.config(index))?, is_lost)
    }

    fn open(&self, index: usize) -> Replica {
        Replica::open(self.config(index), Journal::default).expect("it opens")
    }

    fn client(&self) -> Client<Journal> {
        self.files.client()
    }
}

fn sentence<T: std::fmt::Debug>(result: quorate::Result<T>) -> String {
    result.expect_err("it is refused").to_string()
}

#[tokio::test]
async fn what_is_no_certified_snapshot_of_this_cluster_is_refused_and_leaves_nothing() {
    let files = Files::new();
    let cluster = start(&files).await;
    let client = cluster.client().await.expect("a client");
    certified(&cluster, &client, 10).await;
    let (file, saved) = save(&files, 1, "saved").await;
    let (genesis, key) = (cluster.genesis().clone(), key_of(&cluster, 3));
    let whole = std::fs::read(&file).expect("it reads");
    let foreign = read_genesis(&files.path("genesis.json"), None).expect("it reads");

    let again = sentence(backup::save(&files.path("old/replica-1"), None, &file));
    assert!(again.contains("exists already and is not overwritten"), "{again}");
    assert_eq!(std::fs::read(&file).expect("it reads"), whole);
    let nowhere = sentence(backup::save(&files.path("nowhere"), None, &files.path("other")));
    assert!(nowhere.contains("it is not the directory of a replica"), "{nowhere}");
    let height = Some(Height(3));
    let none = sentence(backup::save(&files.path("old/replica-1"), height, &files.path("other")));
    assert!(none.contains("there is no snapshot at height 3"), "{none}");
    assert!(!files.path("other").exists());
    assert!(sentence(backup::verify(&file, &foreign)).contains("belongs to cluster"));

    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("is empty", Vec::new()),
        ("is truncated", whole[..whole.len() - 1].to_vec()),
        ("is truncated", whole[..10].to_vec()),
        ("has bytes behind its end", [&whole[..], &[0]].concat()),
        ("is not a saved snapshot", [b"X", &whole[1..]].concat()),
        ("is not a saved snapshot", b"no snapshot at all, but long enough".to_vec()),
        ("has format 2", [&whole[..8], &2_u32.to_le_bytes(), &whole[12..]].concat()),
    ];
    // One flipped bit anywhere: in the head, in the certificate, in a page, in a chunk.
    for place in (16..whole.len()).step_by(whole.len() / 23) {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        cases.push(("", flipped));
    }
    let (bad, dir) = (files.path("bad"), files.path("restored"));
    for (expected, bytes) in cases {
        std::fs::write(&bad, bytes).expect("it writes");
        let verified = sentence(backup::verify(&bad, &genesis));
        assert!(verified.contains(expected), "{expected}: {verified}");
        let restored = sentence(backup::restore(&bad, &genesis, &dir, key));
        assert!(restored.contains(expected) && !dir.exists(), "{expected}: {restored}");
    }

    let stranger = sentence(backup::restore(&file, &genesis, &dir, foreign.replicas[0].key));
    assert!(stranger.contains("is none of this cluster's replicas") && !dir.exists(), "{stranger}");
    let full = sentence(backup::restore(&file, &genesis, &files.path("old/replica-3"), key));
    assert!(full.contains("is not empty, and nothing in it is overwritten"), "{full}");
    let file_in_the_way = sentence(backup::restore(&file, &genesis, &files.path("genesis.json"), key));
    assert!(file_in_the_way.contains("is not a directory"), "{file_in_the_way}");

    // A seed needs a genesis that names exactly this state, and a directory that nobody uses.
    let config = || ReplicaConfig::read(files.path("replica-0.toml")).expect("it reads");
    let unnamed = sentence(backup::seed(&file, &genesis, &config(), false));
    assert!(unnamed.contains("genesis does not begin with this state"), "{unnamed}");
    let new = NewCluster { files: &files, file: &file, from: &genesis };
    new.begin_with(&saved);
    Replica::init(new.config(0)).expect("it is new");
    let there = sentence(new.seed(0, true));
    assert!(there.contains("leave out --lost"), "{there}");
    new.seed(0, false).expect("it is prepared");
    let twice = sentence(new.seed(0, false));
    assert!(twice.contains("was used or seeded already"), "{twice}");
    let running = new.open(0);
    let busy = sentence(new.seed(0, false));
    assert!(busy.contains("in use by another process"), "{busy}");
    within("it stops", running.stop()).await.expect("it stops");
    within("it stops", cluster.stop()).await.expect("it stops");
}
