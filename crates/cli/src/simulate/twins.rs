//! Two machines with one key, in every scenario of a small scope: `quorate simulate --twins` and `--twins-range`.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_sim::twins::{SCENARIOS, Scenario, Sweep, Totals, run_with_story};
use serde::Serialize;
use std::io::{IsTerminal as _, Write};
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::progress;

/// Which scenarios of twins to run.
#[derive(Args, Clone, Debug)]
pub(crate) struct Twins {
    /// Replays one scenario of twins, from a file or by its number, and tells what happens in it.
    #[arg(long, value_name = "FILE|NUMBER", conflicts_with_all = ["seeds", "first", "seed", "twins_range"])]
    twins: Option<String>,
    /// Runs the scenarios of twins from number A on and below B; `all` of them are 0..262144.
    #[arg(long, value_name = "A..B|all", value_parser = range, conflicts_with_all = ["seeds", "first", "seed"])]
    twins_range: Option<Range<u64>>,
    /// Of scenarios that are the same but for the names of replicas, runs one only: a tenth of all.
    #[arg(long, requires = "twins_range")]
    twins_symmetric: bool,
}

/// What `--json` prints; the names are a contract.
#[derive(Serialize)]
struct Summary<'a> {
    seconds: f64,
    scenarios_per_second: f64,
    #[serde(flatten)]
    sweep: &'a Sweep,
}

impl Twins {
    /// Runs what was asked for; `None` if nothing was.
    pub(crate) fn run(&self, progress: Option<&Path>, is_json: bool) -> Result<Option<ExitCode>> {
        let out = &mut std::io::stdout().lock();
        match (&self.twins, &self.twins_range) {
            (Some(scenario), _) => replay(&read(scenario)?, out).map(Some),
            (None, Some(range)) => self.sweep(range, progress, is_json, out).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn sweep(
        &self,
        range: &Range<u64>,
        path: Option<&Path>,
        is_json: bool,
        out: &mut impl Write,
    ) -> Result<ExitCode> {
        let fresh = Sweep::new(range.clone(), self.twins_symmetric);
        let mut sweep: Sweep = progress::load(path)?.unwrap_or_else(|| fresh.clone());
        if sweep.range != fresh.range || sweep.is_symmetric != fresh.is_symmetric {
            bail!("the progress file is of the scenarios {:?}; name another one", sweep.range);
        }
        let (begin, before) = (Instant::now(), sweep.totals.scenarios);
        let bar = progress_bar(sweep.parts(), is_json);
        let mut saved = Ok(());
        sweep.run(|sweep| {
            bar.set_position(sweep.done.len() as u64);
            if saved.is_ok() {
                saved = progress::save(path, sweep);
            }
        });
        bar.finish_and_clear();
        saved?;
        let seconds = begin.elapsed().as_secs_f64();
        let per_second = (sweep.totals.scenarios - before) as f64 / seconds.max(0.001);
        if is_json {
            let summary = Summary { seconds, scenarios_per_second: per_second, sweep: &sweep };
            writeln!(out, "{}", serde_json::to_string(&summary)?)?;
        } else {
            writeln!(
                out,
                "{} parts of {} are done; {seconds:.1} s ({per_second:.0} scenarios/s)",
                sweep.done.len(),
                sweep.parts()
            )?;
            print(&sweep.totals, out)?;
        }
        Ok(if sweep.totals.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print(totals: &Totals, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "{} scenarios in {:.0} s of one core: {} blocks committed, {} view changes, {} events",
        totals.scenarios, totals.core_seconds, totals.commits, totals.view_changes, totals.events
    )?;
    writeln!(
        out,
        "the twins contradicted each other in {}, proposed two blocks for one height in {}; honest replicas showed proof in {}",
        totals.contradicting, totals.conflicting, totals.with_evidence
    )?;
    for (number, property, what) in &totals.failures {
        writeln!(out, "VIOLATION in scenario {number}")?;
        writeln!(out, "  property: {property}")?;
        writeln!(out, "  found:    {what}")?;
        writeln!(out, "  replay:   quorate simulate --twins {number}")?;
    }
    if totals.failures.is_empty() {
        writeln!(out, "no violation")?;
    }
    Ok(())
}

/// Runs one scenario and tells its story.
fn replay(scenario: &Scenario, out: &mut impl Write) -> Result<ExitCode> {
    writeln!(out, "{}", serde_json::to_string(scenario)?)?;
    let outcome = run_with_story(scenario);
    for line in &outcome.story {
        writeln!(out, "{line}")?;
    }
    writeln!(
        out,
        "{} events, {} blocks, view {}; the twins contradicted each other {} times, {} times by two blocks; {} proofs",
        outcome.events,
        outcome.commits,
        outcome.view_changes,
        outcome.contradictions,
        outcome.conflicts,
        outcome.evidence
    )?;
    let Some(violation) = outcome.violation else {
        writeln!(out, "no violation")?;
        return Ok(ExitCode::SUCCESS);
    };
    writeln!(out, "VIOLATION\n  property: {}\n  found:    {}", violation.property, violation.what)?;
    Ok(ExitCode::FAILURE)
}

fn read(scenario: &str) -> Result<Scenario> {
    if let Ok(number) = scenario.parse::<u64>() {
        if number >= SCENARIOS {
            bail!("there are {SCENARIOS} scenarios, from 0 on");
        }
        return Ok(Scenario::numbered(number));
    }
    let text = std::fs::read_to_string(scenario).with_context(|| format!("cannot read {scenario}"))?;
    let scenario: Scenario =
        serde_json::from_str(&text).with_context(|| format!("{scenario} holds no scenario of twins"))?;
    scenario.validate()?;
    Ok(scenario)
}

fn range(text: &str) -> Result<Range<u64>, String> {
    if text == "all" {
        return Ok(0..SCENARIOS);
    }
    let numbers = text.split_once("..").and_then(|(low, high)| Some(low.parse().ok()?..high.parse().ok()?));
    let is_right = |range: &Range<u64>| range.start < range.end && range.end <= SCENARIOS;
    numbers
        .filter(is_right)
        .ok_or_else(|| format!("a range is A..B with A below B and B at most {SCENARIOS}"))
}

fn progress_bar(parts: u64, is_json: bool) -> ProgressBar {
    if is_json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} parts  {eta} left");
    ProgressBar::new(parts).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
