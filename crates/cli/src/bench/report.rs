//! What came out? One JSON object whose names are a contract, or a table.

use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::Bench;
use super::floor::Floor;
use super::load::Outcome;
use super::phases::Attacked;
use super::recorder::Recorder;

/// What one cluster did under the load.
pub(crate) struct Loaded {
    pub(crate) outcome: Outcome,
    pub(crate) view_changes: u64,
    /// How often the traitor deviated from the protocol.
    pub(crate) fired: u64,
    /// Syncs of one replica's log on average, warm-up and attack included.
    pub(crate) syncs_per_replica: f64,
    /// The load's length, warm-up and attack included.
    pub(crate) span: Duration,
}

impl Loaded {
    fn throughput(&self) -> f64 {
        self.outcome.recorder.requests as f64 / self.outcome.elapsed.as_secs_f64()
    }
}

/// The figures of one run.
pub(crate) struct Measured {
    summary: Summary,
    recorder: Recorder,
    attack_errors: BTreeMap<&'static str, u64>,
}

/// What `--json` prints; the names are a contract.
#[derive(Serialize)]
struct Summary {
    requests: u64,
    seconds: f64,
    throughput: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_request: f64,
    /// `null` where the system does not tell the time of threads.
    replica_cpu_us_per_request: Option<f64>,
    clients: u16,
    size: u32,
    replicas: u16,
    durability: &'static str,
    requests_per_signature: f64,
    errors: u64,
    view_changes: u64,
    floor_ping_pong_p50_ms: f64,
    floor_sign_us: f64,
    floor_verify_us: f64,
    floor_sync_us: f64,
    /// Syncs of one replica in a second.
    syncs_per_second: f64,
    requests_per_sync: f64,
    /// The same load in memory, before this one; `null` where this one is in memory.
    memory_throughput: Option<f64>,
    memory_p50_ms: Option<f64>,
    /// This throughput by that one.
    throughput_by_memory: Option<f64>,
    /// The same load right after, under attack; `null` without one.
    attacked: Option<AttackSummary>,
}

/// What came of the attack; the names are a contract.
#[derive(Serialize)]
struct AttackSummary {
    attack: String,
    /// How often the traitor deviated from the protocol.
    fired: u64,
    requests: u64,
    throughput: f64,
    /// By the throughput before the attack.
    throughput_by_fault_free: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// After how long the throughput is back at half of what it was, for good; `null` if it is not within the run.
    recovery_ms: Option<f64>,
    /// The throughput from then on, by that before the attack; `null` as before.
    recovered_by_fault_free: Option<f64>,
    errors: u64,
}

impl AttackSummary {
    fn new(attack: String, fired: u64, throughput_before: f64, attacked: &Attacked) -> Self {
        let recovery = attacked.recovery(throughput_before * BACK);
        let by_before = |throughput: f64| throughput / throughput_before.max(1e-9);
        Self {
            attack,
            fired,
            requests: attacked.recorder.requests,
            throughput: attacked.throughput(),
            throughput_by_fault_free: by_before(attacked.throughput()),
            p50_ms: attacked.recorder.quantile_ms(0.5),
            p99_ms: attacked.recorder.quantile_ms(0.99),
            recovery_ms: recovery.map(|recovery| recovery.as_secs_f64() * 1e3),
            recovered_by_fault_free: recovery.map(|recovery| by_before(attacked.throughput_from(recovery))),
            errors: attacked.recorder.errors.values().sum(),
        }
    }

    fn rows(&self) -> [(&'static str, String, String); 5] {
        let recovered = match (self.recovery_ms, self.recovered_by_fault_free) {
            (Some(ms), Some(part)) => {
                (format!("{:.2} s", ms / 1e3), format!("{:.0} % from then on", part * 100.0))
            }
            _ => ("never".to_owned(), String::new()),
        };
        [
            (
                "throughput",
                format!("{:.0} /s", self.throughput),
                format!("{:.0} % of that without it", 100.0 * self.throughput_by_fault_free),
            ),
            ("latency, median", format!("{:.3} ms", self.p50_ms), String::new()),
            ("latency, 99 %", format!("{:.3} ms", self.p99_ms), String::new()),
            ("back at 50 % after", recovered.0, recovered.1),
            ("errors", self.errors.to_string(), String::new()),
        ]
    }
}

/// Which part of the throughput must come back.
const BACK: f64 = 0.5;

impl Measured {
    pub(crate) fn new(bench: &Bench, loaded: Loaded, floor: Floor, memory: Option<Loaded>) -> Self {
        let throughput = loaded.throughput();
        let Loaded { outcome, view_changes, fired, syncs_per_replica, span } = loaded;
        let attack = bench.attack.as_ref().zip(outcome.attacked.as_ref());
        let attacked = attack
            .map(|(attack, attacked)| AttackSummary::new(attack.to_string(), fired, throughput, attacked));
        let attack_errors = outcome.attacked.map(|attacked| attacked.recorder.errors).unwrap_or_default();
        let syncs_per_second = syncs_per_replica / span.as_secs_f64();
        let memory_throughput = memory.as_ref().map(Loaded::throughput);
        let recorder = outcome.recorder;
        let seconds = outcome.elapsed.as_secs_f64();
        let us_per_request = |time: Duration| time.as_secs_f64() * 1e6 / recorder.requests.max(1) as f64;
        let summary = Summary {
            requests: recorder.requests,
            seconds,
            throughput,
            p50_ms: recorder.quantile_ms(0.5),
            p99_ms: recorder.quantile_ms(0.99),
            cpu_us_per_request: us_per_request(outcome.cpu),
            replica_cpu_us_per_request: outcome.replica_cpu.map(us_per_request),
            clients: bench.clients,
            size: bench.size,
            replicas: bench.replicas,
            durability: bench.durability.name(),
            requests_per_signature: outcome.requests_per_signature,
            errors: recorder.errors.values().sum(),
            view_changes,
            floor_ping_pong_p50_ms: floor.ping_pong.as_secs_f64() * 1e3,
            floor_sign_us: floor.sign.as_secs_f64() * 1e6,
            floor_verify_us: floor.verify.as_secs_f64() * 1e6,
            floor_sync_us: floor.sync.as_secs_f64() * 1e6,
            syncs_per_second,
            requests_per_sync: throughput / syncs_per_second.max(1e-9),
            memory_throughput,
            memory_p50_ms: memory.map(|memory| memory.outcome.recorder.quantile_ms(0.5)),
            throughput_by_memory: memory_throughput.map(|memory| throughput / memory.max(1e-9)),
            attacked,
        };
        Self { summary, recorder, attack_errors }
    }

