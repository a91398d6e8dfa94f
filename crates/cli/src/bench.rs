//! How fast is it? `quorate bench` starts a cluster in this process over real QUIC, loads it, and sets
//! the figures beside the floor that the machine gives.
//!
//! Reading order: this file (the flags and the run), `load` (who submits, and when), `recorder` (what
//! is counted), `phases` (before the attack and under it), `echo` (the service), `floor`, `report`.

mod echo;
mod floor;
mod load;
mod phases;
mod recorder;
mod report;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use quorate::attack::Spec;
use quorate::lab::Venue;
use quorate::{ClientOptions, Durability, LocalCluster, Status, Timing};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use echo::Echo;
use load::{Load, Pace};
use report::{Loaded, Measured};

/// What to measure, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    /// Replicas in the cluster, 4 to 31.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=31))]
    replicas: u16,
    /// Clients, each with a key and connections of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Bytes that each command carries.
    #[arg(long, default_value_t = 256)]
    size: u32,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    seconds: f64,
    /// How long to load the cluster before the measurement, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = seconds_or_none)]
    warmup: f64,
    /// Most requests in flight per client, 1 to 64.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    window: u16,
    /// Most requests under one signature, 1 to 64.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
    bundle: u16,
    /// Requests per second of all clients together, each due at its time whether or not earlier ones
    /// were answered, and timed from then. Without it every client keeps its window full.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// What the replicas' logs survive: `sync` writes to a temporary directory (see TMPDIR) and, without an attack, is
    /// measured beside `memory`, which writes nothing, in the same run.
    #[arg(long, default_value = "sync", value_parser = crate::testnet::durability)]
    durability: Durability,
    /// The least time that a view gets before its primary is replaced, as in `200ms`; 500 ms by default.
    #[arg(long, value_name = "TIME", value_parser = crate::attack::span)]
    view_timeout: Option<Duration>,
    /// What the clients ask for; `write` is all there is so far.
    #[arg(long, default_value = "write", value_parser = workload)]
    workload: String,
    /// Turns one replica into a traitor after the measurement, and measures as long again beside it. See `quorate attack
    /// list`.
    #[arg(long, value_parser = crate::attack::spec)]
    attack: Option<Spec>,
    /// The traitor. By default the primary of the moment for attacks that only a primary can make, else the last backup.
    #[arg(long, requires = "attack")]
    replica: Option<u16>,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

