//! What happens to a replica whose state machine differs from the others' (rule K2)? It stops, leaves its
//! state for the operator, and is repaired by its next start; the others hardly notice.

mod common;

use common::{until, within};
use quorate::prelude::*;
use quorate::types::{Digest, Height, ProtocolParameters};
use quorate::{ChunkId, ClientOptions, Durability, Status};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A sum, computed wrongly by machines with a quirk. A state that was restored has none.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Ledger {
    total: u64,
    /// In the state and in no reply.
    hidden: u64,
    pad: Vec<u8>,
    #[serde(skip)]
    quirk: Quirk,
}

/// What a machine does wrong at [`Command::Trip`].
#[derive(Clone, Copy, Default)]
enum Quirk {
    #[default]
    Nothing,
    Reply,
    State(u64),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Command {
    Add(u64),
    Trip,
}

impl StateMachine for Ledger {
    type Command = Command;
    type Reply = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, command: Command, _: &Context) -> u64 {
        match (command, self.quirk) {
            (Command::Add(number), _) => self.total += number,
            (Command::Trip, Quirk::Nothing) => self.total += 1,
            (Command::Trip, Quirk::Reply) => self.total += 2,
            (Command::Trip, Quirk::State(hidden)) => {
                self.total += 1;
                self.hidden += hidden;
            }
        }
        self.pad.extend([0, 1, 2, 3].map(|n| n + (self.total % 100) as u8).repeat(5_000));
        self.total
    }

    fn query(&self, (): ()) -> u64 {
        self.total
    }
}

/// Four replicas with a checkpoint every four blocks; machines are made in the replicas' order, and those made
/// at restarts have no quirk.
async fn start(durability: Durability, quirks: [Quirk; 4]) -> LocalCluster<Ledger> {
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 16, ..ProtocolParameters::default() };
    let made = AtomicU64::new(0);
    let make = move || {
        let number = usize::try_from(made.fetch_add(1, Ordering::Relaxed)).expect("few");
        Ledger { quirk: quirks.get(number).copied().unwrap_or_default(), ..Ledger::default() }
    };
    let builder = LocalCluster::builder().protocol(protocol).durability(durability);
    builder.start(make).await.expect("the cluster starts")
}

const LAST_REPLIES: [Quirk; 4] = [Quirk::Nothing, Quirk::Nothing, Quirk::Nothing, Quirk::Reply];
const LAST_HIDES: [Quirk; 4] = [Quirk::Nothing, Quirk::Nothing, Quirk::Nothing, Quirk::State(9)];

/// Runs a command and waits until all that still run have executed it, so that their next votes tell its result.
async fn run(cluster: &LocalCluster<Ledger>, client: &Client<Ledger>, command: Command) -> u64 {
    let reply = within("a request finishes", client.submit(command)).await.expect("it finishes").reply;
    let mut height = Height(0);
    for replica in cluster.replicas() {
        height = height.max(replica.status().await.expect("it exists").executed);
    }
    for replica in cluster.replicas() {
        until("it executes or halts", replica, move |s| s.executed >= height || s.halted.is_some()).await;
    }
    reply
}

async fn halted(cluster: &LocalCluster<Ledger>, replica: usize) -> Status {
    let is_over = |status: &Status| status.halted.is_some() && !status.is_dumping;
    until("it halts", cluster.replica(replica), is_over).await
}

fn dump_of(status: &Status) -> PathBuf {
    let why = status.halted.clone().expect("it halted");
    let (_, path) = why.rsplit_once("its state lies in ").unwrap_or_else(|| panic!("no dump: {why}"));
    path.into()
}

fn json(dump: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(dump.join("divergence.json")).expect("it is there");
    serde_json::from_str(&text).expect("JSON")
}

/// The application's state in a dump, which the list of chunks must describe byte for byte.
fn state_in(dump: &Path) -> Ledger {
    let bytes = std::fs::read(dump.join("state.bin")).expect("it is there");
    let list = std::fs::read_to_string(dump.join("chunks.txt")).expect("it is there");
    let (mut rest, mut count) = (&bytes[..], 0);
    for line in list.lines().filter(|line| line.starts_with("application ")) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields[1], count.to_string(), "{line}");
        let (chunk, after) = rest.split_at(fields[3].parse().expect("a length"));
        assert_eq!(fields[2], ChunkId::of(chunk).digest.to_string());
        (rest, count) = (after, count + 1);
    }
    assert!(rest.is_empty() && count > 0);
    assert_eq!(json(dump)["state_bytes"], bytes.len());
    Ledger::restore(&mut &bytes[..]).expect("a whole state")
}

