//! What do snapshots, state transfer and recovery cost when the state is large? Four real processes on one machine,
//! under load: `cargo bench -p quorate-cli --bench large_state -- [MIB] [SECONDS]`, by default 2048 MiB and
//! 60 s. Prints one line per question, with everybody's peak memory.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::processes::Processes;
use common::until;
use quorate::types::SecretKey;
use quorate::{Client, Durability, Status};
use quorate_services::kv::{Command, KeyValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

#[tokio::main]
async fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let mebibytes = numbers.first().copied().unwrap_or(2048);
    let seconds = numbers.get(1).copied().unwrap_or(60);
    let mut stage = Stage::start(mebibytes).await;
    stage.fill().await;
    stage.load_with_snapshots(Duration::from_secs(seconds)).await;
    stage.replace_a_disk_under_load().await;
    stage.change_one_percent().await;
    stage.restart_one().await;
}

/// A running cluster with clients.
struct Stage {
    processes: Processes,
    clients: Vec<Client<KeyValue>>,
    keys: u64,
}

/// Tasks that put values until they are told to stop.
struct Load {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    async fn start(mebibytes: u64) -> Self {
        let mut processes = Processes::with_defaults(Durability::Sync);
        // A snapshot should be written in the time of one interval: see docs/performance.md.
        processes.space_checkpoints((mebibytes * BLOCKS_PER_MEBIBYTE).max(1024));
        processes.start_all();
        for index in 0..processes.count() {
            processes.wait_until_ready(index).await;
        }
        let client = |_| processes.client(Some(SecretKey::from_seed(rand::random())));
        let clients = (0..CLIENTS).map(client).collect();
        Self { processes, clients, keys: mebibytes * 1024 }
    }

