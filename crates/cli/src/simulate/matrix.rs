//! What did attacks come to? For every attack, size of cluster and phase: how often it deviated, how often that reached
//! somebody honest, and with which reason it was refused. Empty cells and reasons that never came up are listed.

use anyhow::Result;
use quorate_sim::{AttackChoice, Cell, Phase, Plan, Totals};
use quorate_types::Rejection;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

use super::Simulate;
use super::failure::Failure;

/// The sizes of clusters.
const SIZES: [u16; 3] = [4, 7, 10];

/// What `--matrix --json` prints; the names are a contract.
#[derive(Serialize)]
struct Matrix {
    seeds: u64,
    rows: Vec<Row>,
    /// Attack, replicas and phase where the attack never deviated.
    empty: Vec<String>,
    /// Reasons for which nothing was refused.
    unseen_rejections: Vec<Rejection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<Failure>,
}

/// One attack in clusters of one size.
#[derive(Serialize)]
struct Row {
    attack: String,
    replicas: u16,
    runs: u64,
    phases: BTreeMap<Phase, Cell>,
}

impl Simulate {
    /// Runs all seeds for each size.
    pub(super) fn run_matrix(&self, attacks: &AttackChoice, out: &mut impl Write) -> Result<ExitCode> {
        let mut matrix = Matrix {
            seeds: 0,
            rows: Vec::new(),
            empty: Vec::new(),
            unseen_rejections: Vec::new(),
            violation: None,
        };
        let mut seen = BTreeSet::new();
        for replicas in SIZES {
            let totals = self.campaign(replicas, attacks.clone());
            matrix.add(replicas, &totals);
            seen.extend(totals.rejections.keys().copied());
            if let Some(report) = &totals.failure {
                let plan = Plan::generate(report.seed, replicas, self.crypto(), attacks);
                matrix.violation = Some(self.examine(plan, report)?);
                break;
            }
        }
        matrix.finish(&seen);
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&matrix)?)?;
        } else {
            matrix.print(out)?;
        }
        Ok(if matrix.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Matrix {
    fn add(&mut self, replicas: u16, totals: &Totals) {
        self.seeds += totals.seeds;
        for (attack, counts) in &totals.attacks {
            let cell = |phase: &Phase| (*phase, totals.coverage.cell(attack.name(), *phase));
            let phases = Phase::ALL.iter().map(cell).collect();
            self.rows.push(Row { attack: attack.to_string(), replicas, runs: counts.runs, phases });
        }
    }

    fn finish(&mut self, seen: &BTreeSet<Rejection>) {
        self.rows.sort_by_cached_key(|row| (row.attack.clone(), row.replicas));
        let empty = |row: &Row| {
            let phases = row.phases.iter().filter(|(_, cell)| cell.fired == 0);
            let name =
                |(phase, _): (&Phase, _)| format!("{} n={} {}", row.attack, row.replicas, phase.name());
            phases.map(name).collect::<Vec<_>>()
        };
        self.empty = self.rows.iter().flat_map(empty).collect();
        self.unseen_rejections =
            Rejection::ALL.iter().copied().filter(|reason| !seen.contains(reason)).collect();
    }

    fn print(&self, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "{} seeds. In each phase: deviations / messages of them that reached somebody honest / refusals.\n",
            self.seeds
        )?;
        write!(out, "{:<24} {:>2} {:>6}", "attack", "n", "runs")?;
        for phase in Phase::ALL {
            write!(out, " {:>22}", phase.name())?;
        }
        writeln!(out)?;
        for row in &self.rows {
            write!(out, "{:<24} {:>2} {:>6}", row.attack, row.replicas, row.runs)?;
            for cell in row.phases.values() {
                let refused: u64 = cell.rejected.values().sum();
                write!(out, " {:>22}", format!("{}/{}/{refused}", cell.fired, cell.reached))?;
            }
            writeln!(out)?;
        }
        writeln!(out, "\nRefused with:")?;
        for (attack, reasons) in self.reasons() {
            let reasons: Vec<String> =
                reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            writeln!(
                out,
                "  {attack:<24} {}",
                if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(", ") }
            )?;
        }
        print_list(out, "\nNever deviated", &self.empty)?;
        let unseen: Vec<String> = self.unseen_rejections.iter().map(ToString::to_string).collect();
        print_list(out, "Reasons for which nothing was refused", &unseen)?;
        match &self.violation {
            None => writeln!(out, "no violation")?,
            Some(failure) => failure.print(out)?,
        }
        Ok(())
    }

    /// How often each attack was refused, by reason.
    fn reasons(&self) -> BTreeMap<&str, BTreeMap<Rejection, u64>> {
        let mut reasons: BTreeMap<&str, BTreeMap<Rejection, u64>> = BTreeMap::new();
        for row in &self.rows {
            let sums = reasons.entry(&row.attack).or_default();
            for (reason, count) in row.phases.values().flat_map(|cell| &cell.rejected) {
                *sums.entry(*reason).or_default() += count;
            }
        }
        reasons
    }
}

fn print_list(out: &mut impl Write, head: &str, items: &[String]) -> Result<()> {
    match items {
        [] => writeln!(out, "{head}: none")?,
        items => writeln!(out, "{head}:\n  {}", items.join("\n  "))?,
    }
    Ok(())
}
