//! What is told when a property broke? The property, the first bad event and the seed; and a plan that was shrunk to what the
//! failure needs, saved with a chart of it.

use anyhow::{Context as _, Result};
use quorate_sim::shrink::{Budget, shrink_plan};
use quorate_sim::{Plan, Report, SavedPlan, run_with_story};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::{CryptoArgument, Simulate};

/// The first broken property, as `--json` shows it.
#[derive(Serialize)]
pub(super) struct Failure {
    pub(super) seed: u64,
    property: &'static str,
    what: String,
    event: u64,
    replay: String,
    /// The plan that was shrunk.
    plan: PathBuf,
    /// A Mermaid diagram of what happens in it.
    chart: PathBuf,
    /// How much goes wrong in it: faults, traitors, clients beyond one.
    faults: usize,
    /// Whether nothing more could be left out; if not, the time to shrink was over.
    is_minimal: bool,
    #[serde(skip)]
    drawn: String,
}

impl Simulate {
    /// Shrinks a plan that broke a property, and saves it with a chart.
    pub(super) fn examine(&self, plan: Plan, report: &Report) -> Result<Failure> {
        let (violation, event) = report.violation.as_ref().context("the run broke no property")?;
        let replay = self.replay_line(&plan);
        let name = format!("quorate-plan-n{}-seed{}", plan.replicas, plan.seed);
        let budget = Budget { time: Duration::from_secs(self.shrink), ..Budget::default() };
        if !self.json && !budget.time.is_zero() {
            // Nobody should wonder what takes so long.
            let _ = writeln!(std::io::stderr(), "seed {} breaks a property; shrinking its plan", plan.seed);
        }
        let shrunk = shrink_plan(plan, violation.property, budget);
        let again = run_with_story(&shrunk.value);
        let (found, _) = again.violation.as_ref().context("the shrunk plan broke no property")?;
        let faults = shrunk.value.faults_counted();
        let saved = SavedPlan::new(shrunk.value, found, format!("Shrunk from: {replay}"));
        let path = saved.write(&self.save, &name);
        let path = path.with_context(|| format!("cannot save the plan in {}", self.save.display()))?;
        let chart = path.with_extension("mmd");
        let drawn = again.chart.unwrap_or_default();
        std::fs::write(&chart, drawn.mermaid())?;
        Ok(Failure {
            seed: report.seed,
            property: violation.property,
            what: violation.what.clone(),
            event: *event,
            replay,
            plan: path,
            chart,
            faults,
            is_minimal: shrunk.is_minimal,
            drawn: drawn.text(),
        })
    }

    /// How to run this plan's seed again.
    fn replay_line(&self, plan: &Plan) -> String {
        let crypto = if self.crypto == CryptoArgument::Real { " --crypto real" } else { "" };
        let (seed, replicas, attack) = (plan.seed, plan.replicas, &self.attack);
        let quote = if attack.contains(['&', '>']) { "'" } else { "" };
        format!(
            "quorate simulate --seed {seed} --replicas {replicas}{crypto} --attack {quote}{attack}{quote}"
        )
    }
}

impl Failure {
    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        writeln!(out, "VIOLATION in seed {} at event {}", self.seed, self.event)?;
        writeln!(out, "  property: {}", self.property)?;
        writeln!(out, "  found:    {}", self.what)?;
        writeln!(out, "  replay:   {}", self.replay)?;
        let more = if self.is_minimal { "" } else { "; the time was over before nothing more could go" };
        writeln!(out, "  shrunk to {} faults, traitors and further clients{more}", self.faults)?;
        writeln!(out, "  replay:   quorate simulate --plan {}", self.plan.display())?;
        writeln!(out, "  chart:    {}\n", self.chart.display())?;
        write!(out, "{}", self.drawn)?;
        Ok(())
    }
}
