//! How does a test run? The plans that failed before, then every seed, over all cores; and what fails is made smaller,
//! saved and told.

use quorate_machine::StateMachine;
use std::collections::BTreeMap;
use std::env;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lab::checks::HAPPENS;
use crate::lab::one_run::{Body, Ran, setup};
use crate::lab::regressions::Regressions;
use crate::lab::report::Shrinking;
use crate::lab::{Failure, Faults, SimResult, TestPlan, TraitorPart};
use crate::observe::Violation;
use crate::setup::Setup;
use crate::shrink::{Budget, shrink};
use crate::sim::Sim;

/// A test that runs one body under many seeds; what `#[quorate::attack_test]` makes.
#[derive(Clone, Debug)]
pub struct AttackTest {
    /// Its module and name.
    pub test: String,
    /// The directory of its package, in whose `tests/regressions` the plans are that failed.
    pub package: PathBuf,
    /// How many replicas each cluster has.
    pub replicas: u16,
    /// The seeds.
    pub seeds: Range<u64>,
    /// What goes wrong by itself.
    pub faults: Faults,
}

/// How long a failure is made smaller at most.
const SHRINKING: Budget = Budget { runs: 4000, time: Duration::from_secs(20) };

impl AttackTest {
    /// A test of this name, with its module before it, of the package in this directory. Under seeds 0 to 255 on four
    /// replicas, with [`Faults::Network`], if nothing else is said.
    #[must_use]
    pub fn new(test: impl Into<String>, package: impl Into<PathBuf>) -> Self {
        let (test, package) = (test.into(), package.into());
        Self { test, package, replicas: 4, seeds: 0..256, faults: Faults::default() }
    }

    /// Runs the test as `cargo test` does: first the plans in `tests/regressions` that failed before, then all seeds. With
    /// `QUORATE_SEED` set it runs that seed alone, with `QUORATE_PLAN` the plan in that file alone.
    ///
    /// A run fails with the error of its body, the first invariant that breaks, a panic, or if it executed no command. The
    /// test also fails if an attack of the body never deviated from the protocol under any of the seeds.
    ///
    /// # Panics
    /// If it fails, with what [`Failure`] tells.
    #[track_caller]
    pub fn run<S: StateMachine>(
        &self,
        start: impl Fn() -> S + Send + Sync + 'static,
        body: fn(&mut Sim<S>) -> SimResult,
    ) {
        let body = Body { start: Arc::new(start), run: body };
        let variable = |name| env::var(name).ok();
        let result = match (variable("QUORATE_PLAN"), variable("QUORATE_SEED")) {
            (Some(path), _) => self.run_file(&body, Path::new(&path)),
            (None, Some(seed)) => self.run_seed(&body, &seed),
            (None, None) => self.run_all(&body),
        };
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }

    fn run_file<S: StateMachine>(&self, body: &Body<S>, path: &Path) -> Result<(), Box<Failure>> {
        let path = Regressions::beside(&self.package).find(path);
        match Regressions::read(&path) {
            Ok(plan) if plan.test != self.test => {
                let what = format!("it is one of the test {}", plan.test);
                Err(self.unusable(path, what))
            }
            read => self.run_saved(body, path, read),
        }
    }

    fn run_seed<S: StateMachine>(&self, body: &Body<S>, seed: &str) -> Result<(), Box<Failure>> {
        let hexadecimal = seed.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        let seed = hexadecimal.unwrap_or_else(|| seed.parse());
        let seed = seed.unwrap_or_else(|error| panic!("QUORATE_SEED is no number: {error}"));
        let (plan, setup) = (self.plan_of(seed), setup(self.replicas));
        let ran = body.run(&plan, &setup, false);
        self.judge(body, &setup, plan, ran)
    }

    fn run_all<S: StateMachine>(&self, body: &Body<S>) -> Result<(), Box<Failure>> {
        for (path, read) in Regressions::beside(&self.package).of(&self.test) {
            self.run_saved(body, path, read)?;
        }
        let setup = setup(self.replicas);
        let totals = self.run_seeds(body, &setup);
        if let Some((seed, ran)) = totals.failure {
            return self.judge(body, &setup, self.plan_of(seed), ran);
        }
        let idle = totals.fired.iter().find(|(_, fired)| **fired == 0);
        let violation = match idle {
            Some(((replica, attack), _)) => {
                let what = format!(
                    "`{attack}` at replica {replica} never deviated from the protocol under seeds {:?}",
                    self.seeds
                );
                Violation::of(HAPPENS, what)
            }
            None if self.seeds.is_empty() => Violation::of("a test has seeds", format!("{:?}", self.seeds)),
            None => return Ok(()),
        };
        Err(Box::new(Failure::of_all_seeds(&self.test, violation)))
    }

