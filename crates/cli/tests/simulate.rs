//! Does `quorate simulate` replay plans, refuse nonsense in one sentence, and show what attacks came to?

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.arg("simulate").args(arguments).env_remove("QUORATE_PLAN");
    command
}

fn run(mut command: Command) -> (Output, String) {
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// A plan that broke a property once.
fn plan() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/tests/plans/bug-second-vote.json")
}

#[test]
fn a_plan_is_replayed_from_argument_and_variable() {
    let path = plan();
    let (output, by_argument) = run(simulate(&["--plan", &path.to_string_lossy()]));
    assert!(output.status.success(), "{output:?}");
    let mut command = simulate(&[]);
    command.env("QUORATE_PLAN", &path);
    let (_, by_variable) = run(command);
    assert_eq!(by_argument, by_variable);
    for words in
        ["lies: equivocate-deep", "! propose", "COMMIT", "no violation any more; it broke: honest votes"]
    {
        assert!(by_argument.contains(words), "`{words}` is missing:\n{by_argument}");
    }
    let (_, json) = run(simulate(&["--json", "--plan", &path.to_string_lossy()]));
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["violation"], Value::Null);
    assert_eq!(json["expected"]["property"], "honest votes per view form a chain, none after a view change");
}

#[test]
fn a_plan_that_cannot_run_is_refused_in_one_sentence() {
    let json = std::fs::read_to_string(plan()).expect("it is there");
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("plan.json");
    for (from, to, sentence) in [
        ("\"replicas\": 4", "\"replicas\": 3", "the number of replicas is 3, but must be from 4 to 31"),
        ("equivocate-deep", "be-friendly", "there is no attack `be-friendly`"),
        ("\"loss\"", "\"losses\"", "unknown field `losses`"),
        ("\"format\": 1", "\"format\": 9", "the plan has format 9"),
    ] {
        assert!(json.contains(from), "{from}");
        std::fs::write(&path, json.replacen(from, to, 1)).expect("there is room");
        let (output, _) = run(simulate(&["--plan", &path.to_string_lossy()]));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(sentence) && error.trim().lines().count() == 1, "{error}");
    }
    let (output, _) = run(simulate(&["--attack", "silent@view=3"]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `views`?"), "{output:?}");
}

#[test]
fn a_matrix_has_a_row_for_every_size() {
    let (output, json) =
        run(simulate(&["--matrix", "--json", "--seeds", "4", "--attack", "equivocate-votes"]));
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    let rows = json["rows"].as_array().expect("rows");
    let sizes: Vec<&Value> = rows.iter().map(|row| &row["replicas"]).collect();
    assert_eq!(sizes, [4, 7, 10]);
    for row in rows {
        let phases = row["phases"].as_object().expect("phases");
        assert_eq!(phases.len(), 5, "{row}");
        let sum = |field: &str| phases.values().filter_map(|cell| cell[field].as_u64()).sum::<u64>();
        assert!(sum("fired") > 0 && sum("reached") > 0, "{row}");
    }
    assert!(json["unseen_rejections"].as_array().is_some_and(|reasons| !reasons.is_empty()));
}
