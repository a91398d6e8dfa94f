//! How long does execution pause for a snapshot, and how much of a large state moves after a small change?
//!
//! `cargo bench -p quorate-services --bench snapshots -- [MiB of the key-value store] [MiB of the default]`
#![allow(clippy::print_stdout, reason = "a benchmark says what it measured")]

use quorate::testkit::{ChunkReader, Content, MemoryChunks, content_of};
use quorate::{ChunkId, ChunkSink, Frozen, Snapshot};
use quorate_services::kv::{Command, KeyValue};
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const VALUE_BYTES: usize = 1024;

fn main() {
    // cargo passes flags such as `--bench`.
    let mut sizes = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (store_mib, default_mib) = (sizes.next().unwrap_or(1024), sizes.next().unwrap_or(128));
    default_machine(default_mib);
    key_value(store_mib);
}

/// A map as a user would write it, `Clone + Serialize`.
fn default_machine(mib: u64) {
    let mut state: BTreeMap<u64, Vec<u8>> =
        (0..mib * MIB / VALUE_BYTES as u64).map(|number| (number, value(number, 0))).collect();
    println!("default, {mib} MiB in a BTreeMap");
    let (frozen, pause) = timed(|| state.freeze());
    let mut chunks = MemoryChunks::default();
    let (content, writing) = timed(|| written(frozen, &mut chunks));
    let (_, restoring) =
        timed(|| BTreeMap::<u64, Vec<u8>>::restore(&mut ChunkReader::new(&chunks, &content)).expect("whole"));
    println!("  pause {pause:?}; then {} chunks in {writing:?}; restored in {restoring:?}", content.chunks);
}

fn key_value(mib: u64) {
    let keys = mib * MIB / VALUE_BYTES as u64;
    let mut store = KeyValue::default();
    let (_, filling) = timed(|| (0..keys).for_each(|number| put(&mut store, number, 0)));
    println!("key-value store, {mib} MiB under {keys} keys, filled in {filling:?}");
    let mut sink = Forgetful::default();
    let (frozen, pause) = timed(|| store.freeze());
    let (first, writing) = timed(|| written(frozen, &mut sink));
    println!("  first snapshot: pause {pause:?}; then {} chunks in {writing:?}", first.chunks);

    let some: Vec<u64> = (0..keys / 100).map(|number| number * 7919 % keys).collect();
    let (_, alone) = timed(|| some.iter().for_each(|number| put(&mut store, *number, 1)));
    let (frozen, pause) = timed(|| store.freeze());
    let (_, shared) = timed(|| some.iter().for_each(|number| put(&mut store, *number, 2)));
    sink = Forgetful { holds: true, ..Forgetful::default() };
    let (second, writing) = timed(|| written(frozen, &mut sink));
    println!(
        "  after 1 % of the keys changed: pause {pause:?}; then {} of {} chunks ({} MiB) in {writing:?}",
        sink.moved,
        second.chunks,
        sink.bytes / MIB
    );
    println!("  writing 1 % of the keys: {alone:?} alone, {shared:?} while a snapshot shares all buckets");
    let (_, restoring) = timed(|| handed_over(store.freeze()));
    println!("  restored from a pipe, as it was written, in {restoring:?}");
}

/// Restores what another thread writes, with nothing but a pipe between.
fn handed_over(frozen: Box<dyn Frozen>) -> KeyValue {
    let (mut reader, mut writer) = io::pipe().expect("a pipe");
    let writing = std::thread::spawn(move || frozen.write(&mut writer));
    let restored = KeyValue::restore(&mut reader).expect("whole");
    writing.join().expect("no panic").expect("all was read");
    restored
}

/// Hashes, keeps nothing, and claims to hold or not to hold what it gave before.
#[derive(Default)]
struct Forgetful {
    holds: bool,
    moved: u64,
    bytes: u64,
}

impl ChunkSink for Forgetful {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        self.moved += 1;
        self.bytes += bytes.len() as u64;
        Ok(ChunkId::of(bytes))
    }
    fn reuse(&mut self, _: &ChunkId) -> io::Result<bool> {
        Ok(self.holds)
    }
}

fn put(store: &mut KeyValue, number: u64, round: u64) {
    store.execute(Command::put(number.to_le_bytes().to_vec(), value(number, round)));
}

/// Noise (splitmix64): where bytes repeat, the default finds no place to cut.
fn value(number: u64, round: u64) -> Vec<u8> {
    let mut seed = number ^ round.rotate_right(8);
    let mut value = Vec::with_capacity(VALUE_BYTES);
    while value.len() < VALUE_BYTES {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value.extend((word ^ (word >> 31)).to_le_bytes());
    }
    value
}

fn written(frozen: Box<dyn Frozen>, sink: &mut dyn ChunkSink) -> Content {
    content_of(frozen, sink).expect("memory takes it")
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed())
}
