//! Does the protocol hold? `quorate simulate` runs seeded clusters until a property breaks or all
//! seeds are done, replays seeds and saved plans, and shows what attacks came to.

mod failure;
mod matrix;
mod replay;

mod exhaustive;
mod progress;
mod twins;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use quorate_attack::Spec;
use quorate_sim::{AttackChoice, AttackTotals, Campaign, Crypto, Plan, Totals};
use quorate_types::Rejection;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use failure::Failure;

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
    #[arg(long, conflicts_with_all = ["seeds", "first", "plan"])]
    seed: Option<u64>,
    /// Replays a saved plan and draws what happens in it. The variable QUORATE_PLAN does the same.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "first", "replicas", "crypto", "attack"])]
    plan: Option<PathBuf>,
    /// How replicas and clients sign: a fast checksum or real Ed25519.
    #[arg(long, value_enum, default_value_t = CryptoArgument::Fast)]
    crypto: CryptoArgument,
    /// The attack that Byzantine replicas make, with its limits (`silent@views=0..3`); `all` for any of them in each seed, or
    /// `none`.
    #[arg(long, default_value = "all")]
    attack: String,
    /// Shows for 4, 7 and 10 replicas, each with all seeds, what every attack came to in each phase of the protocol.
    #[arg(long, conflicts_with_all = ["seed", "plan", "replicas"])]
    matrix: bool,
    /// Where the plan that breaks a property is saved, shrunk, with a chart of what happens in it.
    #[arg(long, value_name = "DIR", default_value = ".")]
    save: PathBuf,
    /// How many seconds a plan that breaks a property is shrunk at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    shrink: u64,
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

/// The plan to replay, if there is no argument.
const PLAN: &str = "QUORATE_PLAN";

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
    rejections: BTreeMap<Rejection, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<Failure>,
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
        let out = &mut std::io::stdout().lock();
        let by_variable = || std::env::var_os(PLAN).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = self.plan.clone().or_else(by_variable) {
            return self.replay_plan(&path, out);
        }
        let attacks = self.attacks()?;
        match self.seed {
            Some(seed) => self.replay_seed(seed, &attacks, out),
            None if self.matrix => self.run_matrix(&attacks, out),
            None => self.run_campaign(attacks, out),
        }
    }

    fn run_campaign(&self, attacks: AttackChoice, out: &mut impl Write) -> Result<ExitCode> {
        let totals = self.campaign(self.replicas, attacks.clone());
        let failure = match &totals.failure {
            Some(report) => {
                let plan = Plan::generate(report.seed, self.replicas, self.crypto(), &attacks);
                Some(self.examine(plan, report)?)
            }
            None => None,
        };
        self.tell(&totals, failure, out)
    }

    /// Runs all seeds for clusters of this size.
    fn campaign(&self, replicas: u16, attacks: AttackChoice) -> Totals {
        let crypto = self.crypto();
        let campaign = Campaign { replicas, first: self.first, seeds: self.seeds, crypto, attacks };
        let bar = self.progress_bar();
        let totals = campaign.run(|done| bar.set_position(done));
        bar.finish_and_clear();
        totals
    }

    /// Prints what came out of many runs or of one.
    fn tell(&self, totals: &Totals, failure: Option<Failure>, out: &mut impl Write) -> Result<ExitCode> {
        let code = if failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        let summary = self.summary(totals, failure);
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&summary)?)?;
        } else {
            summary.print(totals, out)?;
        }
        Ok(code)
    }

    fn attacks(&self) -> Result<AttackChoice> {
        match self.attack.as_str() {
            "all" => Ok(AttackChoice::All),
            "none" => Ok(AttackChoice::None),
            text => match text.parse::<Spec>() {
                Ok(attack) => Ok(AttackChoice::One(attack)),
                Err(error) => bail!("{error}; or `all`, or `none`"),
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

    fn summary(&self, totals: &Totals, violation: Option<Failure>) -> Summary {
        let seconds = totals.elapsed.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Summary {
            seeds: totals.seeds,
            replicas: self.replicas,
            violations: u64::from(violation.is_some()),
            events: totals.events,
            seconds,
            seeds_per_second: per_second(totals.seeds),
            events_per_second: per_second(totals.events),
            commits: totals.commits,
            view_changes: totals.view_changes,
            seeds_with_view_change: totals.seeds_with_view_change,
            checkpoints: totals.checkpoints,
            attacks: totals.attacks.iter().map(|(attack, counts)| (attack.to_string(), *counts)).collect(),
            rejections: totals.rejections.clone(),
            violation,
        }
    }
}

impl Summary {
    fn print(&self, totals: &Totals, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "{} seeds with {} replicas in {:.1} s ({:.0} seeds/s, {:.0} events/s)",
            self.seeds, self.replicas, self.seconds, self.seeds_per_second, self.events_per_second
        )?;
        writeln!(
            out,
            "{} blocks committed, {} checkpoints, {} view changes in {} seeds",
            self.commits, self.checkpoints, self.view_changes, self.seeds_with_view_change
        )?;
        for (attack, counts) in &totals.attacks {
            let (attack, runs, fired) = (attack.to_string(), counts.runs, counts.fired);
            writeln!(out, "  {attack:<22} in {runs:>6} seeds, deviated in {fired:>6}")?;
        }
        match &self.violation {
            None => writeln!(out, "no violation")?,
            Some(failure) => failure.print(out)?,
        }
        Ok(())
    }
}