/// The others went on as if nothing were.
async fn others_are_fine(cluster: &LocalCluster<Ledger>, but: usize) {
    for (index, replica) in cluster.replicas().enumerate().filter(|(index, _)| *index != but) {
        let status = replica.status().await.expect("it runs");
        assert_eq!((status.halted, status.view_changes), (None, 0), "replica {index}");
    }
}

/// Starts a halted replica again while the others work, and waits until its state is theirs.
async fn repair(cluster: &LocalCluster<Ledger>, client: &Client<Ledger>, replica: usize) {
    within("it restarts", cluster.replica(replica).restart()).await.expect("it restarts");
    for _ in 0..8 {
        within("a request finishes", client.submit(Command::Add(1))).await.expect("it finishes");
    }
    let goal = cluster.replica(0).status().await.expect("it runs").stable;
    until("it vouches for a state again", cluster.replica(replica), move |s| s.state.0 >= goal).await;
    // Nothing is submitted any more, so all end at one checkpoint.
    let mut roots: Vec<(Height, Digest)> = Vec::new();
    let last = until("a checkpoint", cluster.replica(1), move |s| s.state.0 >= goal).await.state.0;
    for replica in cluster.replicas() {
        roots.push(until("a checkpoint", replica, move |s| s.state.0 >= last).await.state);
    }
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    // It is needed for every quorum now.
    within("a replica stops", cluster.replica((replica + 1) % 4).stop()).await.expect("it stops");
    within("a request finishes", client.submit(Command::Add(1))).await.expect("it finishes");
}

#[tokio::test]
async fn another_reply_stops_a_replica_at_that_block_and_a_restart_repairs_it() {
    let cluster = start(Durability::Sync, LAST_REPLIES).await;
    let client = cluster.client().await.expect("a client");
    assert_eq!(run(&cluster, &client, Command::Add(5)).await, 5);
    assert_eq!(run(&cluster, &client, Command::Trip).await, 6, "what the others say");
    let height = cluster.replica(3).status().await.expect("it runs").executed;
    run(&cluster, &client, Command::Add(1)).await;

    let status = halted(&cluster, 3).await;
    let why = status.halted.clone().expect("it halted");
    assert!(why.contains(&format!("the state after height {height} has root")), "{why}");
    let dump = dump_of(&status);
    assert!(dump.ends_with(format!("replica-3/dumps/height-{height}")), "{}", dump.display());
    let found = json(&dump);
    assert_eq!((&found["compared"], &found["replica"]), (&"results".into(), &3.into()), "{found}");
    assert_eq!((&found["height"], &found["version"]), (&height.0.into(), &"0.1.0".into()), "{found}");
    assert!(found["block"].is_string() && found["own_root"] != found["others_root"], "{found}");
    let state = state_in(&dump);
    assert!([7, 8].contains(&state.total), "one too many: {}", state.total);
    others_are_fine(&cluster, 3).await;

    repair(&cluster, &client, 3).await;
    let differs = std::fs::read_to_string(dump.join("differs.txt")).expect("it is there");
    assert!(differs.lines().any(|line| line.starts_with("chunk ")), "{differs}");
    common_stop(cluster).await;
}

#[tokio::test]
async fn another_state_with_the_same_replies_is_found_at_the_checkpoint() {
    let cluster = start(Durability::Sync, LAST_HIDES).await;
    let client = cluster.client().await.expect("a client");
    run(&cluster, &client, Command::Trip).await;
    let mut total = 1;
    while cluster.replica(3).status().await.expect("it exists").executed < Height(4) {
        total += 1;
        assert_eq!(run(&cluster, &client, Command::Add(1)).await, total);
    }
    let status = halted(&cluster, 3).await;
    let dump = dump_of(&status);
    let found = json(&dump);
    assert_eq!((&found["compared"], &found["height"]), (&"state".into(), &4.into()), "{found}");
    assert_eq!(found["state_height"], 4, "the very state that was compared");
    assert_eq!(state_in(&dump).hidden, 9);
    let sessions = std::fs::read_to_string(dump.join("chunks.txt")).expect("it is there");
    assert!(sessions.lines().any(|line| line.starts_with("sessions 0 ")), "{sessions}");
    others_are_fine(&cluster, 3).await;
    repair(&cluster, &client, 3).await;
    let differs = std::fs::read_to_string(dump.join("differs.txt")).expect("it is there");
    assert!(differs.contains("of the certified state after height"), "{differs}");
    common_stop(cluster).await;
}

