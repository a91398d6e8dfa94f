//! Do `doctor` and `snapshot` work as programs: their words, their JSON, their exit codes, also while replicas run?

mod common;

use common::processes::{Processes, new_directory, quorate, text_of};
use common::{until, within};
use quorate::Durability;
use quorate::prelude::*;
use quorate::types::{Height, ProtocolParameters, SecretKey, hex};
use quorate_services::kv;
use std::path::PathBuf;
use std::process::Output;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Counter {
    total: u64,
}

impl StateMachine for Counter {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = u64;
    fn apply(&mut self, add: u64, _: &Context) -> u64 {
        self.total += add;
        self.total
    }
    fn query(&self, (): ()) -> u64 {
        self.total
    }
}

/// A cluster in this process with its directories below one, and its genesis in a file.
struct Scene {
    directory: PathBuf,
    cluster: LocalCluster<Counter>,
}

impl Scene {
    async fn start() -> Self {
        let directory = new_directory();
        std::fs::create_dir(&directory).expect("it is new");
        let protocol =
            ProtocolParameters { checkpoint_interval: 4, window: 16, ..ProtocolParameters::default() };
        let builder = LocalCluster::builder().protocol(protocol).directory(&directory);
        let cluster = builder.start(Counter::default).await.expect("the cluster starts");
        let client = cluster.client().await.expect("a client");
        for _ in 0..10 {
            within("a request finishes", client.submit(1)).await.expect("it finishes");
        }
        for replica in cluster.replicas() {
            let is_stable = |status: &quorate::Status| status.stable >= Height(8);
            within("a checkpoint is stable", replica.wait_for(is_stable)).await.expect("it runs");
        }
        let genesis = serde_json::to_string(cluster.genesis()).expect("JSON");
        std::fs::write(directory.join("genesis.json"), genesis).expect("it writes");
        Self { directory, cluster }
    }

    fn path(&self, name: &str) -> String {
        text_of(&self.directory.join(name))
    }

    async fn stop(self) {
        within("the cluster stops", self.cluster.stop()).await.expect("it stops");
        std::fs::remove_dir_all(self.directory).expect("it was there");
    }
}

