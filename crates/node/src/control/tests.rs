//! Does the control socket do what it is asked, and bear whatever is said to it?

use quorate_consensus::Timing;
use quorate_machine::{Context, StateMachine};
use quorate_types::{Genesis, Member, ReplicaId, Scheme, SecretKey};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{REQUEST_BYTES_MAX, path_in};
use crate::config::{ReplicaConfig, members, membership_of};
use crate::directory;
use crate::{ControlClient, Durability, Error, Replica};

#[tokio::test]
async fn a_replica_tells_its_status_and_stops_when_it_is_told() {
    let scene = Scene::new("status", true);
    let replica = scene.start().expect("it starts");
    let mut client = scene.client().await;
    let status = client.status().await.expect("an answer");
    assert!(status.is_running && !status.is_recovering && status.replica == ReplicaId(0));
    assert_eq!(status.log.records, replica.status().await.log.records);
    client.stop().await.expect("it stops");
    assert!(!replica.status().await.is_running);
    replica.run().await.expect("it was stopped");
    drop(replica);
    let error = ControlClient::connect(&scene.directory).await.expect_err("nobody is there");
    assert!(error.to_string().contains("no replica runs on this directory; start it"), "{error}");
}

#[tokio::test]
async fn only_the_owner_may_open_it_and_it_goes_with_the_replica() {
    let scene = Scene::new("mode", true);
    let replica = scene.start().expect("it starts");
    let found = std::fs::metadata(path_in(&scene.directory)).expect("it is there");
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    drop(replica);
    assert!(!path_in(&scene.directory).exists());
}

#[tokio::test]
async fn peers_are_cut_off_and_healed_by_their_numbers() {
    let scene = Scene::new("cut", true);
    let _replica = scene.start().expect("it starts");
    let mut client = scene.client().await;
    client.cut(&[ReplicaId(1), ReplicaId(3)]).await.expect("they exist");
    client.heal().await.expect("always");
    for (peer, sentence) in
        [(4, "there is no replica 4; this cluster has replicas 0 to 3"), (0, "is this one")]
    {
        let error = client.cut(&[ReplicaId(1), ReplicaId(peer)]).await.expect_err(sentence);
        assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains(sentence), "{error}");
    }
}

#[cfg(feature = "lab")]
#[tokio::test]
async fn a_replica_of_a_test_cluster_turns_traitor_and_honest_again() {
    let scene = Scene::new("attack", true);
    let _replica = scene.start().expect("it starts");
    let mut client = scene.client().await;
    client.attack("equivocate-proposals", 42).await.expect("it is a test cluster");
    let status = client.status().await.expect("an answer");
    assert_eq!(status.attack.as_deref(), Some("equivocate_proposals"));
    let error = client.attack("nap", 42).await.expect_err("no such attack");
    assert!(error.to_string().contains("there is no attack `nap`; choose one of silent, "), "{error}");
    client.honest().await.expect("always");
    assert_eq!(client.status().await.expect("an answer").attack, None);

    let scene = Scene::new("attack-real", false);
    let _replica = scene.start().expect("it starts");
    let error = scene.client().await.attack("silent", 42).await.expect_err("it is no test cluster");
    assert!(error.to_string().contains("genesis does not say `test: true`"), "{error}");
}

#[cfg(not(feature = "lab"))]
#[tokio::test]
async fn without_the_feature_there_are_no_attacks() {
    let scene = Scene::new("attack", true);
    let _replica = scene.start().expect("it starts");
    let error = scene.client().await.attack("silent", 42).await.expect_err("no attacks");
    assert!(error.to_string().contains("built without attacks"), "{error}");
}

#[tokio::test]
async fn garbage_gets_a_sentence_and_the_next_line_is_answered() {
    let scene = Scene::new("garbage", true);
    let _replica = scene.start().expect("it starts");
    let mut stream = scene.stream().await;
    let lines: [(&[u8], &str); 9] = [
        (b"\n", "this is not a request: EOF"),
        (b"status\n", "this is not a request"),
        (b"\xff\xfe\0\n", "this is not a request"),
        (b"[[[[[[[[[[[[\n", "this is not a request"),
        (b"{}\n", "missing field `command`"),
        (b"{\"command\":\"sing\"}\n", "unknown variant `sing`"),
        (b"{\"command\":\"status\",\"loud\":1}\n", "unknown field `loud`"),
        (b"{\"command\":\"cut\",\"peers\":[70000]}\n", "invalid value: integer `70000`"),
        (b"{\"command\":\"stop\"} {\"command\":\"stop\"}\n", "trailing characters"),
    ];
    for (line, sentence) in lines {
        let answer = exchange(&mut stream, line).await;
        assert!(answer.starts_with("{\"error\":\"") && answer.contains(sentence), "{sentence}: {answer}");
    }
    let answer = exchange(&mut stream, b"{\"command\":\"status\"}\n").await;
    assert!(answer.starts_with("{\"ok\":{"), "{answer}");
}

