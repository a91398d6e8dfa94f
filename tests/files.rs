//! Does a replica run from its files, and does each mistake in them get one clear sentence?

mod common;

use common::files::{Files, shipped};
use common::{Command, Journal, append_in_order, list, within};
use quorate::config::{ClusterConfig, ReplicaConfig, read_key};
use quorate::prelude::*;
use quorate::types::{ReplicaId, SecretKey};
use quorate_transport::{Class, Config, Event, Frame, PeerSocket, Reason};
use tokio::sync::mpsc;

#[test]
fn the_configurations_in_the_box_are_right() {
    let local = shipped();
    for (id, organisation) in (0..).map(ReplicaId).zip(["acme", "beta", "corp", "delta"]) {
        let config = ReplicaConfig::read(local.join(format!("replica-{id}.toml"))).expect("it reads");
        assert_eq!(config.id, id);
        assert_eq!(config.genesis.replicas[id.index()].organisation, organisation);
        assert_eq!(config.members[id.index()].address, config.listen_peers);
    }
    let cluster = ClusterConfig::read(local.join("cluster.json")).expect("it reads");
    assert!(cluster.genesis.test, "its keys are public");
    assert_eq!(cluster.replicas.len(), 4);
    read_key(&local.join("client.key"), None).expect("it reads");
}

#[tokio::test]
async fn replicas_run_from_their_files_until_they_are_stopped() {
    let files = Files::new();
    let replicas = files.open_all();
    let client = files.client();
    append_in_order(&client, 0..5).await;
    let runs: Vec<_> = replicas
        .into_iter()
        .map(|replica| {
            let replica = std::sync::Arc::new(replica);
            let running = tokio::spawn({
                let replica = replica.clone();
                async move { replica.run().await }
            });
            (replica, running)
        })
        .collect();
    append_in_order(&client, 5..10).await;
    assert_eq!(list(&client).await, (0..10).collect::<Vec<_>>());
    for (replica, running) in runs {
        assert!(replica.status().await.is_running);
        within("it stops", replica.stop()).await.expect("it stops");
        within("its run ends", running).await.expect("no panic").expect("it was stopped");
        assert!(!replica.status().await.is_running);
    }
}

#[tokio::test]
async fn a_run_ends_with_the_sentence_of_what_halts_it() {
    let files = Files::new();
    let replicas = files.open_with(|id| Journal::with(if id == 3 { vec![9] } else { Vec::new() }));
    let client = files.client();
    let mut runs: Vec<_> =
        replicas.into_iter().map(|replica| tokio::spawn(async move { replica.run().await })).collect();
    let last = runs.pop().expect("four");
    let submitting = tokio::spawn(async move {
        for number in 0.. {
            client.submit(Command::Append(number)).await.expect("three agree");
        }
    });
    let error = within("it halts", last).await.expect("no panic").expect_err("its machine differs");
    submitting.abort();
    let text = error.to_string();
    assert!(text.starts_with("replica 3 halted: the state after height "), "{text}");
    assert!(text.contains("; its state lies in ") && text.contains("replica-3/dumps/height-"), "{text}");
    assert!(runs.iter().all(|run| !run.is_finished()), "the others go on");
}

#[tokio::test]
async fn garbage_from_a_member_is_rejected_by_name_and_service_goes_on() {
    let files = Files::new();
    let mut replicas = files.open_all();
    let client = files.client();
    append_in_order(&client, 0..3).await;
    let traitor = replicas.pop().expect("four of them");
    within("it stops", traitor.stop()).await.expect("it stops");

    let config = ReplicaConfig::read(files.path("replica-3.toml")).expect("it reads");
    let socket = PeerSocket::bind(config.listen_peers, &config.key).expect("the port is free");
    let (events, mut receiver) = mpsc::channel(1024);
    let traitor = socket.start(config.id, &config.members, Config::peers(), events).expect("it serves");
    within("replica 0 dials", async {
        while !matches!(receiver.recv().await, Some(Event::Connected { peer: ReplicaId(0) })) {}
    })
    .await;
    let frames = [
        ("unknown-kind", vec![99]),
        ("truncated", vec![1, 2, 3]),
        ("trailing-bytes", [&[8, 4][..], &[0; 9]].concat()),
    ];
    for (_, head) in &frames {
        let frame = Frame { head: head.clone().into(), payload: Vec::new().into() };
        traitor.send(ReplicaId(0), Class::Consensus, frame).expect("it is connected");
    }
    within("replica 0 names them", async {
        loop {
            let status = replicas[0].status().await;
            let is_named =
                |(why, _): &(&str, Vec<u8>)| status.rejections.contains_key(&format!("replica/{why}"));
            if frames.iter().all(is_named) {
                break;
            }
        }
    })
    .await;
    assert!(
        traitor.is_connected(ReplicaId(0)),
        "what it may merely have relayed does not cost the connection"
    );

    // A frame that announces more than is allowed does.
    let mut config_large = Config::peers();
    config_large.limits.head_bytes_max *= 2;
    traitor.shutdown().await;
    let socket = PeerSocket::bind(config.listen_peers, &config.key).expect("the port is free");
    let (events, mut receiver) = mpsc::channel(1024);
    let traitor = socket.start(config.id, &config.members, config_large, events).expect("it serves");
    within("replica 0 dials", async {
        while !matches!(receiver.recv().await, Some(Event::Connected { peer: ReplicaId(0) })) {}
    })
    .await;
    let head = vec![0; Config::peers().limits.head_bytes_max + 1];
    traitor
        .send(ReplicaId(0), Class::Consensus, Frame { head: head.into(), payload: Vec::new().into() })
        .expect("sent");
    within("replica 0 closes the connection", async {
        let name = format!("peer-socket/{}", Reason::HeadTooLarge);
        while !replicas[0].status().await.rejections.contains_key(&name) {}
    })
    .await;

    append_in_order(&client, 3..6).await;
    traitor.shutdown().await;
    for replica in &replicas {
        within("it stops", replica.stop()).await.expect("it stops");
    }
}