    /// Puts every key once.
    async fn fill(&self) {
        let began = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let keys = self.keys;
        let load = self.load(move |_| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            (number < keys).then_some(number)
        });
        load.finish().await;
        let took = began.elapsed();
        println!("filled {} MiB in {:.0} s, {:.0} puts/s", keys / 1024, took.as_secs_f64(), rate(keys, took));
        self.tell_memory("after filling");
    }

    /// Throughput while at least one replica writes a snapshot, and while none does.
    async fn load_with_snapshots(&self, span: Duration) {
        let before = self.views().await;
        let load = self.random_load();
        let began = Instant::now();
        // Moments with the requests done so far, and spans in which somebody wrote a snapshot.
        let mut moments = vec![(Duration::ZERO, 0)];
        let mut writing: Vec<(Duration, Duration)> = Vec::new();
        let mut seen = vec![0; self.processes.count()];
        let mut newest = Status::default();
        while began.elapsed() < span {
            tokio::time::sleep(SAMPLE).await;
            moments.push((began.elapsed(), load.done.load(Ordering::Relaxed)));
            for (index, seen) in seen.iter_mut().enumerate() {
                let status = self.processes.status(index).await.expect("it runs");
                let snapshot = status.snapshot;
                if snapshot.snapshots > *seen {
                    let now = began.elapsed();
                    let took = Duration::from_micros(snapshot.write_us);
                    if *seen > 0 || now > took {
                        writing.push((now.saturating_sub(took), now));
                    }
                    *seen = snapshot.snapshots;
                    newest = status;
                }
            }
        }
        load.stop().await;
        let is_writing = |at: Duration| writing.iter().any(|(from, to)| (*from..=*to).contains(&at));
        let mut sums = [(0, Duration::ZERO); 2];
        for pair in moments.windows(2) {
            let sum = &mut sums[usize::from(is_writing(pair[1].0))];
            *sum = (sum.0 + pair[1].1 - pair[0].1, sum.1 + pair[1].0 - pair[0].0);
        }
        let [quiet, busy] = sums.map(|(requests, time)| rate(requests, time));
        println!(
            "under load: {quiet:.0} puts/s without and {busy:.0} during snapshots ({:.0} %), {} written in {:.0} s, views {before:?} \
             then {:?}",
            100.0 * busy / quiet.max(1.0),
            writing.len(),
            span.as_secs_f64(),
            self.views().await,
        );
        let snapshot = newest.snapshot;
        println!(
            "newest snapshot: {} MiB, {} of {} chunks new, {} MiB; pause {:.1} ms, longest {:.1} ms, durable after {:.1} s",
            snapshot.bytes >> 20,
            snapshot.chunks_new,
            snapshot.chunks,
            snapshot.bytes_new >> 20,
            snapshot.pause_us as f64 / 1e3,
            snapshot.pause_us_max as f64 / 1e3,
            snapshot.write_us as f64 / 1e6,
        );
        self.tell_memory("after the load");
    }

    /// One replica loses its disk while the others serve on.
    async fn replace_a_disk_under_load(&mut self) {
        let before = self.views().await;
        let load = self.random_load();
        self.processes.kill(LOST);
        std::fs::remove_dir_all(self.processes.path(format!("replica-{LOST}"))).expect("it was there");
        let began = Instant::now();
        self.processes.start(LOST);
        let requests = load.done.load(Ordering::Relaxed);
        let has_state = |status: &Status| status.is_awake && !status.is_recovering && status.executed.0 > 0;
        let back = self.patiently(LOST, has_state).await;
        let installed = began.elapsed();
        let goal = self.processes.status(0).await.expect("it runs").committed;
        let caught_up = self.patiently(LOST, move |status| status.executed >= goal).await;
        let took = began.elapsed();
        let during = rate(load.done.load(Ordering::Relaxed) - requests, took);
        load.stop().await;
        println!(
            "lost disk: has the state after {:.1} s at height {}, has caught up after {:.1} s at height {}; {} MiB of chunks for \
             {} states; {during:.0} puts/s meanwhile; views {before:?} then {:?}",
            installed.as_secs_f64(),
            back.executed,
            took.as_secs_f64(),
            caught_up.executed,
            caught_up.snapshot.bytes_fetched >> 20,
            self.processes.log(LOST).matches("fetches the state of the others").count(),
            self.views().await,
        );
        self.tell_memory("after the transfer");
    }

    /// How many chunks does a small change move?
    async fn change_one_percent(&self) {
        self.until_next_snapshot().await;
        let next = Arc::new(AtomicU64::new(0));
        let (keys, changed) = (self.keys, self.keys / 100);
        // A stride that is prime to any number of keys here spreads the changes.
        let load = self.load(move |_| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            (number < changed).then_some(number.wrapping_mul(STRIDE) % keys)
        });
        load.finish().await;
        let snapshot = self.until_next_snapshot().await.snapshot;
        println!(
            "1 % of the keys changed: {} of {} chunks new ({:.1} %), durable after {:.1} s",
            snapshot.chunks_new,
            snapshot.chunks,
            100.0 * snapshot.chunks_new as f64 / snapshot.chunks.max(1) as f64,
            snapshot.write_us as f64 / 1e6,
        );
    }

    /// A replica starts again from its snapshot and its log.
    async fn restart_one(&mut self) {
        self.processes.kill(RESTARTED);
        let goal = self.processes.status(0).await.expect("it runs").committed;
        let began = Instant::now();
        self.processes.start(RESTARTED);
        let serves = began.elapsed();
        self.patiently(RESTARTED, move |status| status.is_awake && status.executed >= goal).await;
        println!(
            "restart: serves after {:.1} s, has executed all after {:.1} s",
            serves.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        self.tell_memory("at the end");
    }

    /// Small requests until replica 0 has written one snapshot more.
    async fn until_next_snapshot(&self) -> Status {
        let before = self.processes.status(0).await.expect("it runs").snapshot.snapshots;
        let load = self.load(|_| Some(u64::MAX));
        let status = self.patiently(0, move |status| status.snapshot.snapshots > before).await;
        load.stop().await;
        status
    }

    async fn patiently(&self, index: usize, condition: impl Fn(&Status) -> bool) -> Status {
        let began = Instant::now();
        loop {
            let status = until("a status", || async { self.processes.status(index).await.ok() }).await;
            assert_eq!(status.halted, None, "replica {index}");
            if condition(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "replica {index}: {status:?}");
            tokio::time::sleep(SAMPLE).await;
        }
    }

    fn random_load(&self) -> Load {
        let keys = self.keys;
        self.load(move |_| Some(rand::random::<u64>() % keys))
    }

    /// Puts the values of the keys that `next` names, with many requests in flight.
    fn load(&self, next: impl Fn(u64) -> Option<u64> + Send + Sync + 'static) -> Load {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let next = Arc::new(next);
        let task = |index: u64| {
            let client = self.clients[usize::try_from(index).expect("few") % self.clients.len()].clone();
            let (is_over, done, next) = (Arc::clone(&is_over), Arc::clone(&done), Arc::clone(&next));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed)
                    && let Some(number) = next(index)
                {
                    let value = match number {
                        u64::MAX => Vec::new(),
                        _ => rand::random::<[u8; 32]>().repeat(VALUE_BYTES / 32),
                    };
                    if client.submit(Command::put(number.to_be_bytes().to_vec(), value)).await.is_ok() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let tasks = (0..IN_FLIGHT).map(task).collect();
        Load { is_over, done, tasks }
    }

    async fn views(&self) -> Vec<u64> {
        let mut views = Vec::new();
        for index in self.processes.running() {
            views.push(self.processes.status(index).await.expect("it runs").view.0);
        }
        views
    }

    /// Peak memory of every replica, in MiB.
    fn tell_memory(&self, when: &str) {
        let peak = |index: &usize| {
            let pid = self.processes.pid(*index).as_raw_nonzero();
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
            Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
        };
        let running = self.processes.running();
        println!("peak memory {when}, in MiB: {:?}", running.iter().map(peak).collect::<Vec<_>>());
    }
}

impl Load {
    /// Waits until nothing is left to do.
    async fn finish(self) {
        for task in self.tasks {
            task.await.expect("a task ends");
        }
    }

    async fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.finish().await;
    }
}

fn rate(count: u64, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64().max(1e-9)
}

/// Blocks from checkpoint to checkpoint for each MiB of state.
const BLOCKS_PER_MEBIBYTE: u64 = 2;
const CLIENTS: usize = 8;
const IN_FLIGHT: u64 = 512;
const VALUE_BYTES: usize = 1008;
const STRIDE: u64 = 1_000_003;
const SAMPLE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(900);
/// The replica that loses its disk, and the one that is restarted: neither is the primary.
const LOST: usize = 3;
const RESTARTED: usize = 2;