impl Bench {
    /// Measures; the exit code is 1 if no request was answered.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.measure())
    }

    async fn measure(&self) -> Result<ExitCode> {
        self.check()?;
        let floor = floor::measure(self.size as usize).await.context("the floor cannot be measured")?;
        let memory = match self.durability {
            Durability::Sync if self.attack.is_none() => Some(self.load_cluster(Durability::Memory).await?),
            _ => None,
        };
        let measured = Measured::new(self, self.load_cluster(self.durability).await?, floor, memory);
        let out = &mut std::io::stdout().lock();
        if self.json {
            measured.write_json(out)?
        } else {
            measured.write_table(self, out)?
        }
        if self.json && measured.has_errors() {
            measured.write_errors(&mut std::io::stderr().lock())?;
        }
        Ok(if measured.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Loads a cluster of its own.
    async fn load_cluster(&self, durability: Durability) -> Result<Loaded> {
        let mut timing = Timing::default();
        timing.view_timeout_min = self.view_timeout.unwrap_or(timing.view_timeout_min);
        timing.view_timeout_max = timing.view_timeout_max.max(timing.view_timeout_min);
        let builder =
            LocalCluster::builder().replicas(self.replicas.into()).durability(durability).timing(timing);
        let cluster = Arc::new(builder.start(Echo::default).await?);
        let before = statuses(&cluster).await?;
        let mut traitor = None;
        let load = self.load();
        let outcome = load::run(&cluster, &load, async || {
            traitor = self.turn_traitor(&cluster).await?;
            Ok(())
        });
        let outcome = outcome.await;
        let statuses = statuses(&cluster).await?;
        cluster.stop().await?;
        check_health(&statuses, traitor)?;
        let syncs = |statuses: &[Status]| statuses.iter().map(|status| status.log.syncs).sum::<u64>();
        Ok(Loaded {
            outcome: outcome?,
            view_changes: view_changes(&statuses, traitor),
            fired: traitor.and_then(|traitor| statuses.get(traitor)).map_or(0, |status| status.attack_fired),
            syncs_per_replica: (syncs(&statuses) - syncs(&before)) as f64 / f64::from(self.replicas),
            span: Duration::from_secs_f64(
                self.warmup + self.seconds * if self.attack.is_some() { 2.0 } else { 1.0 },
            ),
        })
    }

    /// What one flag alone cannot tell.
    fn check(&self) -> Result<()> {
        if let Some(replica) = self.replica
            && replica >= self.replicas
        {
            bail!("there is no replica {replica}; this cluster has replicas 0 to {}", self.replicas - 1);
        }
        if let Some(attack) = &self.attack
            && let Some(why) = Venue::OneReplica.refusal(attack.needs())
        {
            bail!("the attack `{attack}` is refused: {why}");
        }
        let limit = quorate::types::ProtocolParameters::default().command_bytes_max;
        if self.size.saturating_add(echo::OVERHEAD_MAX) > limit {
            bail!("commands of {} bytes are too large; genesis allows {limit} with their length", self.size);
        }
        Ok(())
    }

    fn load(&self) -> Load {
        Load {
            clients: self.clients.into(),
            window: self.window.into(),
            size: self.size as usize,
            pace: self.rate.map_or(Pace::Closed, Pace::Open),
            warmup: Duration::from_secs_f64(self.warmup),
            span: Duration::from_secs_f64(self.seconds),
            attacked: self.attack.is_some().then(|| Duration::from_secs_f64(self.seconds)),
            options: ClientOptions {
                window: self.window.into(),
                bundle_max: self.bundle.into(),
                ..ClientOptions::default()
            },
        }
    }

    /// Gives the traitor's number, if there is one.
    async fn turn_traitor(&self, cluster: &LocalCluster<Echo>) -> Result<Option<usize>> {
        let Some(attack) = &self.attack else { return Ok(None) };
        let traitor = match self.replica {
            Some(replica) => usize::from(replica),
            None if attack.is_primary_attack() => cluster.replica(0).status().await?.primary.index(),
            None => usize::from(self.replicas) - 1,
        };
        cluster.replica(traitor).attack(attack.clone()).await?;
        Ok(Some(traitor))
    }
}

async fn statuses(cluster: &LocalCluster<Echo>) -> Result<Vec<Status>> {
    let mut statuses = Vec::new();
    for replica in cluster.replicas() {
        statuses.push(replica.status().await?);
    }
    Ok(statuses)
}

/// Figures of a cluster that lost an honest replica on the way would mislead.
fn check_health(statuses: &[Status], traitor: Option<usize>) -> Result<()> {
    for status in statuses {
        if let Some(why) = &status.halted
            && Some(status.replica.index()) != traitor
        {
            bail!("replica {} halted during the measurement: {why}", status.replica);
        }
    }
    Ok(())
}

/// The highest view that an honest replica entered: a cluster starts in view 0.
fn view_changes(statuses: &[Status], traitor: Option<usize>) -> u64 {
    let honest = statuses.iter().filter(|status| Some(status.replica.index()) != traitor);
    honest.map(|status| status.view.0).max().unwrap_or_default()
}

fn seconds(text: &str) -> Result<f64, String> {
    number_within(text, SECONDS_MIN, SECONDS_MAX, "a number of seconds")
}

fn seconds_or_none(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, SECONDS_MAX, "a number of seconds")
}

fn rate(text: &str) -> Result<f64, String> {
    number_within(text, RATE_MIN, RATE_MAX, "requests per second")
}

fn number_within(text: &str, min: f64, max: f64, what: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("give {what} from {min} to {max}")),
    }
}

fn workload(text: &str) -> Result<String, String> {
    match text {
        "write" => Ok(text.to_owned()),
        "read" | "stale" | "mix90" => {
            Err("this workload comes later; so far there is only `write`".to_owned())
        }
        _ => Err("there is no such workload; so far there is only `write`".to_owned()),
    }
}

/// Less would measure the timers.
const SECONDS_MIN: f64 = 0.1;
/// An hour.
const SECONDS_MAX: f64 = 3600.0;
const RATE_MIN: f64 = 1.0;
const RATE_MAX: f64 = 10_000_000.0;
