//! What is told when a test fails? Enough to understand it and to run it again.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::costs::{Costs, Span};
use crate::lab::one_run::Ran;
use crate::lab::regressions::function;
use crate::lab::{Environment, TestPlan};
use crate::network::NetworkParameters;
use crate::observe::Violation;

/// Why an attack test failed. Its `Display` is the whole report.
#[derive(Debug)]
pub struct Failure {
    test: String,
    violation: Violation,
    origin: Origin,
    run: Option<Box<Run>>,
}

#[derive(Debug)]
enum Origin {
    /// No single run is to blame.
    AllSeeds,
    /// The plan in this file cannot be run any more.
    File(PathBuf),
    /// The plan in this file.
    Saved(PathBuf),
    /// A seed; how large its whole plan is, and where the shrunk one was saved.
    Seed { size: String, shrinking: Shrinking },
}

/// What became of a plan that was made smaller.
#[derive(Debug)]
pub(crate) struct Shrinking {
    /// Whether it is as small as can be.
    pub(crate) is_minimal: bool,
    /// Where it was saved.
    pub(crate) saved: io::Result<PathBuf>,
}

/// The run that is told about.
#[derive(Debug)]
struct Run {
    plan: TestPlan,
    ran: Ran,
}

impl Failure {
    pub(crate) fn of_all_seeds(test: &str, violation: Violation) -> Self {
        Self { test: test.to_owned(), violation, origin: Origin::AllSeeds, run: None }
    }

    pub(crate) fn of_file(test: &str, path: PathBuf, why: String) -> Self {
        let violation = Violation::of("a saved plan can be run", why);
        Self { test: test.to_owned(), violation, origin: Origin::File(path), run: None }
    }

    pub(crate) fn of_saved(plan: TestPlan, path: PathBuf, ran: Ran) -> Self {
        Self::of_run(plan, ran, Origin::Saved(path))
    }

    pub(crate) fn of_seed(full: &TestPlan, plan: TestPlan, ran: Ran, shrinking: Shrinking) -> Self {
        Self::of_run(plan, ran, Origin::Seed { size: size(full), shrinking })
    }

    fn of_run(plan: TestPlan, mut ran: Ran, origin: Origin) -> Self {
        let without = || Violation::of("a run is the same each time", "the plan failed, and now it does not");
        let violation = ran.violation.take().unwrap_or_else(without);
        Self { test: plan.test.clone(), violation, origin, run: Some(Box::new(Run { plan, ran })) }
    }

    /// The property that was broken, and how.
    #[must_use]
    pub const fn violation(&self) -> &Violation {
        &self.violation
    }

