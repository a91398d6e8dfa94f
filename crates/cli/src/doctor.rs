//! What is in a replica's directory? `quorate doctor` says so in words, and what to do in the last line.

use anyhow::Result;
use clap::Args;
use quorate::config::read_genesis;
use quorate::doctor::{Gravity, LogState, Report, SnapshotsState, examine};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which directory to look at.
#[derive(Args, Clone, Debug)]
pub(crate) struct Doctor {
    /// The replica's directory.
    #[arg(long)]
    dir: PathBuf,
    /// The genesis of the cluster that it should belong to; certificates are then checked too.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Reads every chunk of every snapshot.
    #[arg(long)]
    deep: bool,
    /// Prints one JSON object instead of words.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let genesis = self.genesis.as_ref().map(|path| read_genesis(path, None)).transpose()?;
        let report = examine(&self.dir, genesis.as_ref(), self.deep);
        let out = &mut std::io::stdout().lock();
        if self.json {
            let verdict = serde_json::json!({ "gravity": report.gravity(), "to_do": report.verdict() });
            writeln!(out, "{}", serde_json::json!({ "report": report, "verdict": verdict }))?;
        } else {
            write_words(&report, out)?;
        }
        Ok(match report.gravity() {
            Gravity::Healthy => ExitCode::SUCCESS,
            Gravity::ToDo => ExitCode::from(1),
            Gravity::Damaged => ExitCode::from(2),
        })
    }
}

fn write_words(report: &Report, out: &mut impl Write) -> Result<()> {
    writeln!(out, "directory  {}", report.directory.display())?;
    if let (Some(cluster), Some(key)) = (report.cluster, report.replica_key) {
        let number = report.replica.map_or_else(String::new, |number| format!("replica {number}, "));
        writeln!(out, "of         {number}key {key}")?;
        writeln!(out, "cluster    {cluster}")?;
        let used = if report.is_in_use { "by a running process" } else { "by nobody" };
        writeln!(out, "in use     {used}")?;
    }
    if let Some(log) = &report.log {
        write_log(log, out)?;
    }
    if let Some(snapshots) = &report.snapshots {
        write_snapshots(snapshots, out)?;
    }
    for dump in &report.dumps {
        writeln!(out, "dump       {}", dump.display())?;
    }
    if let Some(free) = report.free_bytes {
        writeln!(out, "disk       {} free", bytes(free))?;
    }
    for finding in &report.findings {
        let gravity = match finding.gravity {
            Gravity::Healthy => "note",
            Gravity::ToDo => "to do",
            Gravity::Damaged => "damaged",
        };
        writeln!(out, "{gravity:10} {}", finding.what)?;
    }
    Ok(writeln!(out, "{}", report.verdict())?)
}

fn write_log(log: &LogState, out: &mut impl Write) -> Result<()> {
    let account = &log.account;
    writeln!(
        out,
        "log        records {} to {}, {} in {} segments",
        log.first,
        log.end,
        bytes(log.bytes),
        log.segments
    )?;
    let blocks = account
        .blocks
        .map_or_else(|| "none".to_owned(), |(lowest, highest)| format!("heights {lowest} to {highest}"));
    writeln!(out, "  blocks   {blocks}, committed up to {}", account.committed)?;
    writeln!(out, "  view     entered {}, asked for {}", account.entered, account.asked)?;
    match account.last_vote {
        Some((view, height, block)) => {
            writeln!(out, "  vote     view {view}, height {height}, block {block}")?
        }
        None => writeln!(out, "  vote     none")?,
    }
    let (view, height) = account.high_qc;
    writeln!(out, "  quorum   certificate of view {view}, height {height}")?;
    let stands = match account.summary {
        Some(base) => format!("its front was cut; blocks stand on height {base}"),
        None => "it goes back to the beginning".to_owned(),
    };
    writeln!(out, "  stable   checkpoint {}; {stands}", account.stable)?;
    if account.evidence > 0 {
        writeln!(out, "  evidence {} proofs against replicas", account.evidence)?;
    }
    if !log.leftovers.is_empty() {
        writeln!(out, "  leftover {}, removed by the next start", log.leftovers.join(", "))?;
    }
    Ok(())
}

fn write_snapshots(held: &SnapshotsState, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "snapshots  {}, {} chunks in {} packs, {}",
        held.snapshots.len(),
        held.chunks,
        held.packs,
        bytes(held.bytes)
    )?;
    for snapshot in &held.snapshots {
        let certified = if snapshot.is_certified { "certified" } else { "not certified" };
        let intact = match snapshot.is_intact {
            None => "complete",
            Some(true) => "every chunk intact",
            Some(false) => "damaged",
        };
        let (height, size) = (snapshot.height, bytes(snapshot.bytes));
        writeln!(out, "  height {height}: {size}, {} chunks, {certified}, {intact}", snapshot.chunks)?;
    }
    if let Some(transfer) = &held.transfer {
        let (held, all) = (bytes(transfer.bytes_held), bytes(transfer.bytes));
        writeln!(out, "  fetches the state after height {}: at least {held} of {all}", transfer.height)?;
    }
    for (name, size) in &held.leftovers {
        writeln!(out, "  leftover {name}, {}", bytes(*size))?;
    }
    Ok(())
}

/// A number of bytes as people read it.
fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = count as f64 / 1024.0;
    if scaled < 1.0 {
        return format!("{count} bytes");
    }
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", units[unit])
}
