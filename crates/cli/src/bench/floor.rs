//! What does this machine give at best? Raw QUIC, one signature, one verification, measured right
//! before the cluster.

use anyhow::{Context as _, Result, anyhow};
use quorate::testkit::floor::ping_pong;
use quorate::types::{Scheme, SecretKey, VerifyKey};
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Medians. No protocol with signatures over this transport gets below them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// There and back over one QUIC stream on loopback, between two threads.
    pub(crate) ping_pong: Duration,
    /// One Ed25519 signature.
    pub(crate) sign: Duration,
    /// One strict verification, with the check of a key that is not known yet.
    pub(crate) verify: Duration,
    /// Writing a kibibyte behind a file's end and syncing it, where temporary directories are.
    pub(crate) sync: Duration,
}

/// Measures with messages of `size` bytes. Takes less than a second on an idle machine.
pub(crate) async fn measure(size: usize) -> Result<Floor> {
    let key = SecretKey::from_seed([7; 32]);
    let statement = [3; STATEMENT_BYTES];
    let signature = key.sign(&statement);
    let public = key.public();
    let is_valid = || match VerifyKey::new(Scheme::Ed25519, black_box(&public)) {
        Ok(key) => key.is_valid(black_box(&statement), &signature),
        Err(_) => false,
    };
    if !is_valid() {
        return Err(anyhow!("a good signature was found bad"));
    }
    let mut round_trips = ping_pong(ROUNDS, size).await?;
    // The first rounds find their way.
    round_trips.drain(..ROUNDS / 10);
    Ok(Floor {
        ping_pong: median(&mut round_trips),
        sign: median_of(|| _ = black_box(key.sign(black_box(&statement)))),
        verify: median_of(|| _ = black_box(is_valid())),
        sync: syncs().context("the disk cannot be measured")?,
    })
}

fn syncs() -> Result<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[7; 1024])?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(median(&mut times))
}

fn median_of(mut work: impl FnMut()) -> Duration {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    median(&mut (0..REPEATS).map(time).collect::<Vec<_>>())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Rounds of ping-pong.
const ROUNDS: usize = 2000;
/// Signatures and verifications each.
const REPEATS: usize = 500;
/// Syncs of the disk.
const SYNCS: usize = 200;
/// What is signed is a digest with its domain.
const STATEMENT_BYTES: usize = 72;
