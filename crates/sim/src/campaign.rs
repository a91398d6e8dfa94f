//! Does any of many seeds break a property? Runs them over all cores and stops at the first.

use quorate_attack::Attack;
use quorate_types::Rejection;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::plan::{AttackChoice, Plan};
use crate::run::{Report, run};
use crate::setup::Crypto;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// How many replicas each cluster has.
    pub replicas: u16,
    /// The first seed.
    pub first: u64,
    /// How many seeds to run.
    pub seeds: u64,
    /// How clusters sign.
    pub crypto: Crypto,
    /// Which attacks are made.
    pub attacks: AttackChoice,
}

/// Sums over all runs of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Runs that ended.
    pub seeds: u64,
    /// Events in all of them.
    pub events: u64,
    /// Committed blocks.
    pub commits: u64,
    /// View changes.
    pub view_changes: u64,
    /// Runs with a view change.
    pub seeds_with_view_change: u64,
    /// Stable checkpoints.
    pub checkpoints: u64,
    /// For each attack in how many runs it was made, and in how many of them it really deviated
    /// from the protocol.
    pub attacks: BTreeMap<Attack, AttackTotals>,
    /// What became of the attacks, by the phase of the protocol.
    pub coverage: Coverage,
    /// How many messages were refused, by reason.
    pub rejections: BTreeMap<Rejection, u64>,
    /// In how many runs something happened at least once: see [`Report::happened`].
    pub happened: BTreeMap<&'static str, u64>,
    /// The run with the lowest seed that broke a property.
    pub failure: Option<Box<Report>>,
    /// Time on the wall.
    pub elapsed: Duration,
}

/// In how many runs an attack was made, and in how many it really deviated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AttackTotals {
    /// Runs in which a replica had this attack.
    pub runs: u64,
    /// Runs in which it deviated from the protocol.
    pub fired: u64,
}

impl Campaign {
    /// Runs all seeds, or stops soon after the first that breaks a property. `progress` is called
    /// now and then with the number of runs that have ended.
    #[must_use]
    pub fn run(&self, mut progress: impl FnMut(u64)) -> Totals {
        let begin = Instant::now();
        let shared = Shared::default();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work(&shared, begin))).collect();
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                progress(shared.done.load(Ordering::Relaxed));
                std::thread::park_timeout(PROGRESS_INTERVAL);
            }
        });
        shared.totals.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, shared: &Shared, begin: Instant) {
        let mut totals = Totals::default();
        while !shared.is_stopped.load(Ordering::Relaxed) {
            let index = shared.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.seeds {
                break;
            }
            let plan =
                Plan::generate(self.first.wrapping_add(index), self.replicas, self.crypto, &self.attacks);
            let report = run(&plan);
            shared.done.fetch_add(1, Ordering::Relaxed);
            if report.violation.is_some() {
                shared.is_stopped.store(true, Ordering::Relaxed);
            }
            totals.add(report);
        }
        totals.elapsed = begin.elapsed();
        shared.totals.lock().unwrap_or_else(PoisonError::into_inner).merge(totals);
    }
}

impl Totals {
    /// Adds one run.
    pub fn add(&mut self, report: Report) {
        self.seeds += 1;
        self.events += report.events;
        self.commits += report.commits;
        self.view_changes += report.view_changes;
        self.seeds_with_view_change += u64::from(report.view_changes > 0);
        self.checkpoints += report.checkpoints;
        for happened in &report.happened {
            *self.happened.entry(happened).or_default() += 1;
        }
        self.coverage.merge(&report.coverage);
        add_counts(&mut self.rejections, &report.rejections);
        let mut made: BTreeMap<Attack, bool> = BTreeMap::new();
        for (attack, fired) in &report.attacks {
            *made.entry(*attack).or_default() |= *fired > 0;
        }
        for (attack, has_fired) in made {
            let totals = self.attacks.entry(attack).or_default();
            totals.runs += 1;
            totals.fired += u64::from(has_fired);
        }
        if report.violation.is_some() {
            self.fail(Box::new(report));
        }
    }

    fn fail(&mut self, report: Box<Report>) {
        if self.failure.as_ref().is_none_or(|known| report.seed < known.seed) {
            self.failure = Some(report);
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.commits += other.commits;
        self.view_changes += other.view_changes;
        self.seeds_with_view_change += other.seeds_with_view_change;
        self.checkpoints += other.checkpoints;
        self.elapsed = self.elapsed.max(other.elapsed);
        for (attack, counts) in other.attacks {
            let totals = self.attacks.entry(attack).or_default();
            totals.runs += counts.runs;
            totals.fired += counts.fired;
        }
        self.coverage.merge(&other.coverage);
        add_counts(&mut self.rejections, &other.rejections);
        add_counts(&mut self.happened, &other.happened);
        if let Some(report) = other.failure {
            self.fail(report);
        }
    }
}

fn add_counts<K: Copy + Ord>(sums: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (key, count) in more {
        *sums.entry(*key).or_default() += count;
    }
}

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    done: AtomicU64,
    is_stopped: AtomicBool,
    totals: Mutex<Totals>,
}

/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);
