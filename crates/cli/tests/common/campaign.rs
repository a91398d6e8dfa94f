//! Is anything lost when processes are killed again and again under load? What clients saw must be linearizable, and
//! all replicas must have the same state.
//!
//! Each worker puts keys, some of its own and one that all share, and counts them by compare-and-swap: a swap that
//! runs twice, or is lost after it was acknowledged, makes the next one differ.

use quorate::types::{Digest, Height, SecretKey};
use quorate::{Client, Durability};
use quorate_services::kv::{Command, KeyValue};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

use super::history::History;
use super::processes::Processes;
use super::{until, within};

/// Whom to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victims {
    /// Any one replica.
    Random,
    /// The primary of the moment.
    Primary,
    /// All at the same time.
    All,
}

/// What happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// They are killed, and started again.
    Kill,
    /// They stand still, and go on where they stood.
    Pause,
}

/// A campaign of strikes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Campaign {
    pub(crate) victims: Victims,
    pub(crate) strike: Strike,
    pub(crate) durability: Durability,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
}

impl Campaign {
    /// Starts a cluster, strikes its processes in every round, and checks what is left.
    pub(crate) async fn run(self) {
        let mut processes = Processes::new(self.durability);
        processes.start_all();
        let history = Arc::new(History::new());
        let load = Load::start(&processes, &history);
        let mut random = StdRng::seed_from_u64(self.seed);
        for _ in 0..self.rounds {
            let victims = self.choose(&processes, &mut random).await;
            load.allow(2 * PROGRESS);
            load.wait_for_rest(PROGRESS).await;
            // Requests are under way.
            victims.iter().for_each(|victim| self.strike.begin(&mut processes, *victim));
            if victims.len() == 1 {
                // The others go on without it.
                load.wait_for_rest(0).await;
            }
            victims.iter().for_each(|victim| self.strike.end(&mut processes, *victim));
            load.allow(PROGRESS);
            load.wait_for_rest(0).await;
            if self.durability == Durability::Memory {
                wait_until_caught_up(&processes).await;
            }
        }
        let finished = load.finish().await;
        check_history(&processes, &history, &finished).await;
        check_equal_roots(&processes).await;
    }

    async fn choose(&self, processes: &Processes, random: &mut StdRng) -> Vec<usize> {
        match self.victims {
            Victims::Random => vec![random.random_range(0..processes.count())],
            Victims::Primary => vec![processes.primary().await],
            Victims::All => (0..processes.count()).collect(),
        }
    }
}

impl Strike {
    fn begin(self, processes: &mut Processes, victim: usize) {
        match self {
            Self::Kill => processes.kill(victim),
            Self::Pause => processes.pause(victim),
        }
    }

    fn end(self, processes: &mut Processes, victim: usize) {
        match self {
            Self::Kill => processes.start(victim),
            Self::Pause => processes.resume(victim),
        }
    }
}

/// Rounds of a campaign: few by default, as many as QUORATE_ROUNDS says in the long run.
pub(crate) fn rounds() -> u64 {
    let set = std::env::var("QUORATE_ROUNDS").ok();
    set.map_or(ROUNDS, |rounds| rounds.parse().expect("QUORATE_ROUNDS is a number"))
}

/// Until no replica lags, the next victim may be the only one that knows what was lost here: with logs in
/// memory that would be more than f.
async fn wait_until_caught_up(processes: &Processes) {
    let mut height = Height(0);
    for index in processes.running() {
        height = height.max(processes.wait_until_ready(index).await.committed);
    }
    for index in processes.running() {
        processes.wait_for(index, "has caught up", |status| status.executed >= height).await;
    }
}

/// Workers that submit one request after the other, as many as they are allowed.
struct Load {
    allowed: Arc<Semaphore>,
    /// Requests that are allowed and not acknowledged.
    rest: Arc<AtomicU64>,
    workers: Vec<tokio::task::JoinHandle<Finished>>,
}

/// What one worker did: it put the keys 1 to `count`, and its counter stands there.
struct Finished {
    worker: usize,
    count: u64,
}

impl Load {
    fn start(processes: &Processes, history: &Arc<History>) -> Self {
        let (allowed, rest) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let workers = (0..WORKERS).map(|worker| {
            let client = processes.client(Some(SecretKey::from_seed(rand::random())));
            let history = Arc::clone(history);
            tokio::spawn(work(worker, client, history, Arc::clone(&allowed), Arc::clone(&rest)))
        });
        Self { workers: workers.collect(), allowed, rest }
    }