#[tokio::test]
async fn an_endless_or_broken_line_is_named_and_ends_the_connection() {
    let scene = Scene::new("endless", true);
    let _replica = scene.start().expect("it starts");
    let mut stream = scene.stream().await;
    stream.write_all(&vec![b'x'; REQUEST_BYTES_MAX]).await.expect("it is read");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("it ends");
    assert!(rest.contains("a request has at most 4096 bytes"), "{rest}");

    let mut stream = scene.stream().await;
    stream.write_all(b"{\"command\":\"stop\"}").await.expect("it is read");
    stream.shutdown().await.expect("half closed");
    rest.clear();
    stream.read_to_string(&mut rest).await.expect("it ends");
    assert!(rest.contains("ends without an end of line"), "{rest}");
    assert!(scene.client().await.status().await.expect("an answer").is_running, "nothing was asked for");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let scene = Scene::new("many", true);
    let _replica = scene.start().expect("it starts");
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut client = scene.client().await;
        client.status().await.expect("an answer");
        open.push(client);
    }
    let mut answer = String::new();
    scene.stream().await.read_to_string(&mut answer).await.expect("it ends");
    assert!(answer.contains("16 connections are open already"), "{answer}");
    open.pop();
    // The server sees a moment later that one has gone.
    while scene.client().await.status().await.is_err() {}
}

#[tokio::test]
async fn a_second_replica_on_the_directory_is_refused_and_a_dead_socket_is_replaced() {
    let scene = Scene::new("second", true);
    let replica = scene.start().expect("it starts");
    let error = scene.start().expect_err("the directory is taken");
    assert!(error.to_string().contains("is in use by another process"), "{error}");
    assert!(scene.client().await.status().await.expect("still there").is_running);
    replica.stop().await.expect("it stops");
    drop(replica);

    // A process that was killed leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(path_in(&scene.directory)).expect("the name is free"));
    let replica = scene.start().expect("a dead socket is replaced");
    assert!(scene.client().await.status().await.expect("an answer").is_recovering, "it ran before: D3");
    replica.stop().await.expect("it stops");
    drop(replica);

    std::fs::write(path_in(&scene.directory), "precious").expect("it writes");
    let error = scene.start().expect_err("it is no socket");
    assert!(error.to_string().contains("something else has this name"), "{error}");
    assert_eq!(std::fs::read_to_string(path_in(&scene.directory)).expect("it reads"), "precious");
}

#[tokio::test]
async fn a_directory_is_prepared_once_and_belongs_to_one_replica() {
    let scene = Scene::new("owner", true);
    let error = directory::init(&scene.config()).expect_err("the scene did it");
    assert!(error.to_string().contains("it is not empty"), "{error}");
    let mut other = scene.config();
    other.key = SecretKey::from_seed([9; 32]);
    let error = Replica::start(other, Nothing::default).expect_err("another key");
    assert!(error.to_string().contains("holds data of the replica with key"), "{error}");
    let replica = scene.start().expect("its own key");
    assert!(!replica.status().await.is_recovering, "the mark is still there");
}

#[tokio::test]
async fn a_path_that_is_too_long_gets_a_sentence() {
    let scene = Scene::new("long", true);
    let mut config = scene.config();
    config.dir = scene.directory.join("d".repeat(100));
    let error = Replica::start(config, Nothing::default).expect_err("too long");
    assert!(error.to_string().contains("choose a shorter `dir`"), "{error}");
}

/// One replica of four, with a prepared directory that goes with this.
struct Scene {
    directory: PathBuf,
    is_test: bool,
}

impl Scene {
    fn new(name: &str, is_test: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quorate-{name}-{}-{number}", std::process::id());
        let scene = Self { directory: std::env::temp_dir().join(name), is_test };
        directory::init(&scene.config()).expect("it is new");
        scene
    }

    fn config(&self) -> ReplicaConfig {
        let keys: Vec<SecretKey> = (1..5).map(|seed| SecretKey::from_seed([seed; 32])).collect();
        let member = |key: &SecretKey| Member { key: key.public(), organisation: "test".to_owned() };
        let genesis = Genesis {
            name: "test".to_owned(),
            test: self.is_test,
            scheme: Scheme::Ed25519,
            replicas: keys.iter().map(member).collect(),
            protocol: quorate_types::ProtocolParameters::default(),
            app_version: 0,
            start: None,
        };
        let membership = membership_of(&genesis).expect("it is right");
        let any_port = "127.0.0.1:0".parse().expect("an address");
        ReplicaConfig {
            id: ReplicaId(0),
            key: keys[0].clone(),
            // The others do not run.
            members: members(&membership, &["127.0.0.1:9".parse().expect("an address"); 4]).expect("four"),
            listen_peers: any_port,
            listen_clients: any_port,
            dir: self.directory.clone(),
            durability: Durability::Memory,
            timing: Timing::default(),
            genesis,
            membership,
        }
    }

    fn start(&self) -> crate::Result<Replica> {
        Replica::start(self.config(), Nothing::default)
    }

    async fn client(&self) -> ControlClient {
        ControlClient::connect(&self.directory).await.expect("it runs")
    }

    async fn stream(&self) -> UnixStream {
        UnixStream::connect(path_in(&self.directory)).await.expect("it runs")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Left behind, it would do no harm.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One line there, one line back.
async fn exchange(stream: &mut UnixStream, line: &[u8]) -> String {
    stream.write_all(line).await.expect("it is read");
    let mut answer = Vec::new();
    while answer.last() != Some(&b'\n') {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(answer).expect("text")
}

#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
struct Nothing;

impl StateMachine for Nothing {
    type Command = ();
    type Reply = ();
    type Query = ();
    type Answer = ();
    fn apply(&mut self, (): (), _: &Context) {}
    fn query(&self, (): ()) {}
}

#[test]
fn the_socket_lies_in_the_directory() {
    assert_eq!(path_in(Path::new("replica-0")), Path::new("replica-0/control.sock"));
}
