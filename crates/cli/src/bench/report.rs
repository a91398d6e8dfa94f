//! What came out? One JSON object whose names are a contract, or a table.

use anyhow::Result;
use serde::Serialize;
use std::io::Write;
use std::time::Duration;

use super::Bench;
use super::floor::Floor;
use super::load::Outcome;
use super::recorder::Recorder;

/// What one cluster did under the load.
pub(crate) struct Loaded {
    pub(crate) outcome: Outcome,
    pub(crate) view_changes: u64,
    /// Syncs of one replica's log on average, warm-up included.
    pub(crate) syncs_per_replica: f64,
    /// The load's length, warm-up included.
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
}

impl Measured {
    pub(crate) fn new(bench: &Bench, loaded: Loaded, floor: Floor, memory: Option<Loaded>) -> Self {
        let throughput = loaded.throughput();
        let Loaded { outcome, view_changes, syncs_per_replica, span } = loaded;
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
        };
        Self { summary, recorder }
    }

    /// Whether nothing was answered.
    pub(crate) const fn is_empty(&self) -> bool {
        self.summary.requests == 0
    }

    pub(crate) const fn has_errors(&self) -> bool {
        self.summary.errors > 0
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
        let attack = bench.attack.map(|attack| format!(", attack {attack}")).unwrap_or_default();
        writeln!(
            out,
            "{replicas} replicas in {durability}, {clients} clients, {load}, {size} bytes each, {seconds:.1} s{attack}"
        )?;
        for (name, figure, floor) in self.rows() {
            writeln!(out, "{}", format!("  {name:<22}{figure:>16}   {floor}").trim_end())?;
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
