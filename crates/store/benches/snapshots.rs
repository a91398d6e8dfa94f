//! What does a snapshot of 1 GiB cost on this disk, and one of which one per cent has changed?
//!
//! `cargo bench -p quorate-store --bench snapshots -- [directory] [MiB]`
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use quorate_store::snapshots::{SnapshotStore, SnapshotWriter};
use quorate_types::certificate::SignedHeader;
use quorate_types::state::{Content, ContentBuilder};
use quorate_types::{ChunkId, ClusterId, Digest, Epoch, Header, Height, SecretKey, StateHead, Time, View};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mebibytes = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(1024);
    let directory = directory.join(format!("quorate-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory to write to");
    plain_file(&directory, mebibytes);
    for chunk_bytes in [4 << 10, 64 << 10] {
        Bench::new(&directory, chunk_bytes, mebibytes << 20).run();
    }
    std::fs::remove_dir_all(&directory).expect("it was just made");
}

/// What the disk can do.
fn plain_file(directory: &Path, mebibytes: u64) {
    let path = directory.join("plain");
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| i.wrapping_mul(0x9e37_79b9) as u8).collect();
    let begin = Instant::now();
    let mut file = File::create(&path).expect("writable");
    (0..mebibytes).for_each(|_| file.write_all(&block).expect("room"));
    file.sync_data().expect("a good disk");
    report("one plain file, written and synced", begin, mebibytes << 20);
    std::fs::remove_file(path).expect("it was just made");
}

struct Bench {
    path: PathBuf,
    chunk_bytes: usize,
    count: u64,
    buffer: Vec<u8>,
}

impl Bench {
    fn new(directory: &Path, chunk_bytes: usize, bytes: u64) -> Self {
        let path = directory.join(format!("snapshots-{chunk_bytes}"));
        Self { path, chunk_bytes, count: bytes / chunk_bytes as u64, buffer: vec![0; chunk_bytes] }
    }

    fn run(&mut self) {
        println!("\nchunks of {} KiB", self.chunk_bytes >> 10);
        let bytes = self.count * self.chunk_bytes as u64;
        let begin = Instant::now();
        (0..self.count).for_each(|number| assert!(self.chunk(number, 0).bytes > 0));
        report("making and hashing chunks alone", begin, bytes);

        let before = resident();
        let store = SnapshotStore::open(&self.path, CLUSTER).expect("a new directory");
        let begin = Instant::now();
        self.write(&store, 1, |_| 0);
        report("first snapshot, hashing included", begin, bytes);
        let begin = Instant::now();
        self.write(&store, 2, |number| u64::from(number % 100 == 7));
        report("second one, one chunk in a hundred changed", begin, bytes);
        let usage = store.usage();
        let per_chunk = (resident().saturating_sub(before)) as f64 / usage.chunks as f64;
        println!("{:<46}{:>9.1} MiB, {per_chunk:.0} B per chunk", "memory", mib(resident() - before));
        println!("{:<46}{:>9.1} MiB in {} packs", "disk", mib(usage.bytes), usage.packs);
        drop(store);

        let begin = Instant::now();
        let store = SnapshotStore::open(&self.path, CLUSTER).expect("two snapshots");
        println!("{:<46}{:>9.2} s", "opening again", begin.elapsed().as_secs_f64());
        self.read_all(&store, 1);
        self.read_all(&store, 2);
        let begin = Instant::now();
        store.retain(&[Height(2)]).expect("nothing fails");
        println!("{:<46}{:>9.2} s", "removing the first", begin.elapsed().as_secs_f64());
        self.replace_most(&store);
    }

    /// Two thirds change, so that the old packs are emptied.
    fn replace_most(&mut self, store: &Arc<SnapshotStore>) {
        self.write(store, 3, |number| if number % 3 == 0 { 0 } else { 3 });
        let before = store.usage();
        let begin = Instant::now();
        store.retain(&[Height(3)]).expect("nothing fails");
        let seconds = begin.elapsed().as_secs_f64();
        let after = store.usage();
        println!("{:<46}{seconds:>9.2} s", "moving a third out of old packs");
        println!("{:<46}{:>9.1} MiB, then {:.1} MiB", "disk", mib(before.bytes), mib(after.bytes));
    }

    fn write(&mut self, store: &Arc<SnapshotStore>, height: u64, generation: impl Fn(u64) -> u64) {
        let mut writer = store.begin().expect("writable");
        let mut builder = ContentBuilder::default();
        for number in 0..self.count {
            let id = self.chunk(number, generation(number));
            if !writer.has(&id.digest) {
                writer.put(&id, &self.buffer).expect("room");
            }
            put_page(&mut writer, builder.push(id).expect("few chunks"));
        }
        let (application, last) = builder.finish().expect("few chunks");
        put_page(&mut writer, last);
        writer.finish(head(height, application), header(height)).expect("complete");
    }

    /// Makes a chunk in the buffer.
    fn chunk(&mut self, number: u64, generation: u64) -> ChunkId {
        let mut x = (number << 20 | generation).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for word in self.buffer.chunks_exact_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            word.copy_from_slice(&x.to_le_bytes());
        }
        ChunkId::of(&self.buffer)
    }

    fn read_all(&self, store: &SnapshotStore, threads: usize) {
        let snapshot = store.latest().expect("two snapshots");
        let pages: Vec<_> = snapshot.head.pages().collect();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for pages in pages.chunks(pages.len().div_ceil(threads)) {
                let snapshot = &snapshot;
                scope.spawn(move || {
                    for page in pages {
                        let page = store.page(snapshot, page).expect("held");
                        page.0.iter().for_each(|id| drop(store.read(&id.digest).expect("held")));
                    }
                });
            }
        });
        let what = format!("reading it all with {threads} thread(s)");
        report(&what, begin, self.count * self.chunk_bytes as u64);
    }
}

fn put_page(writer: &mut SnapshotWriter, page: Option<(ChunkId, bytes::Bytes)>) {
    if let Some((id, bytes)) = page {
        writer.put(&id, &bytes).expect("room");
    }
}

fn head(height: u64, application: Content) -> StateHead {
    StateHead { configuration: CLUSTER, height: Height(height), application, ..StateHead::default() }
}

fn header(height: u64) -> SignedHeader {
    let header = Header {
        cluster: CLUSTER,
        epoch: Epoch(0),
        view: View(0),
        height: Height(height),
        parent: Digest::default(),
        batch: Digest::default(),
        time: Time(0),
    };
    SignedHeader::sign(header, &SecretKey::from_seed([1; 32]))
}

fn report(what: &str, begin: Instant, bytes: u64) {
    let seconds = begin.elapsed().as_secs_f64();
    println!("{what:<46}{seconds:>9.2} s{:>9.0} MiB/s", mib(bytes) / seconds);
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Memory of this process in bytes, where the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

const CLUSTER: ClusterId = Digest([7; 32]);