    fn write_origin(&self, f: &mut fmt::Formatter<'_>, seed: u64) -> fmt::Result {
        let test = function(&self.test);
        match &self.origin {
            Origin::AllSeeds => Ok(()),
            Origin::File(path) => {
                let path = path.display();
                writeln!(f, "plan: {path}\n  if what it shows no longer matters, delete the file")
            }
            Origin::Saved(path) => {
                let path = path.display();
                writeln!(f, "replay: QUORATE_PLAN={path} cargo test {test}   (a plan that failed before)")
            }
            Origin::Seed { size, shrinking: Shrinking { is_minimal, saved } } => {
                let note = if *is_minimal { "" } else { ", not as small as can be: time was up" };
                writeln!(f, "replay: QUORATE_SEED={seed} cargo test {test}   (the whole run: {size})")?;
                match saved {
                    Ok(path) => writeln!(
                        f,
                        "        QUORATE_PLAN={} cargo test {test}   (the shrunk plan{note}; it runs first from now on)",
                        path.display()
                    ),
                    Err(error) => writeln!(f, "        the shrunk plan could not be saved: {error}"),
                }
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "attack test {} failed", self.test)?;
        writeln!(f, "property: {}\n  {}", self.violation.property, self.violation.what)?;
        let Some(run) = &self.run else { return self.write_origin(f, 0) };
        let Run { plan, ran } = &**run;
        let at = ran.at.as_secs_f64() * 1000.0;
        writeln!(f, "first bad event: number {} at {at:.3} ms", ran.events)?;
        writeln!(f, "seed: {}", plan.seed)?;
        self.write_origin(f, plan.seed)?;
        writeln!(f, "plan:")?;
        for line in describe(plan) {
            writeln!(f, "  {line}")?;
        }
        if !ran.clients.is_empty() {
            writeln!(f, "clients: {}", ran.clients.join(", "))?;
        }
        if let Some(chart) = &ran.chart {
            writeln!(f, "\n{}", chart.text())?;
        }
        // The same two statements are proof in either order.
        let mut told = BTreeSet::new();
        for evidence in &ran.evidence {
            let offence = evidence.lines().next().unwrap_or_default();
            if told.insert(offence) {
                writeln!(f, "evidence: {evidence}")?;
            }
        }
        Ok(())
    }
}

/// How large a plan is.
fn size(plan: &TestPlan) -> String {
    let traitors = plan.traitors.iter().flatten().filter(|part| part.takes_part()).count();
    let requests = plan.requests.as_ref().map_or(0, Vec::len);
    let faults = plan.environment.faults.len();
    format!("{traitors} traitors, {requests} requests, {faults} faults")
}

/// A plan in words, line by line.
fn describe(plan: &TestPlan) -> Vec<String> {
    let mut lines = Vec::new();
    for part in plan.traitors.iter().flatten() {
        let (replica, attack) = (part.replica, &part.attack);
        lines.push(match part.views {
            None => format!("replica {replica} lies: {attack}"),
            Some((begin, end)) if begin < end => {
                format!("replica {replica} lies: {attack} in views {begin}..{end}")
            }
            Some(_) => format!("replica {replica} need not lie ({attack})"),
        });
    }
    if let Some(requests) = &plan.requests {
        let numbers: Vec<String> = requests.iter().map(ToString::to_string).collect();
        lines.push(format!("requests of the test, counted from 0: {}", numbers.join(", ")));
    }
    lines.push(describe_surroundings(&plan.environment));
    for timed in &plan.environment.faults {
        let words = crate::chart::describe(&timed.fault);
        lines.push(format!("{:>9.1} ms  {words}", timed.at_us as f64 / 1000.0));
    }
    lines
}

fn describe_surroundings(environment: &Environment) -> String {
    let quiet = Environment::quiet();
    let mut noise = Vec::new();
    if environment.network != quiet.network {
        noise.push(describe_network(&environment.network));
    }
    if environment.costs != quiet.costs {
        let Costs { sync_us, verify_us, execute_us } = environment.costs;
        let spans =
            [("a sync", sync_us), ("a check of signatures", verify_us), ("a block's execution", execute_us)];
        for (what, Span(low, high)) in spans.into_iter().filter(|(_, span)| span.1 > 0) {
            noise.push(format!("{what} takes {low} to {high} us"));
        }
    }
    if environment.skews_us.iter().any(|skew| *skew > 0) {
        noise.push(format!("clocks are ahead by {:?} us", environment.skews_us));
    }
    if noise.is_empty() { "a quiet network".to_owned() } else { noise.join("; ") }
}

fn describe_network(network: &NetworkParameters) -> String {
    let mut words = format!("messages take {} to {} us", network.latency_min_us, network.latency_max_us);
    if network.straggler > 0 {
        words += &format!(", {} in 1000 up to {} us more", network.straggler, network.straggler_us);
    }
    for (count, what) in [(network.loss, "are lost"), (network.duplication, "arrive twice")] {
        if count > 0 {
            words += &format!(", {count} in 1000 {what}");
        }
    }
    words + if network.is_ordered { ", in order" } else { ", in any order" }
}
