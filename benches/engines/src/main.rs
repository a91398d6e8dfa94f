//! Which engine could keep a replica's log? The load of a replica, the same for every candidate: records of
//! 200 B to 1 MiB, one sync for each batch, the front dropped at each checkpoint; then a restart, and a
//! flipped byte.
//!
//! `cargo run --release -- DIR [ENGINE..]` measures in DIR, which must be on the disk in question.

mod engines;
mod quorate;
mod segments;

use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whatever went wrong, in words.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A candidate.
pub trait Engine {
    /// Writes records with consecutive positions and makes them durable with one sync.
    fn commit(&mut self, first: u64, records: &[&[u8]]) -> Result<(), Failure>;
    /// Drops everything below `first`.
    fn truncate_front(&mut self, first: u64) -> Result<(), Failure>;
    /// Visits all records in order.
    fn read(&mut self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure>;
}

type Open = fn(&Path) -> Result<Box<dyn Engine>, Failure>;

const CANDIDATES: [(&str, Open); 8] = [
    ("raft-engine", engines::raft),
    ("fjall", engines::fjall),
    ("redb", engines::redb),
    ("segments-growing", segments::growing),
    ("segments-reserved", segments::reserved),
    ("segments-sparse", segments::sparse),
    ("quorate", quorate::open),
    ("segments-reused", segments::reused),
];

const VOTE: [u8; 200] = [0xa5; 200];
const MIB: u64 = 1 << 20;
/// So much lies between two checkpoints, and as much again is kept behind the last.
const CHECKPOINT_BYTES: u64 = 64 * MIB;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("name a directory on the disk to measure")?);
    let wanted: Vec<String> = arguments.collect();
    for (name, open) in CANDIDATES {
        if wanted.is_empty() || wanted.iter().any(|engine| engine == name) {
            println!("== {name}");
            let path = dir.join(name);
            latency(&path, open)?;
            sustained(&path, open)?;
            recovery(&path, open)?;
            flipped(&path, open)?;
        }
    }
    Ok(())
}

/// One batch at a time: a block and a vote, then a sync.
fn latency(path: &Path, open: Open) -> Result<(), Failure> {
    for block_bytes in [200, 1024, 64 << 10, 1 << 20] {
        let mut engine = fresh(path, open)?;
        let block = noise(block_bytes);
        let mut times = Vec::new();
        let (began, mut position) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(2) {
            let before = Instant::now();
            engine.commit(position, &[&block, &VOTE])?;
            times.push(before.elapsed());
            position += 2;
            if position * block_bytes as u64 / 2 % (256 * MIB) < block_bytes as u64 {
                engine.truncate_front(position)?;
            }
        }
        times.sort_unstable();
        println!(
            "  block {block_bytes:>7} B + vote, sync: p50 {:>6} us  p99 {:>6} us",
            times[times.len() / 2].as_micros(),
            times[times.len() * 99 / 100].as_micros()
        );
    }
    Ok(())
}

/// 100 MB/s for a while in blocks of 256 KiB, with a checkpoint every 64 MiB.
fn sustained(path: &Path, open: Open) -> Result<(), Failure> {
    const SECONDS: u64 = 12;
    let mut engine = fresh(path, open)?;
    let block = noise(256 << 10);
    let per_checkpoint = 2 * CHECKPOINT_BYTES / block.len() as u64;
    let (cpu, device) = (cpu_seconds(), written_bytes());
    let (began, mut position, mut disk_max, mut slowest) = (Instant::now(), 0_u64, 0, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let due = Duration::from_secs_f64(position as f64 / 2.0 * block.len() as f64 / 100e6);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let before = Instant::now();
        engine.commit(position, &[&block, &VOTE])?;
        position += 2;
        if position % per_checkpoint == 0 {
            engine.truncate_front(position.saturating_sub(per_checkpoint))?;
            disk_max = disk_max.max(disk_bytes(path));
        }
        slowest = slowest.max(before.elapsed());
    }
    let seconds = began.elapsed().as_secs_f64();
    let bytes = (position / 2 * (block.len() + VOTE.len()) as u64) as f64;
    let cpu = cpu_seconds() - cpu;
    engine.truncate_front(position)?;
    engine.commit(position, &[&VOTE])?;
    std::thread::sleep(Duration::from_secs(1));
    println!(
        "  100 MB/s: got {:.0} MB/s, CPU {:.2} s per GB, {:.2} bytes written per byte, slowest {} ms, disk {} MiB at most, {} MiB once dropped",
        bytes / 1e6 / seconds,
        cpu / (bytes / 1e9),
        (written_bytes() - device) as f64 / bytes,
        slowest.as_millis(),
        disk_max / MIB,
        disk_bytes(path) / MIB
    );
    Ok(())
}

