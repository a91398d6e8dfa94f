//! Does a cluster of real processes serve, lose a replica, and do what its control sockets say?

mod common;

use common::processes::{PROGRAM, Processes, new_directory, quorate, text_of};
use common::{until, within};
use quorate::types::ReplicaId;
use quorate::{ControlClient, Durability};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

#[tokio::test]
async fn what_is_put_is_there_for_everybody() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    let expect = |args: &[&str], code: i32, stdout: &str| {
        let output = processes.quorate(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{args:?}");
    };
    expect(&["get", "door"], 7, "");
    expect(&["put", "door", "open"], 0, "");
    expect(&["get", "door"], 0, "open\n");
    expect(&["cas", "door", "--expected", "shut", "ajar"], 7, "");
    expect(&["cas", "door", "--expected", "open", "ajar"], 0, "");
    expect(&["cas", "window", "--absent", "shut"], 0, "");
    expect(&["cas", "window", "--absent", "shut"], 7, "");
    expect(&["get", "door"], 0, "ajar\n");
    expect(&["delete", "door"], 0, "");
    expect(&["delete", "door"], 7, "");
    let output = processes.quorate(&["get", "window", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(json["value"], "shut");
    for index in 0..4 {
        let status = processes.wait_for(index, "executes all", |status| status.executed.0 >= 10).await;
        assert!(!status.is_recovering && status.log.syncs > 0);
    }
}

#[tokio::test]
async fn a_replica_that_was_killed_comes_back_and_takes_part() {
    let mut processes = Processes::new(Durability::Memory);
    processes.start_all();
    assert!(processes.quorate(&["put", "a", "1"]).status.success());
    processes.kill(3);
    assert!(processes.quorate(&["put", "b", "2"]).status.success(), "three of four are a quorum");
    processes.start(3);
    // Its memory is gone, so it may vote only in a view above all that it may have voted in (rule D3).
    let status = processes.wait_for(3, "takes part", |status| !status.is_recovering).await;
    assert!(status.view.0 >= 1, "{status:?}");
    // Now it is needed.
    processes.kill(2);
    let output = processes.quorate(&["get", "b"]);
    assert_eq!(output.stdout, b"2\n", "{output:?}");
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_refused() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start(0);
    let output = quorate(&["replica", "--config", &processes.config(0)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("is in use by another process: stop that one first"), "{errors}");
    assert!(processes.status(0).await.expect("the first one lives").is_running);
}

#[tokio::test]
async fn a_replica_is_cut_off_and_healed_over_its_socket() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    processes.wait_for(2, "is connected", |status| status.connected.len() == 3).await;
    let mut control = processes.control(2).await.expect("it runs");
    control.cut(&[0, 1, 3].map(ReplicaId)).await.expect("they exist");
    processes.wait_for(2, "is alone", |status| status.connected.is_empty()).await;
    assert!(processes.quorate(&["put", "a", "1"]).status.success());
    control.heal().await.expect("always");
    let status = processes.wait_for(2, "catches up", |status| status.executed.0 > 0).await;
    assert!(status.is_running);
}

#[tokio::test]
async fn a_primary_turned_traitor_over_its_socket_is_convicted() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    let mut control = processes.control(0).await.expect("it runs");
    control.attack("equivocate-proposals", 42).await.expect("it is a test cluster");
    until("somebody has evidence", || async {
        assert!(processes.quorate(&["put", "a", "1"]).status.success());
        let status = processes.status(1).await.expect("it runs");
        (status.evidence > 0).then_some(())
    })
    .await;
    control.honest().await.expect("always");
    assert_eq!(processes.status(0).await.expect("it runs").attack, None);
}

#[tokio::test]
async fn stop_and_signals_end_a_replica_with_code_0() {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    processes.control(0).await.expect("it runs").stop().await.expect("it stops");
    assert_eq!(processes.ended(0).await.code(), Some(0));
    for (index, signal) in [(1, Signal::INT), (2, Signal::TERM)] {
        kill_process(processes.pid(index), signal).expect("it runs");
        assert_eq!(processes.ended(index).await.code(), Some(0), "{signal:?}");
    }
    let error = processes.status(0).await.expect_err("it has ended");
    assert!(error.to_string().contains("no replica runs on this directory"), "{error}");
}

#[tokio::test]
async fn testnet_up_runs_all_and_ends_all() {
    let testnet = Testnet::up();
    assert!(testnet.quorate(&["put", "a", "1"]));
    kill_process(testnet.pid(), Signal::INT).expect("it runs");
    let (code, lines) = testnet.rest().await;
    assert_eq!(code, Some(0));
    let ended = lines.iter().filter(|line| line["event"] == "ended" && line["code"] == 0).count();
    assert_eq!(ended, 4, "{lines:?}");
}

#[tokio::test]
async fn replicas_do_not_outlive_a_testnet_that_is_killed() {
    let testnet = Testnet::up();
    kill_process(testnet.pid(), Signal::KILL).expect("it runs");
    for index in 0..4 {
        let directory = testnet.directory.join(format!("replica-{index}"));
        until("the replica ends", || async { ControlClient::connect(&directory).await.err() }).await;
    }
    testnet.rest().await;
}

#[tokio::test]
async fn a_testnet_tells_of_a_replica_that_ends_and_restarts_none() {
    let testnet = Testnet::up();
    let replica = ControlClient::connect(testnet.directory.join("replica-3")).await.expect("it runs");
    replica.stop().await.expect("it stops");
    assert!(testnet.quorate(&["put", "a", "1"]), "the others go on");
    for index in 0..3 {
        let directory = testnet.directory.join(format!("replica-{index}"));
        ControlClient::connect(directory).await.expect("it runs").stop().await.expect("it stops");
    }
    let (code, lines) = testnet.rest().await;
    assert_eq!(code, Some(1), "nobody told it to end");
    assert_eq!(lines.len(), 4, "{lines:?}");
}

/// A `quorate testnet up` with four replicas that are all up.
struct Testnet {
    directory: std::path::PathBuf,
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Testnet {
    fn up() -> Self {
        let directory = new_directory();
        let init = quorate(&["testnet", "init", &text_of(&directory)]);
        assert!(init.status.success(), "{init:?}");
        let mut process = Command::new(PROGRAM)
            .args(["testnet", "up", &text_of(&directory), "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        for _ in 0..4 {
            let line = json_of(&lines.next().expect("it says who is up").expect("text"));
            assert_eq!(line["event"], "up", "{line}");
        }
        Self { directory, process, lines }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    fn quorate(&self, args: &[&str]) -> bool {
        let output = Command::new(PROGRAM).args(args).env("QUORATE_CLUSTER", &self.directory).output();
        output.expect("the program runs").status.success()
    }

    /// Its exit code and what it said to its end.
    async fn rest(self) -> (Option<i32>, Vec<Value>) {
        let Self { directory, mut process, lines } = self;
        let ended = tokio::task::spawn_blocking(move || {
            let said = lines.map(|line| json_of(&line.expect("text"))).collect();
            (process.wait().expect("it is a child").code(), said)
        });
        let ended = within("it ends", ended).await.expect("no panic");
        std::fs::remove_dir_all(directory).expect("it was there");
        ended
    }
}

fn json_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
