//! How does a state that is larger than memory become a replicated one? By keeping it in an embedded store whose
//! read transactions are its frozen forms.
//!
//! Nothing here ever holds the state: the store caches a megabyte, a snapshot is read entry by entry into chunks, and
//! restoring writes a bounded number of entries per transaction.

use quorate::testkit::{check_determinism, root_of};
use quorate::types::Digest;
use quorate::{ChunkId, ChunkSink, Context, Frozen, RestoreError, Snapshot, StateMachine, chunk_stream};
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbered documents in a file. The file is of this process alone and goes with it: what lasts is the replica's
/// log and its snapshots, from which the state is made again.
#[derive(Debug)]
struct Documents {
    database: Database,
    file: File,
}

/// Replaces a document and gives the one before.
type Command = (u64, Vec<u8>);

impl StateMachine for Documents {
    type Command = Command;
    type Reply = Option<Vec<u8>>;
    type Query = u64;
    type Answer = Option<Vec<u8>>;

    /// A store that fails panics here. It fails at this replica alone, which then differs from the others and stops.
    fn apply(&mut self, (number, document): Command, _: &Context) -> Option<Vec<u8>> {
        self.set_all(Durability::None, [(number, document)]).expect("the store works")
    }

    fn query(&self, number: u64) -> Option<Vec<u8>> {
        let table = self.database.begin_read().expect("the store works").open_table(DOCUMENTS);
        let found = table.expect("the store works").get(number).expect("the store works");
        found.map(|document| document.value().to_vec())
    }
}

impl Documents {
    fn create() -> Result<Self, redb::Error> {
        let file = File::unused();
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&file.0)?;
        let mut documents = Self { database, file };
        documents.set_all(Durability::None, [])?;
        Ok(documents)
    }

    /// Sets documents in one transaction, and gives what the last one replaced.
    fn set_all(
        &mut self,
        durability: Durability,
        documents: impl IntoIterator<Item = (u64, Vec<u8>)>,
    ) -> Result<Option<Vec<u8>>, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        let mut before = None;
        {
            let mut table = transaction.open_table(DOCUMENTS)?;
            for (number, document) in documents {
                before = table.insert(number, &document[..])?.map(|document| document.value().to_vec());
            }
        }
        transaction.commit()?;
        Ok(before)
    }
}

impl Snapshot for Documents {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        // Only a durable transaction lets the store use again what earlier ones left.
        self.set_all(Durability::Immediate, []).expect("the store works");
        Box::new(AsOfThen(self.database.begin_read().expect("the store works")))
    }

    fn restore(source: &mut dyn Read) -> Result<Self, RestoreError> {
        let mut documents = Self::create().map_err(io::Error::other)?;
        let mut source = io::BufReader::new(source);
        let mut batch = Vec::new();
        while let Some(entry) = read_entry(&mut source)? {
            batch.push(entry);
            if batch.len() == RESTORE_BATCH {
                documents.set_all(Durability::Immediate, batch.drain(..)).map_err(io::Error::other)?;
            }
        }
        documents.set_all(Durability::Immediate, batch).map_err(io::Error::other)?;
        Ok(documents)
    }
}

/// What the store held when it was frozen; writers go on meanwhile.
struct AsOfThen(ReadTransaction);

impl Frozen for AsOfThen {
    fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
        let table = self.0.open_table(DOCUMENTS).map_err(io::Error::other)?;
        let entries = table.iter().map_err(io::Error::other)?;
        chunk_stream(out, |out| {
            for entry in entries {
                let (number, document) = entry.map_err(io::Error::other)?;
                out.write_all(&number.value().to_le_bytes())?;
                out.write_all(&(document.value().len() as u64).to_le_bytes())?;
                out.write_all(document.value())?;
            }
            Ok(())
        })
    }
}

