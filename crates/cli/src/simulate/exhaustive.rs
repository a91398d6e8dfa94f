//! The real machines in every state of a small scope: `quorate simulate --exhaustive`.

use anyhow::Result;
use clap::Args;
use quorate_sim::exhaustive::{Explorations, Part};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::progress;

/// Which scopes to explore.
#[derive(Args, Clone, Debug)]
pub(crate) struct Exhaustive {
    /// Explores all states that a small scope allows; with a text, only scopes whose names contain it.
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["seeds", "first", "seed", "twins"])]
    exhaustive: Option<String>,
}

impl Exhaustive {
    /// Explores what was asked for; `None` if nothing was.
    pub(crate) fn run(&self, path: Option<&Path>, is_json: bool) -> Result<Option<ExitCode>> {
        let Some(filter) = &self.exhaustive else { return Ok(None) };
        let mut explorations: Explorations = progress::load(path)?.unwrap_or_default();
        let (begin, mut saved) = (Instant::now(), Ok(()));
        explorations.run(filter, |explorations| {
            if saved.is_ok() {
                saved = progress::save(path, explorations);
            }
        });
        saved?;
        let out = &mut std::io::stdout().lock();
        if is_json {
            writeln!(out, "{}", serde_json::to_string(&explorations)?)?;
        } else {
            for (name, part) in &explorations.0 {
                print(name, part, out)?;
            }
            writeln!(out, "{:.1} s", begin.elapsed().as_secs_f64())?;
        }
        let Some((name, story)) = explorations.failure() else { return Ok(Some(ExitCode::SUCCESS)) };
        if !is_json {
            writeln!(out, "VIOLATION in {name}: {}", story.join("\n  "))?;
        }
        Ok(Some(ExitCode::FAILURE))
    }
}

fn print(name: &str, part: &Part, out: &mut impl Write) -> Result<()> {
    let most = part.layers.iter().map(|layer| layer.states).max().unwrap_or(0);
    let total: u64 = part.layers.iter().map(|layer| layer.states).sum();
    let end = part.layers.last().map_or_else(String::new, |layer| format!("{:?}", layer.phase));
    let completeness = if part.is_complete { "complete" } else { "cut off" };
    writeln!(
        out,
        "{name:<28} {completeness} at {end}: {total} states, {most} at most in a phase, {} of single machines, {} steps, {} \
         messages, {:.1} s",
        part.machine_states, part.steps, part.messages, part.seconds
    )?;
    Ok(())
}
