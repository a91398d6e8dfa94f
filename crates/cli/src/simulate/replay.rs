//! What happens in one run? A seed with its plan and its story, or a saved plan with its chart.

use anyhow::Result;
use quorate_sim::{AttackChoice, Plan, Report, SavedPlan, Totals, run_with_story};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::Simulate;

impl Simulate {
    /// Runs one seed and tells its story.
    pub(super) fn replay_seed(
        &self,
        seed: u64,
        attacks: &AttackChoice,
        out: &mut impl Write,
    ) -> Result<ExitCode> {
        let plan = Plan::generate(seed, self.replicas, self.crypto(), attacks);
        let report = run_with_story(&plan);
        if !self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&plan)?)?;
            for line in &report.story {
                writeln!(out, "{line}")?;
            }
            write_outcome(&report, out)?;
        }
        let is_broken = report.violation.is_some();
        let failure = if is_broken { Some(self.examine(plan, &report)?) } else { None };
        match failure {
            _ if self.json => {
                let mut totals = Totals::default();
                totals.add(report);
                self.tell(&totals, failure, out)
            }
            Some(failure) => {
                failure.print(out)?;
                Ok(ExitCode::FAILURE)
            }
            None => Ok(ExitCode::SUCCESS),
        }
    }

    /// Runs a saved plan and draws its chart.
    pub(super) fn replay_plan(&self, path: &Path, out: &mut impl Write) -> Result<ExitCode> {
        let saved = SavedPlan::read(path)?;
        let report = run_with_story(&saved.plan);
        let broke = saved.broke.as_ref().map(|broke| broke.property.as_str());
        let breaks = report.violation.as_ref().map(|(violation, _)| violation.property);
        if self.json {
            let line = serde_json::json!({
                "plan": path,
                "seed": saved.plan.seed,
                "replicas": saved.plan.replicas,
                "written_by": saved.written_by,
                "expected": saved.broke,
                "violation": report.violation.as_ref().map(|(violation, _)| violation),
                "event": report.violation.as_ref().map(|(_, event)| event),
                "events": report.events,
                "commits": report.commits,
                "audit": report.audit.to_string(),
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{} (written by {})", path.display(), saved.written_by)?;
            if !saved.note.is_empty() {
                writeln!(out, "{}", saved.note)?;
            }
            write!(out, "\n{}", report.chart.as_ref().map(quorate_sim::Chart::text).unwrap_or_default())?;
            write_outcome(&report, out)?;
            match (broke, &report.violation) {
                (None, None) => writeln!(out, "no violation")?,
                (Some(broke), None) => writeln!(out, "no violation any more; it broke: {broke}")?,
                (broke, Some((violation, event))) => {
                    writeln!(out, "VIOLATION at event {event}: {violation}")?;
                    match broke {
                        Some(broke) if Some(broke) != breaks => writeln!(out, "before it broke: {broke}")?,
                        _ => {}
                    }
                }
            }
        }
        Ok(if breaks.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn write_outcome(report: &Report, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "seed {}: {} events in {} simulated ms, {} blocks, view {}, audit {}",
        report.seed,
        report.events,
        report.simulated.as_millis(),
        report.commits,
        report.view_changes,
        report.audit
    )?;
    Ok(())
}
