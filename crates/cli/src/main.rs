//! The `quorate` program. One file for each command; `exit` says what the exit codes mean.

mod attack;
mod bench;
mod simulate;

mod keygen;
mod replica;
mod testnet;

mod service;
mod status;

mod doctor;
mod snapshot;
mod verify;

mod exit;
mod files;

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
    /// Makes a secret key and prints its public half.
    Keygen(keygen::Keygen),
    /// Makes, and runs, a test cluster on this machine: one process for each replica.
    #[command(subcommand)]
    Testnet(testnet::Testnet),
    /// Prepares the directory of a replica that never ran. Once for each key, and never after a loss.
    Init(replica::Init),
    /// Runs one replica until Ctrl-C or SIGTERM.
    Replica(replica::Replica),
    /// Says how a replica on this machine is doing.
    Status(status::Status),
    /// Says in words what is in a replica's directory and what to do about it; changes nothing. Exits with 0 if it
    /// is healthy, 1 if there is something to do, 2 if it is damaged.
    Doctor(doctor::Doctor),
    /// Saves, verifies and restores states with their certificates.
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Verifies evidence against a replica with nothing but the genesis.
    Verify(verify::Verify),
    /// Sets a value in the key-value store.
    Put(service::Put),
    /// Prints a value of the key-value store, and nothing else.
    Get(service::Get),
    /// Removes a key from the key-value store.
    Delete(service::Delete),
    /// Compares and swaps: sets a value if the present one is as expected.
    Cas(service::Cas),
    /// Runs seeded clusters in simulated time until a property breaks.
    Simulate(simulate::Simulate),
    /// Attacks a running test cluster and says what came of it.
    Attack(attack::Attack),
    /// Measures a cluster in this process over real QUIC: throughput, latency, processor time.
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let result = match Program::parse().command {
        Command::Keygen(keygen) => keygen.run(),
        Command::Testnet(testnet) => testnet.run(),
        Command::Init(init) => init.run(),
        Command::Replica(replica) => replica.run(),
        Command::Status(status) => status.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Snapshot(snapshot) => snapshot.run(),
        Command::Verify(verify) => verify.run(),
        Command::Put(put) => put.run(),
        Command::Get(get) => get.run(),
        Command::Delete(delete) => delete.run(),
        Command::Cas(cas) => cas.run(),
        Command::Simulate(simulate) => simulate.run(),
        Command::Attack(attack) => attack.run(),
        Command::Bench(bench) => bench.run(),
    };
    result.unwrap_or_else(|error| {
        let code = exit::code_of(&error);
        // There is nowhere else to tell it.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("error: {error:#}\n"));
        code
    })
}