#[tokio::test]
async fn where_no_quorum_agrees_all_halt_and_commit_nothing_more() {
    let quirks = [1, 2, 3, 4].map(Quirk::State);
    let cluster = start(Durability::Sync, quirks).await;
    let options = ClientOptions { deadline: Duration::from_secs(2), ..ClientOptions::default() };
    let client = cluster.client_with(&options).await.expect("a client");
    within("a request finishes", client.submit(Command::Trip)).await.expect("the replies agree");
    // At the fourth block the states are compared. What is in flight then may still commit.
    for _ in 0..3 {
        let _ = within("it finishes or not", client.submit(Command::Add(1))).await;
    }
    let mut committed = Vec::new();
    for index in 0..4 {
        let status = halted(&cluster, index).await;
        let why = status.halted.clone().expect("it halted");
        assert!(why.contains("no quorum agrees on the state after height 4"), "{why}");
        let found = json(&dump_of(&status));
        assert!(found["others_root"].is_null(), "{found}");
        assert_eq!(state_in(&dump_of(&status)).hidden, index as u64 + 1);
        committed.push(status.committed);
    }
    assert_eq!(committed, [Height(4); 4]);
    within("nobody answers", client.submit(Command::Add(1))).await.expect_err("all halted");
    for (index, replica) in cluster.replicas().enumerate() {
        assert_eq!(replica.status().await.expect("it exists").committed, committed[index]);
    }
    common_stop(cluster).await;
}

#[tokio::test]
async fn without_a_disk_there_is_no_dump_and_the_sentence_says_so() {
    let cluster = start(Durability::Memory, LAST_REPLIES).await;
    let client = cluster.client().await.expect("a client");
    run(&cluster, &client, Command::Trip).await;
    run(&cluster, &client, Command::Add(1)).await;
    let why = halted(&cluster, 3).await.halted.expect("it halted");
    assert!(why.ends_with("(this replica keeps nothing on a disk)"), "{why}");
    others_are_fine(&cluster, 3).await;
    repair(&cluster, &client, 3).await;
    common_stop(cluster).await;
}

/// A dump that finds no place costs a sentence, and the halt is the same.
#[tokio::test]
async fn a_dump_that_cannot_be_written_does_not_stop_the_halt() {
    let directory = std::env::temp_dir().join(format!("quorate-divergence-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 16, ..ProtocolParameters::default() };
    let made = AtomicU64::new(0);
    let make = move || {
        let is_last = made.fetch_add(1, Ordering::Relaxed) == 3;
        Ledger { quirk: if is_last { Quirk::Reply } else { Quirk::Nothing }, ..Ledger::default() }
    };
    let cluster = LocalCluster::builder().protocol(protocol).directory(&directory).start(make).await;
    let cluster = cluster.expect("the cluster starts");
    // Root may write anywhere, but not into a file.
    let dumps = directory.join("replica-3/dumps");
    std::fs::remove_dir(&dumps).expect("it is empty");
    std::fs::write(&dumps, "in the way").expect("it writes");
    let client = cluster.client().await.expect("a client");
    run(&cluster, &client, Command::Trip).await;
    run(&cluster, &client, Command::Add(1)).await;
    let why = halted(&cluster, 3).await.halted.expect("it halted");
    assert!(why.contains("has root") && why.contains("its state was not written down ("), "{why}");
    others_are_fine(&cluster, 3).await;
    common_stop(cluster).await;
    std::fs::remove_dir_all(directory).expect("it was there");
}

async fn common_stop(cluster: LocalCluster<Ledger>) {
    within("the cluster stops", cluster.stop()).await.expect("it stops");
}