fn read_entry(source: &mut impl Read) -> Result<Option<(u64, Vec<u8>)>, RestoreError> {
    let mut head = Vec::new();
    source.take(16).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(None);
    }
    let word = |bytes: Option<&[u8]>| Some(u64::from_le_bytes(bytes?.try_into().ok()?));
    let cut_off = || RestoreError::Invalid("the last document is cut off".to_owned());
    let (number, length) = word(head.get(..8)).zip(word(head.get(8..))).ok_or_else(cut_off)?;
    let mut document = Vec::new();
    source.take(length).read_to_end(&mut document)?;
    if document.len() as u64 == length { Ok(Some((number, document))) } else { Err(cut_off()) }
}

/// A file that is removed with its owner.
#[derive(Debug)]
struct File(PathBuf);

impl File {
    fn unused() -> Self {
        static FILES: AtomicU64 = AtomicU64::new(0);
        let name = format!("documents-{}-{}", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It is of no use to anybody, and nothing can be done about it here.
        let _ = std::fs::remove_file(&self.0);
    }
}

const DOCUMENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("documents");
const CACHE_BYTES: usize = 1 << 20;
const RESTORE_BATCH: usize = 64;

// --- Tests ----------------------------------------------------------------------------------------------------------

const DOCUMENT_BYTES: usize = 16 << 10;

fn document(number: u64) -> Vec<u8> {
    let seed = Digest::of_bytes(&number.to_le_bytes());
    (0..DOCUMENT_BYTES / 32).flat_map(|part| Digest::of_parts("part", &[&seed.0, &[part as u8]]).0).collect()
}

/// Passes a snapshot on as it comes: what a disk does, and the network.
struct Pipe(io::PipeWriter);

impl ChunkSink for Pipe {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        self.0.write_all(bytes)?;
        Ok(ChunkId::of(bytes))
    }
    fn reuse(&mut self, _: &ChunkId) -> io::Result<bool> {
        Ok(false)
    }
}

/// Restores a frozen state while it is read, with nothing but a pipe between.
fn handed_over(frozen: Box<dyn Frozen>) -> Documents {
    let (mut reader, writer) = io::pipe().expect("a pipe");
    let giving = std::thread::spawn(move || frozen.chunks(&mut Pipe(writer)));
    let restored = Documents::restore(&mut reader).expect("a whole state");
    giving.join().expect("no panic").expect("all was taken");
    restored
}

#[test]
fn a_state_of_many_times_the_cache_is_frozen_and_handed_over() {
    let count = 4096;
    let mut documents = Documents::create().expect("an empty store");
    for start in (0..count).step_by(RESTORE_BATCH) {
        let batch = (start..start + RESTORE_BATCH as u64).map(|number| (number, document(number)));
        documents.set_all(Durability::Immediate, batch).expect("the store works");
    }
    let before = root_of(documents.freeze()).expect("reads");
    let frozen = documents.freeze();
    documents.set_all(Durability::None, [(7, b"changed meanwhile".to_vec())]).expect("the store works");

    let mut restored = handed_over(frozen);
    assert_eq!(root_of(restored.freeze()).expect("reads"), before);
    assert_eq!(restored.query(7), Some(document(7)));
    assert_eq!(documents.query(7), Some(b"changed meanwhile".to_vec()));
    assert!(documents.file.0 != restored.file.0);
    // 14 MiB were measured, for this state of 64 MiB and for one of 256 MiB.
    if let Some(peak) = peak_memory_kib() {
        assert!(peak * 1024 < count * DOCUMENT_BYTES as u64 / 2, "{peak} KiB");
    }
}

/// The most memory that this process ever had; `None` where the system does not tell.
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn it_is_deterministic() {
    let make = || Documents::create().expect("an empty store");
    let commands = (0..40).map(|number| (number % 7, document(number)));
    check_determinism(make, commands).expect("deterministic");
}

#[test]
fn a_cut_snapshot_is_refused() {
    let whole = [&3_u64.to_le_bytes()[..], &2_u64.to_le_bytes(), b"ab"].concat();
    assert_eq!(Documents::restore(&mut &whole[..]).expect("one document").query(3), Some(b"ab".to_vec()));
    for length in 1..whole.len() {
        let error = Documents::restore(&mut &whole[..length]).expect_err("cut off");
        assert!(matches!(error, RestoreError::Invalid(_)), "{error}");
    }
}
