//! Does `quorate bench` measure, and end, whatever it is asked?

use serde_json::Value;
use std::process::{Command, Output};

/// Every field of the object, each a number but for the durability.
const FIELDS: [&str; 24] = [
    "requests",
    "seconds",
    "throughput",
    "p50_ms",
    "p99_ms",
    "cpu_us_per_request",
    "replica_cpu_us_per_request",
    "clients",
    "size",
    "replicas",
    "durability",
    "requests_per_signature",
    "errors",
    "view_changes",
    "floor_ping_pong_p50_ms",
    "floor_sign_us",
    "floor_verify_us",
    "floor_sync_us",
    "syncs_per_second",
    "requests_per_sync",
    "memory_throughput",
    "memory_p50_ms",
    "throughput_by_memory",
    "attacked",
];

const SHORT: [&str; 8] = ["--seconds", "1", "--clients", "2", "--window", "4", "--warmup", "0.2"];

#[test]
fn a_closed_loop_gives_every_figure() {
    let report = measure(&[]);
    assert_eq!(
        (&report["clients"], &report["size"], &report["replicas"]),
        (&2.into(), &256.into(), &4.into())
    );
    assert_eq!(report["durability"], "sync");
    for name in ["syncs_per_second", "requests_per_sync", "memory_throughput", "throughput_by_memory"] {
        assert!(number(&report, name) > 0.0, "{name} in {report}");
    }
    assert!((0.9..10.0).contains(&number(&report, "seconds")), "{report}");
    for name in ["throughput", "p50_ms", "cpu_us_per_request", "requests_per_signature"] {
        assert!(number(&report, name) > 0.0, "{name} in {report}");
    }
    for name in ["floor_ping_pong_p50_ms", "floor_sign_us", "floor_verify_us"] {
        assert!(number(&report, name) > 0.0, "{name} in {report}");
    }
    assert!(number(&report, "p50_ms") <= number(&report, "p99_ms"), "{report}");
    if cfg!(target_os = "linux") {
        let (replicas, all) =
            (number(&report, "replica_cpu_us_per_request"), number(&report, "cpu_us_per_request"));
        // Both clocks are read one after the other.
        assert!(replicas > 0.0 && replicas < all * 1.1, "{report}");
    }
}

#[test]
fn in_memory_nothing_stands_beside_it() {
    let report = measure(&["--durability", "memory"]);
    assert_eq!(report["durability"], "memory");
    assert!(report["memory_throughput"].is_null(), "{report}");
}

#[test]
fn one_request_at_a_time_has_a_signature_each() {
    let report = measure(&["--bundle", "1", "--size", "0"]);
    assert!((0.9..1.1).contains(&number(&report, "requests_per_signature")), "{report}");
}

#[test]
fn a_silent_backup_costs_no_request() {
    let report = measure(&["--attack", "silent"]);
    assert_eq!(report["view_changes"], 0, "{report}");
    let attacked = &report["attacked"];
    assert_eq!((&attacked["attack"], &attacked["errors"]), (&"silent".into(), &0.into()), "{report}");
    for figure in ["fired", "requests", "throughput", "throughput_by_fault_free", "p50_ms", "p99_ms"] {
        assert!(number(attacked, figure) > 0.0, "{figure} in {report}");
    }
}

#[test]
fn the_table_sets_the_time_under_attack_beside_the_time_before() {
    let output = bench(&[&SHORT[..], &["--attack", "lie-to-clients@probability=0.5"]].concat());
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).expect("text");
    for line in
        ["s of lie-to-clients@probability=0.5, which deviated", "% of that without it", "back at 50 % after"]
    {
        assert!(table.contains(line), "{line} in\n{table}");
    }
}

#[test]
fn an_attack_that_never_happened_fails() {
    let output = bench(&[&SHORT[..], &["--attack", "silent@views=1000..1001", "--json"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_silent_primary_is_replaced() {
    let report = measure(&["--attack", "silent", "--replica", "0"]);
    assert!(number(&report, "view_changes") >= 1.0, "{report}");
}

#[test]
fn an_open_loop_asks_as_often_as_it_is_told() {
    let report = measure(&["--rate", "50"]);
    assert!((10.0..=60.0).contains(&number(&report, "requests")), "{report}");
}

#[test]
fn the_table_sets_the_floor_beside_the_figures() {
    let output = bench(&SHORT);
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).expect("text");
    for line in ["throughput", "latency, median", "floor: ", "CPU per request", "view changes"] {
        assert!(table.contains(line), "{line} in\n{table}");
    }
}

#[test]
fn mistakes_are_told_in_one_sentence() {
    for (flags, sentence) in [
        (&["--workload", "read"][..], "this workload comes later; so far there is only `write`"),
        (&["--workload", "reed"], "there is no such workload; so far there is only `write`"),
        (&["--replicas", "3"], "3 is not in 4..=31"),
        (&["--window", "65"], "65 is not in 1..=64"),
        (&["--bundle", "0"], "0 is not in 1..=64"),
        (&["--clients", "0"], "0 is not in 1..=1024"),
        (&["--seconds", "0"], "give a number of seconds from 0.1 to 3600"),
        (&["--seconds", "NaN"], "give a number of seconds from 0.1 to 3600"),
        (&["--warmup=-1"], "give a number of seconds from 0 to 3600"),
        (&["--rate", "0"], "give requests per second from 1 to 10000000"),
        (&["--attack", "nap"], "in `nap`: there is no attack `nap`; choose one of silent, "),
        (&["--replica", "1"], "--attack"),
        (
            &["--attack", "silent", "--replica", "4"],
            "there is no replica 4; this cluster has replicas 0 to 3",
        ),
        (&["--size", "4000000000"], "commands of 4000000000 bytes are too large"),
    ] {
        let output = bench(flags);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{flags:?}");
        assert!(errors.contains(sentence), "{flags:?} gave\n{errors}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

/// A short run with more flags, which must go well.
fn measure(flags: &[&str]) -> Value {
    let flags: Vec<&str> = SHORT.iter().chain(flags).chain(&["--json"]).copied().collect();
    let output = bench(&flags);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let object = report.as_object().expect("an object");
    assert!(FIELDS.iter().all(|name| object.contains_key(*name)), "{report}");
    assert_eq!(object.len(), FIELDS.len(), "{report}");
    assert_eq!(report["errors"], 0, "{report}");
    assert!(number(&report, "requests") > 0.0, "{report}");
    report
}

fn bench(flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quorate")).arg("bench").args(flags).output().expect("the program runs")
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("{name} is a number in {report}"))
}
