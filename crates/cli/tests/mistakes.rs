//! Does each mistake at the command line get one sentence and its exit code, and change nothing?

mod common;

use common::processes::{Processes, new_directory, quorate, text_of};
use quorate::Durability;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

#[test]
fn keys_are_new_private_and_never_overwritten() {
    let path = new_directory();
    let output = quorate(&["keygen", "--out", &text_of(&path)]);
    assert!(output.status.success(), "{output:?}");
    let public = String::from_utf8(output.stdout).expect("text");
    assert_eq!(public.trim().len(), 64, "{public}");
    let key = quorate::config::read_key(&path, None).expect("it reads");
    assert_eq!(quorate::types::hex::encode(&key.public().0), public.trim());
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_sentence(&quorate(&["keygen", "--out", &text_of(&path)]), 1, "exists and is left as it is");
    let after = quorate::config::read_key(&path, None).expect("it reads");
    assert_eq!(after.public(), key.public());
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn a_testnet_goes_only_into_an_empty_directory_and_runs_only_where_it_is() {
    let processes = Processes::new(Durability::Sync);
    let output = quorate(&["testnet", "init", processes.dir()]);
    assert_sentence(&output, 1, "is not empty and is left as it is; choose another directory");
    let nowhere = text_of(&new_directory());
    let output = quorate(&["testnet", "up", &nowhere]);
    assert_sentence(&output, 1, "make one with `quorate testnet init");
    for (flag, value) in [("--replicas", "3"), ("--durability", "none"), ("--base-port", "65500")] {
        assert_eq!(quorate(&["testnet", "init", &nowhere, flag, value]).status.code(), Some(2), "{flag}");
    }
    assert!(!std::path::Path::new(&nowhere).exists());
}

#[test]
fn ports_are_chosen_by_the_user_if_the_user_says_so() {
    let directory = new_directory();
    let output = quorate(&[
        "testnet",
        "init",
        &text_of(&directory),
        "--base-port",
        "20000",
        "--replicas",
        "7",
        "--json",
    ]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(json["peer_ports"][6], 20_006);
    assert_eq!(json["client_ports"][6], 20_106);
    for index in 0..7 {
        let config = directory.join(format!("replica-{index}.toml"));
        quorate::config::ReplicaConfig::read(config).expect("it reads");
    }
    std::fs::remove_dir_all(directory).expect("it was there");
}

#[test]
fn a_replica_that_cannot_start_says_why() {
    let files = || Processes::new(Durability::Sync);
    let run = |files: &Processes| quorate(&["replica", "--config", &files.config(0)]);

    let output = quorate(&["replica", "--config", "nowhere.toml"]);
    assert_sentence(&output, 1, "cannot read nowhere.toml");

    let broken = files();
    broken.edit("replica-0.toml", "genesis =", "genesys =");
    assert_sentence(&run(&broken), 1, "unknown field `genesys`");

    let foreign = files();
    std::fs::copy(foreign.path("client.key"), foreign.path("replica-0.key")).expect("it copies");
    assert_sentence(&run(&foreign), 1, "is none of this cluster's replicas");

    let mixed_up = files();
    std::fs::copy(mixed_up.path("replica-1.key"), mixed_up.path("replica-0.key")).expect("it copies");
    assert_sentence(&run(&mixed_up), 1, "holds data of the replica with key");

    let busy = files();
    let text = std::fs::read_to_string(busy.path("replica-0.toml")).expect("it reads");
    let listen = text.lines().find_map(|line| line.strip_prefix("listen_peers = ")).expect("it is there");
    let _holder = std::net::UdpSocket::bind(listen.trim_matches('"')).expect("it is free");
    assert_sentence(&run(&busy), 1, "is already in use: stop the program that holds it");

    let not_a_directory = files();
    not_a_directory.edit("replica-0.toml", "dir = \"replica-0\"", "dir = \"genesis.json\"");
    assert_sentence(&run(&not_a_directory), 1, "is not a directory: name another one");

    let prepared = files();
    let output = quorate(&["init", "--config", &prepared.config(0)]);
    assert_sentence(&output, 1, "it is not empty: run the replica if it was prepared before");
}

#[test]
fn a_client_without_a_cluster_says_how_to_name_one() {
    let files = Processes::new(Durability::Sync);
    let cluster = text_of(&files.path("cluster.json"));
    let nowhere = text_of(&new_directory());
    let in_root = std::process::Command::new(common::processes::PROGRAM)
        .args(["get", "a"])
        .env_remove("QUORATE_CLUSTER")
        .current_dir("/")
        .output()
        .expect("the program runs");
    assert_sentence(&in_root, 1, "name one by --cluster PATH or QUORATE_CLUSTER");
    assert_sentence(&quorate(&["get", "a", "--cluster", &nowhere]), 1, "cannot read");
    let output = quorate(&["get", "a", "--cluster", &cluster, "--key", &nowhere]);
    assert_sentence(&output, 1, "cannot read");
    assert_sentence(&quorate(&["status", "--dir", &nowhere]), 1, "no replica runs on this directory");
    assert_sentence(&quorate(&["status"]), 1, "name a replica by --config FILE or --dir DIR");
    // Nobody runs: nothing can have been sent.
    let output = quorate(&["get", "a", "--cluster", &cluster, "--deadline", "1"]);
    assert_sentence(&output, 6, "replicas");
}

/// One line on standard error, nothing on standard output.
fn assert_sentence(output: &Output, code: i32, sentence: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    let told: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(told.len() == 1 && errors.contains(sentence), "{sentence}: {errors}");
    assert!(output.stdout.is_empty(), "{output:?}");
}
