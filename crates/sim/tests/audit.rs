//! Does a seed always give the same run, also in another process?

use quorate_sim::{AttackChoice, Crypto, Plan, run};
use std::process::Command;

const SEEDS: u64 = 12;
const CHILD: &str = "QUORATE_AUDIT_CHILD";

fn audits() -> String {
    let audit = |seed| run(&Plan::generate(seed, 4, Crypto::Fast, &AttackChoice::All)).audit.to_string();
    (0..SEEDS).map(audit).collect::<Vec<_>>().join(" ")
}

#[test]
#[allow(clippy::print_stdout)]
fn a_seed_gives_the_same_audit_hash_in_two_processes() {
    if std::env::var_os(CHILD).is_some() {
        println!("audit: {}", audits());
        return;
    }
    let program = std::env::current_exe().expect("this test has a program");
    let test = "a_seed_gives_the_same_audit_hash_in_two_processes";
    let child = Command::new(program).args([test, "--exact", "--nocapture"]).env(CHILD, "1").output();
    let output = String::from_utf8(child.expect("the program runs again").stdout).expect("it prints text");
    let theirs = output.split_once("audit: ").and_then(|(_, rest)| rest.lines().next());
    assert_eq!(theirs, Some(audits().as_str()));
}

#[test]
fn another_seed_gives_another_audit_hash() {
    let all = audits();
    let mut hashes: Vec<&str> = all.split(' ').collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len() as u64, SEEDS);
}