#[test]
fn each_mistake_in_the_files_gets_one_sentence_that_says_what_to_do() {
    let hex = |seed: u8| quorate::types::hex::encode(&SecretKey::from_seed([seed; 32]).public().0);
    let mistakes: [(&str, &str, &str, &str); 10] = [
        ("replica-0.toml", "\"sync\"", "\"safe\"", "unknown variant `safe`"),
        ("replica-0.toml", "genesis.json", "nowhere.json", "cannot read"),
        ("replica-0.toml", "genesis = ", "genesys = ", "unknown field `genesys`"),
        ("replica-0.toml", "replica-0.key", "client.key", "is none of this cluster's replicas"),
        ("replica-0.toml", "\nreplicas = [", "\nreplicas = [\"127.0.0.1:1\", ", "lists 5 addresses"),
        ("replica-0.toml", "listen_peers = \"127.0.0.1", "listen_peers = \"nobody", "cannot be used"),
        ("genesis.json", "\"app_version\"", "\"app_versions\"", "unknown field `app_versions`"),
        ("genesis.json", &hex(2), &hex(1), "replicas 0 and 1 have the same key"),
        ("genesis.json", "\"window\": 4096", "\"window\": 1", "the genesis parameter window must be"),
        ("replica-0.key", "01", "zz", "a key file holds 64 hexadecimal digits"),
    ];
    for (file, from, to, sentence) in mistakes {
        let files = Files::new();
        files.edit(file, |text| text.replace(from, to));
        let error = Replica::open(files.path("replica-0.toml"), Journal::default).expect_err(sentence);
        let text = error.to_string();
        assert!(text.contains(sentence), "{file}: {from} -> {to}: {text}");
        assert!(!text.trim().contains("\n\n"), "one sentence: {text}");
    }
}

#[test]
fn too_few_replicas_and_a_port_in_use_get_a_sentence() {
    let files = Files::new();
    files.edit("genesis.json", |text| {
        let mut genesis: quorate::types::Genesis = serde_json::from_str(&text).expect("a genesis");
        genesis.replicas.pop();
        serde_json::to_string(&genesis).expect("it writes")
    });
    let error = Replica::open(files.path("replica-0.toml"), Journal::default).expect_err("three replicas");
    assert!(error.to_string().starts_with("a cluster needs 4 to 128 replicas"), "{error}");

    let files = Files::new();
    let first = Replica::open(files.path("replica-0.toml"), Journal::default).expect("the ports are free");
    let error = Replica::open(files.path("replica-0.toml"), Journal::default).expect_err("it runs");
    assert!(error.to_string().contains("is in use by another process"), "{error}");
    files.edit("replica-0.toml", |text| text.replace("dir = \"replica-0\"", "dir = \"elsewhere\""));
    let error = Replica::open(files.path("replica-0.toml"), Journal::default).expect_err("the port is taken");
    let port = first.peer_address().port();
    assert!(
        error.to_string().contains(&format!("UDP port {port} of 127.0.0.1 is already in use")),
        "{error}"
    );
    drop(first);
}

#[test]
fn timing_out_of_range_and_what_a_main_prints() {
    let files = Files::new();
    files.edit("replica-0.toml", |text| text + "\n[timing]\nbatch_delay_ms = 0\n");
    let error = Replica::open(files.path("replica-0.toml"), Journal::default).expect_err("no delay");
    assert!(
        error.to_string().contains("`batch_delay_ms` must be between 0.05 and 3600000, not 0"),
        "{error}"
    );
    assert_eq!(format!("{error:?}"), error.to_string(), "a main that returns it prints the sentence");

    let files = Files::new();
    files.edit("replica-0.toml", |text| text + "\n[timing]\nbatch_delay_ms = 5\n");
    let config = ReplicaConfig::read(files.path("replica-0.toml")).expect("it reads");
    assert_eq!(config.timing.batch_delay, std::time::Duration::from_millis(5));
}