    fn run_saved<S: StateMachine>(
        &self,
        body: &Body<S>,
        path: PathBuf,
        read: Result<TestPlan, String>,
    ) -> Result<(), Box<Failure>> {
        let plan = read.map_err(|why| self.unusable(path.clone(), why))?;
        let ran = body.run(&plan, &setup(plan.replicas), true);
        if let Some(why) = why_stale(&plan, &ran) {
            return Err(self.unusable(path, why));
        }
        // A body from which something is left out may break what it demands itself, without any bug.
        let is_other =
            |violation: &Violation| plan.broke.as_ref().is_some_and(|broke| *broke != violation.property);
        let violation = ran.violation.as_ref().filter(|violation| !is_other(violation));
        match violation {
            Some(_) => Err(Box::new(Failure::of_saved(plan, path, ran))),
            None => Ok(()),
        }
    }

    fn unusable(&self, path: PathBuf, why: String) -> Box<Failure> {
        Box::new(Failure::of_file(&self.test, path, why))
    }

    /// Makes the plan of a run smaller if it failed, and saves it.
    fn judge<S: StateMachine>(
        &self,
        body: &Body<S>,
        setup: &Arc<Setup>,
        plan: TestPlan,
        ran: Ran,
    ) -> Result<(), Box<Failure>> {
        let Some(violation) = &ran.violation else { return Ok(()) };
        let full = spelled_out(&plan, &ran);
        let shrunk = shrink(full.clone(), SHRINKING, |candidate| {
            let again = body.run(candidate, setup, false).violation;
            again.is_some_and(|other| other.property == violation.property)
        });
        let again = body.run(&shrunk.value, setup, true);
        let plan = TestPlan { broke: Some(violation.property.to_string()), ..shrunk.value };
        let saved = Regressions::beside(&self.package).write(&plan, again.chart.as_ref());
        Err(Box::new(Failure::of_seed(
            &full,
            plan,
            again,
            Shrinking { is_minimal: shrunk.is_minimal, saved },
        )))
    }

    /// Runs the seeds in their order, over all cores, up to the first that fails.
    fn run_seeds<S: StateMachine>(&self, body: &Body<S>, setup: &Arc<Setup>) -> Totals {
        let (next, failed) = (AtomicU64::new(self.seeds.start), AtomicU64::new(self.seeds.end));
        let totals = Mutex::new(Totals::default());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= failed.load(Ordering::Relaxed) {
                            break;
                        }
                        let ran = body.run(&self.plan_of(seed), setup, false);
                        if ran.violation.is_some() {
                            failed.fetch_min(seed, Ordering::Relaxed);
                        }
                        totals.lock().unwrap_or_else(PoisonError::into_inner).add(seed, ran);
                    }
                });
            }
        });
        totals.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan_of(&self, seed: u64) -> TestPlan {
        TestPlan::generate(&self.test, seed, self.replicas, self.faults)
    }
}

/// What came out of many runs.
#[derive(Default)]
struct Totals {
    /// How often each attack deviated, by the replicas that had it.
    fired: BTreeMap<(u16, &'static str), u64>,
    /// The lowest seed that failed.
    failure: Option<(u64, Ran)>,
}

impl Totals {
    fn add(&mut self, seed: u64, ran: Ran) {
        for (traitor, fired) in &ran.turned {
            *self.fired.entry((traitor.id.0, traitor.name)).or_default() += fired;
        }
        if ran.violation.is_some() && self.failure.as_ref().is_none_or(|(known, _)| seed < *known) {
            self.failure = Some((seed, ran));
        }
    }
}

/// The plan with all that the body did, so that parts of it can be left out.
fn spelled_out(plan: &TestPlan, ran: &Ran) -> TestPlan {
    let part = |(replica, attack)| TraitorPart { replica, attack, views: None };
    let traitors = ran.turned.iter().map(|(traitor, _)| part((traitor.id.0, traitor.name.to_owned())));
    // What the body itself demands may rest on each of its requests.
    let requests = ran.is_invariant.then(|| (0..ran.requests).collect());
    TestPlan { traitors: Some(traitors.collect()), requests, ..plan.clone() }
}

/// Why a plan does not mean what it meant when it was saved.
fn why_stale(plan: &TestPlan, ran: &Ran) -> Option<String> {
    let parts = plan.traitors.as_ref()?;
    let is_met = |(part, (traitor, _)): (&TraitorPart, &(crate::sim::SimTraitor, u64))| {
        part.replica == traitor.id.0 && part.attack == traitor.name
    };
    // A body that ends early may not come to its last traitors.
    let is_shorter = ran.turned.len() < parts.len() && ran.violation.is_none();
    let is_other = !parts.iter().zip(&ran.turned).all(is_met);
    (is_shorter || is_other).then(|| {
        let words = |replica: u16, attack: &str| format!("replica {replica}: {attack}");
        let meant: Vec<String> = parts.iter().map(|part| words(part.replica, &part.attack)).collect();
        let turned: Vec<String> =
            ran.turned.iter().map(|(traitor, _)| words(traitor.id.0, traitor.name)).collect();
        format!(
            "it was made when the test turned [{}]; now it turns [{}]",
            meant.join(", "),
            turned.join(", ")
        )
    })
}