/// A restart over a full window: 256 MiB in blocks of 64 KiB.
fn recovery(path: &Path, open: Open) -> Result<(), Failure> {
    let mut engine = fresh(path, open)?;
    let block = noise(64 << 10);
    for position in (0..2 * 256 * MIB / block.len() as u64).step_by(2) {
        engine.commit(position, &[&block, &VOTE])?;
    }
    drop(engine);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let (mut count, mut bytes) = (0, 0);
    open(path)?.read(&mut |_, record| {
        count += 1;
        bytes += record.len();
    })?;
    println!(
        "  recovery of 256 MiB: {:.2} s, CPU {:.2} s, {count} records",
        began.elapsed().as_secs_f64(),
        cpu_seconds() - cpu
    );
    Ok(())
}

/// 2000 durable records, the process killed, one byte in or around record 1000 flipped: what does the next
/// process see?
fn flipped(path: &Path, open: Open) -> Result<(), Failure> {
    let mut engine = fresh(path, open)?;
    for position in 0..RECORDS {
        engine.commit(position, &[&record(position)])?;
    }
    let image = path.with_extension("image");
    let _ = fs::remove_dir_all(&image);
    copy(path, &image)?;
    drop(engine);
    let (file, end) = find(&image, &record(RECORDS / 2)[960..])?;
    let damaged = path.with_extension("damaged");
    let mut outcomes = BTreeMap::new();
    std::panic::set_hook(Box::new(|_| ()));
    for distance in (0..1080).step_by(27) {
        let _ = fs::remove_dir_all(&damaged);
        copy(&image, &damaged)?;
        let target = damaged.join(file.strip_prefix(&image)?);
        let mut bytes = fs::read(&target)?;
        bytes[end + 40 - distance] ^= 1;
        fs::write(&target, bytes)?;
        *outcomes.entry(outcome(&damaged, open)).or_insert(0) += 1;
    }
    let _ = std::panic::take_hook();
    println!("  40 flipped bytes around record 1000 of {RECORDS}, one at a time: {outcomes:?}");
    Ok(())
}

const RECORDS: u64 = 2000;

fn record(position: u64) -> Vec<u8> {
    [noise(1000), position.to_le_bytes().to_vec()].concat()
}

/// What a process sees that opens a log of 2000 durable records.
fn outcome(path: &Path, open: Open) -> &'static str {
    let result = std::panic::catch_unwind(|| {
        let (mut count, mut wrong) = (0, false);
        let mut visit = |position: u64, bytes: &[u8]| {
            wrong |= position != count || bytes != record(position);
            count += 1;
        };
        open(path).and_then(|mut engine| engine.read(&mut visit)).map(|()| (count, wrong))
    });
    match result {
        Err(_) => "panic",
        Ok(Err(_)) => "refused",
        Ok(Ok((_, true))) => "WRONG DATA",
        Ok(Ok((RECORDS, false))) => "unharmed",
        Ok(Ok(_)) => "SILENT LOSS",
    }
}

/// The file that holds these bytes, and where they end in it.
fn find(dir: &Path, needle: &[u8]) -> Result<(PathBuf, usize), Failure> {
    for file in files(dir) {
        let bytes = fs::read(&file)?;
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            return Ok((file, at + needle.len()));
        }
    }
    Err("the record is nowhere".into())
}

fn fresh(path: &Path, open: Open) -> Result<Box<dyn Engine>, Failure> {
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path)?;
    open(path)
}

/// Bytes that no compression shortens.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What this process caused to be written to the device, as the kernel counts it.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    files(dir).iter().filter_map(|file| fs::metadata(file).ok()).map(|data| data.blocks() * 512).sum()
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(target.parent().ok_or("no parent")?)?;
        fs::copy(&file, target)?;
    }
    Ok(())
}
