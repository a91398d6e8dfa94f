//! Does the protocol hold? `quorate simulate` runs seeded clusters until a property breaks or all
//! seeds are done.

mod exhaustive;
mod progress;
mod twins;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use quorate_attack::Attack;
use quorate_sim::{AttackChoice, AttackTotals, Campaign, Crypto, Plan, Report, Totals, run_with_story};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Which seeds to run, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Simulate {
    /// Replicas in each cluster, 4 to 31.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=31))]
    replicas: u16,
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replays this seed alone and tells what happens in it.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// How replicas and clients sign: a fast checksum or real Ed25519.
    #[arg(long, value_enum, default_value_t = CryptoArgument::Fast)]
    crypto: CryptoArgument,
    /// The attack that Byzantine replicas make, or `all` for any of them in each seed.
    #[arg(long, default_value = "all")]
    attack: String,
    #[command(flatten)]
    twins: twins::Twins,
    #[command(flatten)]
    exhaustive: exhaustive::Exhaustive,
    /// Keeps the progress of an exploration in this file, and goes on from it.
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CryptoArgument {
    Fast,
    Real,
}

/// What `--json` prints; the names are a contract.
#[derive(Serialize)]
struct Summary {
    seeds: u64,
    replicas: u16,
    violations: u64,
    events: u64,
    seconds: f64,
    seeds_per_second: f64,
    events_per_second: f64,
    commits: u64,
    view_changes: u64,
    seeds_with_view_change: u64,
    checkpoints: u64,
    attacks: BTreeMap<String, AttackTotals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<Failure>,
}

/// The first broken property, as `--json` shows it.
#[derive(Serialize)]
struct Failure {
    seed: u64,
    property: &'static str,
    what: String,
    event: u64,
    replay: String,
}

impl Simulate {
    /// Runs the seeds; the exit code is 1 if a property broke.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if let Some(code) = self.twins.run(self.progress.as_deref(), self.json)? {
            return Ok(code);
        }
        if let Some(code) = self.exhaustive.run(self.progress.as_deref(), self.json)? {
            return Ok(code);
        }
        let attacks = self.attacks()?;
        let out = &mut std::io::stdout().lock();
        if let Some(seed) = self.seed {
            return self.replay(seed, attacks, out);
        }
        let campaign = Campaign {
            replicas: self.replicas,
            first: self.first,
            seeds: self.seeds,
            crypto: self.crypto(),
            attacks,
        };
        let bar = self.progress_bar();
        let totals = campaign.run(|done| bar.set_position(done));
        bar.finish_and_clear();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&self.summary(&totals))?)?;
        } else {
            self.print(&totals, out)?;
        }
        Ok(if totals.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Runs one seed and tells its story.
    fn replay(&self, seed: u64, attacks: AttackChoice, out: &mut impl Write) -> Result<ExitCode> {
        let plan = Plan::generate(seed, self.replicas, self.crypto(), attacks);
        let report = run_with_story(&plan);
        let is_broken = report.violation.is_some();
        if self.json {
            let mut totals = Totals::default();
            totals.add(report);
            writeln!(out, "{}", serde_json::to_string(&self.summary(&totals))?)?;
        } else {
            writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?;
            for line in &report.story {
                writeln!(out, "{line}")?;
            }
            writeln!(
                out,
                "seed {seed}: {} events in {} simulated ms, {} blocks, view {}, audit {}",
                report.events,
                report.simulated.as_millis(),
                report.commits,
                report.view_changes,
                report.audit
            )?;
            self.print_failure(&report, out)?;
        }
        Ok(if is_broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn attacks(&self) -> Result<AttackChoice> {
        match self.attack.as_str() {
            "all" => Ok(AttackChoice::All),
            "none" => Ok(AttackChoice::None),
            name => match name.parse::<Attack>() {
                Ok(attack) => Ok(AttackChoice::One(attack)),
                Err(error) => bail!("{error}, `all` or `none`"),
            },
        }
    }

    const fn crypto(&self) -> Crypto {
        match self.crypto {
            CryptoArgument::Fast => Crypto::Fast,
            CryptoArgument::Real => Crypto::Real,
        }
    }

    fn progress_bar(&self) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {per_sec}  {eta} left");
        ProgressBar::new(self.seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    fn summary(&self, totals: &Totals) -> Summary {
        let seconds = totals.elapsed.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let failure = |report: &Report| {
            let (violation, event) = report.violation.clone()?;
            let (seed, property, what) = (report.seed, violation.property, violation.what);
            Some(Failure { seed, property, what, event, replay: self.replay_line(seed) })
        };
        Summary {
            seeds: totals.seeds,
            replicas: self.replicas,
            violations: u64::from(totals.failure.is_some()),
            events: totals.events,
            seconds,
            seeds_per_second: per_second(totals.seeds),
            events_per_second: per_second(totals.events),
            commits: totals.commits,
            view_changes: totals.view_changes,
            seeds_with_view_change: totals.seeds_with_view_change,
            checkpoints: totals.checkpoints,
            attacks: totals.attacks.iter().map(|(attack, counts)| (attack.to_string(), *counts)).collect(),
            violation: totals.failure.as_deref().and_then(failure),
        }
    }

    fn print(&self, totals: &Totals, out: &mut impl Write) -> Result<()> {
        let summary = self.summary(totals);
        writeln!(
            out,
            "{} seeds with {} replicas in {:.1} s ({:.0} seeds/s, {:.0} events/s)",
            summary.seeds,
            summary.replicas,
            summary.seconds,
            summary.seeds_per_second,
            summary.events_per_second
        )?;
        writeln!(
            out,
            "{} blocks committed, {} checkpoints, {} view changes in {} seeds",
            summary.commits, summary.checkpoints, summary.view_changes, summary.seeds_with_view_change
        )?;
        for (attack, counts) in &totals.attacks {
            writeln!(
                out,
                "  {:<22} in {:>6} seeds, deviated in {:>6}",
                attack.to_string(),
                counts.runs,
                counts.fired
            )?;
        }
        match &totals.failure {
            None => writeln!(out, "no violation")?,
            Some(report) => self.print_failure(report, out)?,
        }
        Ok(())
    }

    fn print_failure(&self, report: &Report, out: &mut impl Write) -> Result<()> {
        let Some((violation, event)) = &report.violation else { return Ok(()) };
        writeln!(out, "VIOLATION in seed {} at event {event}", report.seed)?;
        writeln!(out, "  property: {}", violation.property)?;
        writeln!(out, "  found:    {}", violation.what)?;
        writeln!(out, "  replay:   {}", self.replay_line(report.seed))?;
        Ok(())
    }

    fn replay_line(&self, seed: u64) -> String {
        let crypto = if self.crypto == CryptoArgument::Real { " --crypto real" } else { "" };
        format!(
            "quorate simulate --seed {seed} --replicas {}{crypto} --attack {}",
            self.replicas, self.attack
        )
    }
}
