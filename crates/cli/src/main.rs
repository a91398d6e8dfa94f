//! The `quorate` program.

mod bench;
mod simulate;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Byzantine fault tolerant replication: run it, attack it, simulate it.
#[derive(Parser, Debug)]
#[command(name = "quorate", version, about)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs seeded clusters in simulated time until a property breaks.
    Simulate(simulate::Simulate),
    /// Measures a cluster in this process over real QUIC: throughput, latency, processor time.
    Bench(bench::Bench),
}

fn main() -> anyhow::Result<ExitCode> {
    match Program::parse().command {
        Command::Simulate(simulate) => simulate.run(),
        Command::Bench(bench) => bench.run(),
    }
}