    /// Whether nothing was answered, or an attack never happened.
    pub(crate) fn is_empty(&self) -> bool {
        self.summary.requests == 0
            || self.summary.attacked.as_ref().is_some_and(|attacked| attacked.fired == 0)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.summary.errors > 0 || !self.attack_errors.is_empty()
    }

    pub(crate) fn write_json(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "{}", serde_json::to_string(&self.summary)?)?;
        Ok(())
    }

    pub(crate) fn write_table(&self, bench: &Bench, out: &mut impl Write) -> Result<()> {
        let Summary { replicas, clients, size, durability, seconds, .. } = &self.summary;
        let load = match bench.rate {
            Some(rate) => format!("{rate} requests/s are due"),
            None => format!("{} requests in flight each", bench.window),
        };
        writeln!(
            out,
            "{replicas} replicas in {durability}, {clients} clients, {load}, {size} bytes each, {seconds:.1} s"
        )?;
        write_rows(&self.rows(), out)?;
        if let Some(attacked) = &self.summary.attacked {
            let AttackSummary { attack, fired, .. } = attacked;
            writeln!(out, "then {seconds:.1} s of {attack}, which deviated {fired} times")?;
            write_rows(&attacked.rows(), out)?;
        }
        if self.recorder.unsent > 0 {
            writeln!(out, "{} requests were due and had to stay unsent", self.recorder.unsent)?;
        }
        self.write_errors(out)
    }

    pub(crate) fn write_errors(&self, out: &mut impl Write) -> Result<()> {
        for (kind, count) in &self.recorder.errors {
            writeln!(out, "errors, {kind}: {count}")?;
        }
        for (kind, count) in &self.attack_errors {
            writeln!(out, "errors under attack, {kind}: {count}")?;
        }
        Ok(())
    }

    fn rows(&self) -> [(&'static str, String, String); 10] {
        let summary = &self.summary;
        let us = |time: f64| format!("{time:.1} us");
        let round_trips = summary.p50_ms / summary.floor_ping_pong_p50_ms;
        [
            (
                "throughput",
                format!("{:.0} /s", summary.throughput),
                summary.memory_throughput.map_or_else(String::new, |memory| {
                    format!(
                        "in memory: {memory:.0} /s ({:.0} %)",
                        100.0 * summary.throughput / memory.max(1e-9)
                    )
                }),
            ),
            (
                "latency, median",
                format!("{:.3} ms", summary.p50_ms),
                format!(
                    "floor: {:.3} ms, a raw QUIC round trip ({round_trips:.1}x)",
                    summary.floor_ping_pong_p50_ms
                ),
            ),
            ("latency, 99 %", format!("{:.3} ms", summary.p99_ms), String::new()),
            (
                "CPU per request",
                us(summary.cpu_us_per_request),
                format!(
                    "floor: {:.1} us a signature, {:.1} us a verification",
                    summary.floor_sign_us, summary.floor_verify_us
                ),
            ),
            (
                "  of the replicas",
                summary.replica_cpu_us_per_request.map_or_else(|| "unknown".to_owned(), us),
                String::new(),
            ),
            ("requests/signature", format!("{:.1}", summary.requests_per_signature), String::new()),
            (
                "syncs",
                format!("{:.0} /s", summary.syncs_per_second),
                format!(
                    "floor: {:.0} us a sync; {:.1} requests a sync",
                    summary.floor_sync_us, summary.requests_per_sync
                ),
            ),
            ("requests", summary.requests.to_string(), String::new()),
            ("errors", summary.errors.to_string(), String::new()),
            ("view changes", summary.view_changes.to_string(), String::new()),
        ]
    }
}

fn write_rows(rows: &[(&'static str, String, String)], out: &mut impl Write) -> Result<()> {
    for (name, figure, floor) in rows {
        writeln!(out, "{}", format!("  {name:<22}{figure:>16}   {floor}").trim_end())?;
    }
    Ok(())
}