    /// Lets the workers submit so many more requests.
    fn allow(&self, requests: u64) {
        self.rest.fetch_add(requests, Ordering::SeqCst);
        self.allowed.add_permits(usize::try_from(requests).expect("few"));
    }

    /// Waits until all requests but so many were acknowledged.
    async fn wait_for_rest(&self, requests: u64) {
        until("requests are acknowledged", || {
            let is_stuck = self.workers.iter().any(tokio::task::JoinHandle::is_finished);
            assert!(!is_stuck, "a worker found something wrong");
            std::future::ready((self.rest.load(Ordering::SeqCst) <= requests).then_some(()))
        })
        .await;
    }

    async fn finish(self) -> Vec<Finished> {
        self.allowed.close();
        let mut finished = Vec::new();
        for worker in self.workers {
            finished.push(within("a worker ends", worker).await.expect("it found nothing wrong"));
        }
        finished
    }
}

/// Puts a key, every second one shared with the other workers, and counts by compare-and-swap.
async fn work(
    worker: usize,
    client: Client<KeyValue>,
    history: Arc<History>,
    allowed: Arc<Semaphore>,
    rest: Arc<AtomicU64>,
) -> Finished {
    let mut count = 0;
    // One permit for the put and one for the swap.
    while let Ok(permits) = allowed.acquire_many(2).await {
        permits.forget();
        let (before, after) = ((count > 0).then(|| count.to_string().into()), (count + 1).to_string());
        let key = if count % 2 == 0 { key_of(worker, count + 1) } else { SHARED.to_owned() };
        let put = Command::Put { key: key.into(), value: format!("{worker} {after}").into() };
        history.execute(&client, put).await;
        rest.fetch_sub(1, Ordering::SeqCst);
        let swap =
            Command::Cas { key: counter_of(worker).into(), expected: before, value: Some(after.into()) };
        history.execute(&client, swap).await;
        rest.fetch_sub(1, Ordering::SeqCst);
        count += 1;
    }
    client.close().await;
    Finished { worker, count }
}

/// Every key is read once more, and all that clients heard can have happened: nothing that was acknowledged is lost,
/// and nothing ran twice.
async fn check_history(processes: &Processes, history: &History, finished: &[Finished]) {
    let client = processes.client(None);
    let keys = finished.iter().flat_map(|Finished { worker, count }| {
        (1..=*count).map(|number| key_of(*worker, number)).chain([counter_of(*worker)])
    });
    for key in keys.chain([SHARED.to_owned()]) {
        within("a read", history.execute(&client, Command::Get { key: key.into() })).await;
    }
    history.check();
}

/// All replicas come to one stable checkpoint with one root, which covers all that was acknowledged.
pub(crate) async fn check_equal_roots(processes: &Processes) {
    let mut height = Height(0);
    for index in 0..processes.count() {
        height = height.max(processes.wait_until_ready(index).await.committed);
    }
    let (client, history) = (processes.client(None), History::new());
    let history = &history;
    let roots: Vec<(Height, Digest)> = until("equal checkpoints above all requests", || async {
        // One block more each time, until a checkpoint is due.
        history.execute(&client, Command::Get { key: counter_of(0).into() }).await;
        let mut roots = Vec::new();
        for index in 0..processes.count() {
            let status = processes.status(index).await.expect("it runs");
            assert_eq!(status.halted, None, "replica {index}");
            roots.push((status.stable, status.stable_root?));
        }
        let is_agreed = roots.iter().all(|(stable, _)| *stable == roots[0].0 && *stable >= height);
        is_agreed.then_some(roots)
    })
    .await;
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
}

fn key_of(worker: usize, number: u64) -> String {
    format!("{worker}/{number}")
}

fn counter_of(worker: usize) -> String {
    format!("{worker}/count")
}

/// Rounds where the environment names no number.
const ROUNDS: u64 = 10;
const WORKERS: usize = 3;
/// The key that all workers put.
const SHARED: &str = "shared";
/// Acknowledged requests between two events of a campaign. Even: a worker takes two at a time.
const PROGRESS: u64 = 6;