fn words(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let errors = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(errors.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{errors}");
    errors
}

#[tokio::test]
async fn the_doctor_says_in_words_and_in_json_what_it_finds_also_while_replicas_run() {
    let scene = Scene::start().await;
    let (dir, genesis) = (scene.path("replica-1"), scene.path("genesis.json"));
    let told = words(&quorate(&["doctor", "--dir", &dir, "--genesis", &genesis, "--deep"]), 0);
    for part in
        ["replica 1, key ", "by a running process", "committed up to 10", "height 8: ", "every chunk intact"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(told.lines().last(), Some("nothing to do"));
    within("it stops", scene.cluster.replica(1).stop()).await.expect("it stops");
    let json = words(&quorate(&["doctor", "--dir", &dir, "--json"]), 0);
    let json: serde_json::Value = serde_json::from_str(&json).expect("one JSON object");
    assert_eq!(json["verdict"]["gravity"], "healthy");
    assert_eq!(json["report"]["log"]["account"]["committed"], 10);
    assert_eq!(json["report"]["is_in_use"], false);

    let log = scene.directory.join("replica-1/log/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).expect("it reads");
    bytes[1700] ^= 4;
    std::fs::write(&log, bytes).expect("it writes");
    let told = words(&quorate(&["doctor", "--dir", &dir]), 2);
    assert!(told.contains("is damaged at byte"), "{told}");
    assert!(told.lines().last().is_some_and(|line| line.starts_with("stop the replica, keep")), "{told}");
    let told = words(&quorate(&["doctor", "--dir", &scene.path("nowhere")]), 1);
    assert_eq!(told.lines().last(), Some("check the path and its rights"));
    scene.stop().await;
}

#[tokio::test]
async fn snapshots_are_saved_verified_and_restored_from_the_command_line() {
    let scene = Scene::start().await;
    let (file, genesis) = (scene.path("saved"), scene.path("genesis.json"));
    let dir = scene.path("replica-0");
    let save = ["snapshot", "save", "--dir", &dir, &file];
    let told = words(&saved(&save).await, 0);
    assert!(told.contains("signed by replicas ") && told.contains("application root "), "{told}");
    assert!(refusal(&quorate(&save)).contains("exists already and is not overwritten"));

    let verify = quorate(&["snapshot", "verify", &file, "--genesis", &genesis, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&words(&verify, 0)).expect("one JSON object");
    assert_eq!(json["signers"].as_array().map(Vec::len), Some(3), "{json}");
    assert_eq!(json["start"]["application"], json["application"]);
    let told = words(&quorate(&["snapshot", "verify", &file, "--genesis", &genesis]), 0);
    assert!(told.contains("a new cluster that begins with it has in its genesis: \"start\": {"), "{told}");

    // A stranger's key makes no directory. Keys of this cluster's replicas are known to it alone.
    let key = scene.directory.join("stranger.key");
    let stranger = hex::encode(&SecretKey::from_seed([77; 32]).to_seed());
    std::fs::write(&key, stranger).expect("it writes");
    let dir = scene.path("restored");
    let restore =
        ["snapshot", "restore", &file, "--genesis", &genesis, "--dir", &dir, "--key", &text_of(&key)];
    assert!(refusal(&quorate(&restore)).contains("is none of this cluster's replicas"));
    assert!(!std::path::Path::new(&dir).exists());
    assert!(
        refusal(&quorate(&["snapshot", "verify", &genesis, "--genesis", &genesis]))
            .contains("is not a saved snapshot")
    );
    scene.stop().await;
}

/// A replica's disk is lost while all run, and its directory is made again from another one's snapshot.
#[tokio::test]
async fn a_process_that_lost_its_directory_goes_on_from_the_snapshot_of_another_one() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    let client = processes.client(None);
    let put = async |number: u32| {
        let (key, value) = (number.to_be_bytes().to_vec().into(), vec![7; 1000].into());
        within("a put finishes", client.submit(kv::Command::Put { key, value })).await.expect("it finishes");
    };
    for number in 0..70 {
        put(number).await;
    }
    processes.wait_for(0, "has a checkpoint", |status| status.stable >= Height(64)).await;
    processes.kill(3);
    let dir = text_of(&processes.path("replica-3"));
    std::fs::remove_dir_all(&dir).expect("it was there");
    let (file, genesis) = (text_of(&processes.path("saved")), text_of(&processes.path("genesis.json")));
    let survivor = text_of(&processes.path("replica-0"));
    let output = saved(&["snapshot", "save", "--dir", &survivor, &file]).await;
    assert!(words(&output, 0).contains("at height 64"), "{output:?}");
    words(&quorate(&["snapshot", "verify", &file, "--genesis", &genesis]), 0);
    let key = text_of(&processes.path("replica-3.key"));
    let restore = ["snapshot", "restore", &file, "--genesis", &genesis, "--dir", &dir, "--key", &key];
    assert!(words(&quorate(&restore), 0).contains("follows rule D3"));
    assert!(refusal(&quorate(&restore)).contains("is not empty, and nothing in it is overwritten"));
    let told = words(&quorate(&["doctor", "--dir", &dir, "--genesis", &genesis]), 1);
    assert!(told.contains("it was restored from a saved snapshot"), "{told}");
    processes.start(3);
    for number in 70..80 {
        put(number).await;
    }
    processes.wait_until_ready(3).await;
    // With one of the others gone every quorum needs it.
    processes.kill(2);
    for number in 80..90 {
        put(number).await;
    }
    let told = words(&quorate(&["doctor", "--dir", &dir, "--genesis", &genesis]), 0);
    assert_eq!(told.lines().last(), Some("nothing to do"));
}

/// The certificate is put beside the snapshot a moment after the checkpoint is stable.
async fn saved(save: &[&str]) -> Output {
    until("a certified snapshot is saved", || {
        let output = quorate(save);
        let is_saved = output.status.success();
        assert!(is_saved || refusal(&output).contains("certified"), "{output:?}");
        std::future::ready(is_saved.then_some(output))
    })
    .await
}

#[test]
fn a_seed_is_a_saved_snapshot_and_nothing_else() {
    let directory = new_directory();
    let (dir, path) = (text_of(&directory), |name: &str| text_of(&directory.join(name)));
    assert!(quorate(&["testnet", "init", &dir]).status.success());
    let (genesis, config) = (path("genesis.json"), path("replica-0.toml"));
    let seed = ["snapshot", "seed", &genesis, "--from", &genesis, "--config", &config];
    assert!(refusal(&quorate(&seed)).contains("is not a saved snapshot"));
    let told = words(&quorate(&["doctor", "--dir", &path("replica-0"), "--genesis", &genesis]), 0);
    assert!(told.contains("it was prepared and never started"), "{told}");
    std::fs::remove_dir_all(directory).expect("it was there");
}
