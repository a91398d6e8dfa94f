//! Does `quorate attack` tell what an attack on running processes achieved, and refuse what it cannot do?

mod common;

use common::processes::Processes;
use quorate::Durability;
use serde_json::Value;
use std::process::Output;

async fn start() -> Processes {
    let mut processes = Processes::new(Durability::Sync);
    processes.start_all();
    for index in 0..4 {
        processes.wait_until_ready(index).await;
    }
    processes
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn an_equivocating_primary_is_detected_and_costs_nobody_anything() {
    let processes = start().await;
    let flags = [
        "attack",
        "--replica",
        "0",
        "equivocate-proposals@probability=0.9",
        "--for",
        "1500ms",
        "--seed",
        "42",
    ];
    let output = processes.quorate(&[&flags[..], &["--json"]].concat());
    let verdict = json(&output);
    assert!(output.status.success(), "{verdict} {output:?}");
    assert_eq!(verdict["attack"], "equivocate-proposals@probability=0.9");
    assert_eq!((&verdict["traitors"], &verdict["seed"]), (&serde_json::json!([0]), &42.into()));
    assert_eq!(verdict["conflicts"], serde_json::json!([]), "{verdict}");
    assert_eq!(verdict["clients"]["errors"], serde_json::json!({}), "{verdict}");
    for count in ["fired", "compared"] {
        assert!(verdict[count].as_u64() > Some(0), "{count} in {verdict}");
    }
    for witnesses in ["evidence", "detected_by"] {
        assert!(verdict[witnesses].as_array().is_some_and(|all| !all.is_empty()), "{witnesses} in {verdict}");
    }
    let status = processes.status(0).await.expect("it runs");
    assert_eq!(status.attack, None, "it is honest again");
    // An attack that does nothing shows nothing.
    let output =
        processes.quorate(&["attack", "--replica", "1", "silent@views=1000..1001", "--for", "100ms"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("not shown: the attack never deviated from the protocol"), "{text}");
}

#[tokio::test]
async fn a_verdict_is_told_in_words() {
    let processes = start().await;
    let output = processes.quorate(&["attack", "--replica", "3", "silent", "--for", "500ms", "--seed", "7"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    for line in ["silent by replica 3 for 0.5 s, seed 7", "conflicts     0 of", "borne: it happened"] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn what_cannot_be_attacked_is_refused_in_a_sentence() {
    let mut processes = start().await;
    for (flags, sentence) in [
        (&["--replica", "4", "silent"][..], "there is no replica 4; this cluster has replicas 0 to 3"),
        (&["--replica", "0", "nap"], "there is no attack `nap`"),
        (&["--replica", "0", "silent", "--for", "30"], "give a time with its unit"),
        (&["--replica", "0"], "<ATTACK>"),
        (&["silent"], "--replica"),
    ] {
        let output = processes.quorate(&[&["attack"], flags].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(sentence), "{sentence} in {errors}");
    }
    processes.kill(2);
    let output = processes.quorate(&["attack", "--replica", "2", "silent"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("no replica runs on this directory"), "{errors}");
    processes.edit("genesis.json", "\"test\": true", "\"test\": false");
    let output = processes.quorate(&["attack", "--replica", "0", "silent"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("does not say `test: true`"), "{errors}");
}

#[test]
fn every_attack_is_listed_with_what_it_needs() {
    let output = common::processes::quorate(&["attack", "list", "--json"]);
    let list = json(&output);
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), quorate::Attack::ALL.len());
    for entry in list {
        let text =
            |field: &str| entry[field].as_str().unwrap_or_else(|| panic!("{field} in {entry}")).to_owned();
        assert!(text("does").ends_with('.') && text("needs").starts_with("its own key"), "{entry}");
        let attack: quorate::Attack = text("name").parse().expect("an attack");
        let needs = attack.needs();
        assert_eq!(entry["refused"].is_null(), !needs.colluders && !needs.disk, "{entry}");
    }
    let output = common::processes::quorate(&["attack", "list"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("runs here: quorate attack --replica N equivocate-proposals"), "{text}");
}
