//! What if an operator starts a second process with a replica's key, on a directory of its own? The two contradict each
//! other sooner or later, and the cluster bears them like one traitor.

mod common;

use common::history::History;
use common::processes::{Processes, quorate, text_of};
use common::{until, within};
use quorate::types::ReplicaId;
use quorate::{Client, Durability, Trail};
use quorate_services::kv::{Command, KeyValue, Reply};
use std::process::{Child, Stdio};

/// The primary twice. Both are prepared as new, and both dial the others.
#[tokio::test]
async fn two_processes_with_the_key_of_the_primary_are_borne_like_one_traitor() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    let copy = Copy::start(&processes);
    let client = processes.client(None);
    let mut count = 0;
    // Requests that come while the copies contend for the connections to the others.
    let noticed = until("somebody notices", || {
        count += 20;
        put(&client, count, &processes, &copy)
    });
    noticed.await;
    for number in 0..count {
        let get = Command::Get { key: number.to_string().into() };
        let found = within("a read", History::new().execute(&client, get)).await;
        assert_eq!(found, Reply::Value(Some("kept".into())), "what was acknowledged stays");
    }
    let trails = trails(&processes).await;
    for (index, one) in trails.iter().enumerate() {
        for other in &trails[index + 1..] {
            assert!(one.common(other) > 0 && one.conflicts(other).is_empty(), "{one:?} {other:?}");
        }
    }
    for index in HONEST {
        let status = processes.status(index).await.expect("it runs");
        assert!(status.halted.is_none(), "{status:?}");
        assert!(status.accused.iter().all(|accused| *accused == ReplicaId(0)), "{status:?}");
    }
}

/// Puts twenty values more, up to `count`, and looks whether anybody noticed: an honest replica that holds two statements
/// of the copies that contradict each other, or a copy that was told that its disk lacks what it signed.
async fn put(client: &Client<KeyValue>, count: u64, processes: &Processes, copy: &Copy) -> Option<()> {
    for number in count - 20..count {
        let put = Command::Put { key: number.to_string().into(), value: "kept".into() };
        assert_eq!(within("a put", History::new().execute(client, put)).await, Reply::Done);
    }
    let mut is_proved = false;
    for index in HONEST {
        let status = processes.status(index).await.expect("it runs");
        is_proved |= status.accused.contains(&ReplicaId(0));
    }
    let says = |log: String| log.contains("rolled back");
    let is_told = says(processes.log(0)) || says(copy.log());
    (is_proved || is_told).then_some(())
}

async fn trails(processes: &Processes) -> Vec<Trail> {
    let mut trails = Vec::new();
    for index in HONEST {
        trails.push(processes.control(index).await.expect("it runs").trail().await.expect("it answers"));
    }
    trails
}

/// A second process with the key of replica 0.
struct Copy {
    process: Child,
    log: std::path::PathBuf,
}

impl Copy {
    fn start(processes: &Processes) -> Self {
        let (original, config) = (processes.path("replica-0.toml"), processes.path("copy.toml"));
        let text = std::fs::read_to_string(original).expect("it reads");
        let lines = text.lines().map(|line| match line.split_once(" = ") {
            Some(("dir", _)) => "dir = \"copy\"".to_owned(),
            // The system chooses ports that nobody is told of.
            Some((name @ ("listen_peers" | "listen_clients"), _)) => format!("{name} = \"127.0.0.1:0\""),
            _ => line.to_owned(),
        });
        std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).expect("it writes");
        let output = quorate(&["init", "--config", &text_of(&config)]);
        assert!(output.status.success(), "{output:?}");
        let log = processes.path("copy.log");
        let process = std::process::Command::new(common::processes::PROGRAM)
            .args(["replica", "--until-input-ends", "--config", &text_of(&config)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("the program runs");
        Self { process, log }
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("it has one")).into_owned()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const HONEST: [usize; 3] = [1, 2, 3];
