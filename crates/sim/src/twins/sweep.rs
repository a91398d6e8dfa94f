//! How do all scenarios run? In parts of [`PART`], so that a run that was interrupted goes on where it was.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use super::run::{Outcome, run};
use super::run_parts;
use super::scenario::Scenario;

/// How many scenarios make a part.
pub const PART: u64 = 1024;
/// Most broken scenarios that are kept.
const FAILURES_MAX: usize = 16;

/// A range of scenarios, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The scenarios by their numbers.
    pub range: Range<u64>,
    /// Whether of scenarios that are the same but for names only the one with the lowest number runs.
    pub is_symmetric: bool,
    /// The parts that are done, by their numbers from 0 on.
    pub done: BTreeSet<u64>,
    /// What came out of them.
    pub totals: Totals,
}

/// What came out of several scenarios.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// How many ran.
    pub scenarios: u64,
    /// Events that happened.
    pub events: u64,
    /// Blocks that honest replicas committed, the highest of each scenario.
    pub commits: u64,
    /// The highest views, summed up.
    pub view_changes: u64,
    /// Scenarios in which the twins contradicted each other in anything.
    pub contradicting: u64,
    /// Scenarios in which the twins showed two blocks for one height.
    pub conflicting: u64,
    /// Scenarios in which honest replicas showed proof.
    pub with_evidence: u64,
    /// Seconds of one core.
    pub core_seconds: f64,
    /// The first scenarios that broke a property: number, property, what was found.
    pub failures: Vec<(u64, String, String)>,
}

impl Sweep {
    /// Nothing is done.
    #[must_use]
    pub fn new(range: Range<u64>, is_symmetric: bool) -> Self {
        Self { range, is_symmetric, done: BTreeSet::new(), totals: Totals::default() }
    }

    /// Runs what is not done, on all cores. `saved` gets the sweep after each part. Stops soon after a property broke.
    pub fn run(&mut self, mut saved: impl FnMut(&Self)) {
        let parts: Vec<u64> = (0..self.parts()).filter(|part| !self.done.contains(part)).collect();
        let (range, is_symmetric) = (self.range.clone(), self.is_symmetric);
        let work = |part| run_part(&range, is_symmetric, part);
        run_parts(&parts, work, |part, totals| {
            let is_sound = totals.failures.is_empty();
            self.totals.add(totals);
            self.done.insert(part);
            saved(self);
            is_sound
        });
    }

    /// How many parts there are.
    #[must_use]
    pub fn parts(&self) -> u64 {
        (self.range.end.saturating_sub(self.range.start)).div_ceil(PART)
    }
}

fn run_part(range: &Range<u64>, is_symmetric: bool, part: u64) -> Totals {
    let begin = Instant::now();
    let mut totals = Totals::default();
    let first = range.start + part * PART;
    for number in first..range.end.min(first + PART) {
        if !is_symmetric || Scenario::is_lowest(number) {
            totals.take(number, run(&Scenario::numbered(number)));
        }
    }
    totals.core_seconds = begin.elapsed().as_secs_f64();
    totals
}

impl Totals {
    fn take(&mut self, number: u64, outcome: Outcome) {
        self.scenarios += 1;
        self.events += outcome.events;
        self.commits += outcome.commits;
        self.view_changes += outcome.view_changes;
        self.contradicting += u64::from(outcome.contradictions > 0);
        self.conflicting += u64::from(outcome.conflicts > 0);
        self.with_evidence += u64::from(outcome.evidence > 0);
        if let Some(violation) = outcome.violation {
            self.fail((number, violation.property.to_owned(), violation.what));
        }
    }

    fn fail(&mut self, failure: (u64, String, String)) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }

    fn add(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.events += other.events;
        self.commits += other.commits;
        self.view_changes += other.view_changes;
        self.contradicting += other.contradicting;
        self.conflicting += other.conflicting;
        self.with_evidence += other.with_evidence;
        self.core_seconds += other.core_seconds;
        other.failures.into_iter().for_each(|failure| self.fail(failure));
    }
}
