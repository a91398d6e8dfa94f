//! What does an operator find after a replica's state turned out to differ (rule K2)? A directory with that
//! state, to be compared with the others' before the replica fetches theirs.
//!
//! `dumps/height-H` holds `divergence.json` (what differs and how it was found), `state.bin` (the application's
//! state as [`Frozen::write`] gives it) and `chunks.txt` (a line for each chunk: whose, its number, digest,
//! bytes). After the restart that repairs the replica, `differs.txt` lists the chunks of the certified state
//! that the own snapshots do not hold. Nothing of it is a key or a vote, and nothing of it is needed to go on.

use quorate_consensus::Halt;
use quorate_machine::{ChunkId, ChunkSink, Frozen};
use quorate_types::state::{Content, Page};
use quorate_types::{Digest, Height, ReplicaId, StateHead};
use serde::Serialize;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::states::{Snapshot, States};

/// What was found to differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) height: Height,
    pub(crate) own: Digest,
    /// `None` if the others do not agree either.
    pub(crate) others: Option<Digest>,
}

impl Difference {
    /// What a halt says about it; `None` if it is for another reason.
    pub(crate) const fn of(halt: &Halt) -> Option<Self> {
        match *halt {
            Halt::Diverged { height, own, others } => Some(Self { height, own, others: Some(others) }),
            Halt::NotDeterministic { height, own } => Some(Self { height, own, others: None }),
            _ => None,
        }
    }
}

/// `divergence.json`.
#[derive(Serialize)]
struct Description {
    version: &'static str,
    replica: ReplicaId,
    height: Height,
    /// The block at that height, if it is still known.
    block: Option<Digest>,
    /// What the roots are about.
    compared: Compared,
    own_root: Digest,
    others_root: Option<Digest>,
    /// The block after which `state.bin` is; above `height` if execution had gone on.
    state_height: Height,
    state_bytes: u64,
}

/// At which of two moments the difference showed.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Compared {
    /// Beside votes, right after the block: the replies of all blocks up to it.
    Results,
    /// At a checkpoint: the whole state.
    State,
}

/// The state to write down.
pub(crate) enum Source<'a> {
    /// The own snapshot, whose root is the one that differs.
    Snapshot(&'a dyn States, Snapshot),
    /// The state as it is now, after the block at this height.
    Present(Height, Box<dyn Frozen>),
}

/// The directory in which dumps lie.
#[derive(Clone, Debug)]
pub(crate) struct Dumps(PathBuf);

impl Dumps {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where the next dump of this height goes: no earlier one is overwritten.
    ///
    /// # Errors
    /// There are [`DUMPS_MAX`] already.
    pub(crate) fn next(&self, height: Height) -> Result<PathBuf, String> {
        if self.present().len() >= DUMPS_MAX {
            let path = self.0.display();
            return Err(format!("{path} holds {DUMPS_MAX} dumps already; move them away"));
        }
        let names = (1..).map(|number| match number {
            1 => format!("height-{height}"),
            number => format!("height-{height}-{number}"),
        });
        let mut paths = names.map(|name| self.0.join(name));
        // There are fewer than the limit, so one of the first is free.
        Ok(paths.find(|path| !path.exists()).unwrap_or_else(|| self.0.clone()))
    }

    /// The list of what differs, beside the dump that led to the repair of the state at `height`.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn repair(&self, height: Height) -> io::Result<Repair> {
        let dumped = self.present().into_iter().filter(|(of, _)| *of <= height).max();
        let path = dumped.map_or_else(|| self.0.join(format!("height-{height}")), |(_, path)| path);
        make_directory(&path)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path.join(DIFFERS))?;
        Ok(Repair { out: BufWriter::new(file) })
    }

    /// Writes a dump into `path`, all of it or nothing, until `is_stopped`.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn write(
        &self,
        path: &Path,
        found: &Found,
        source: Source<'_>,
        is_stopped: &AtomicBool,
    ) -> io::Result<()> {
        let unfinished = self.0.join(UNFINISHED);
        remove(&unfinished)?;
        let written = write_files(&unfinished, found, source, is_stopped).and_then(|()| {
            fs::rename(&unfinished, path)?;
            File::open(&self.0)?.sync_all()
        });
        if written.is_err() {
            // Its room may be needed; where it stays, the next one takes its place.
            let _ = remove(&unfinished);
        }
        written
    }

    /// The dumps that are there, by height.
    fn present(&self) -> Vec<(Height, PathBuf)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let height = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.strip_prefix("height-")?.to_owned();
            let height = name.split('-').next()?.parse().ok()?;
            Some((Height(height), path))
        };
        entries.filter_map(|entry| height(entry.path())).collect()
    }
}

/// What is known besides the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) replica: ReplicaId,
    pub(crate) difference: Difference,
    pub(crate) block: Option<Digest>,
}

fn write_files(path: &Path, found: &Found, source: Source<'_>, is_stopped: &AtomicBool) -> io::Result<()> {
    make_directory(path)?;
    let mut files = Writing {
        state: create(&path.join("state.bin"))?,
        chunks: create(&path.join("chunks.txt"))?,
        is_stopped,
        of: "application",
        next: 0,
        bytes: 0,
    };
    let (compared, state_height, block) = match source {
        Source::Snapshot(states, Snapshot { header, head }) => {
            files.write_snapshot(states, &head)?;
            (Compared::State, head.height, Some(header.header.digest()))
        }
        Source::Present(height, frozen) => {
            frozen.chunks(&mut files)?;
            (Compared::Results, height, found.block)
        }
    };
    let Difference { height, own, others } = found.difference;
    let description = Description {
        version: env!("CARGO_PKG_VERSION"),
        replica: found.replica,
        height,
        block,
        compared,
        own_root: own,
        others_root: others,
        state_height,
        state_bytes: files.bytes,
    };
    let mut json = create(&path.join("divergence.json"))?;
    serde_json::to_writer_pretty(&mut json, &description)?;
    json.write_all(b"\n")?;
    [files.state, files.chunks, json].into_iter().try_for_each(finish)?;
    File::open(path)?.sync_all()
}

/// A dump that is being written, with a buffer of memory for each file.
struct Writing<'a> {
    state: BufWriter<File>,
    chunks: BufWriter<File>,
    is_stopped: &'a AtomicBool,
    /// Whose chunks come now.
    of: &'static str,
    next: u64,
    bytes: u64,
}

impl Writing<'_> {
    fn write_snapshot(&mut self, states: &dyn States, head: &StateHead) -> io::Result<()> {
        self.each_chunk(states, &head.application, |files, id| {
            let bytes = read(states, &id)?;
            files.chunk(&bytes).map(drop)
        })?;
        (self.of, self.next) = ("sessions", 0);
        self.each_chunk(states, &head.sessions, |files, id| files.list(&id))
    }

    fn each_chunk(
        &mut self,
        states: &dyn States,
        content: &Content,
        mut give: impl FnMut(&mut Self, ChunkId) -> io::Result<()>,
    ) -> io::Result<()> {
        for page in content.pages.iter() {
            let page = Page::decode(&read(states, page)?).map_err(io::Error::other)?;
            page.0.iter().try_for_each(|chunk| give(self, *chunk))?;
        }
        Ok(())
    }

    fn list(&mut self, id: &ChunkId) -> io::Result<()> {
        writeln!(self.chunks, "{} {} {} {}", self.of, self.next, id.digest, id.bytes)?;
        self.next += 1;
        Ok(())
    }
}

impl ChunkSink for Writing<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the replica was stopped meanwhile"));
        }
        let id = ChunkId::of(bytes);
        self.state.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        self.list(&id)?;
        Ok(id)
    }

    fn reuse(&mut self, _: &ChunkId) -> io::Result<bool> {
        // All bytes are wanted.
        Ok(false)
    }
}

/// The list of what differs, while the replica fetches the state of the others.
#[derive(Debug)]
pub(crate) struct Repair {
    out: BufWriter<File>,
}

impl Repair {
    /// A state is being gathered, or gathered on.
    pub(crate) fn begin(&mut self, head: &StateHead) -> io::Result<()> {
        let (height, root) = (head.height, head.root());
        writeln!(self.out, "# not held here of the certified state after height {height} with root {root}")
    }

    /// What a page of it needs, as the disk says.
    pub(crate) fn on_looked(&mut self, page: &ChunkId, missing: Option<&[ChunkId]>) -> io::Result<()> {
        match missing {
            None => writeln!(self.out, "page {} {}", page.digest, page.bytes),
            Some(missing) => missing
                .iter()
                .try_for_each(|chunk| writeln!(self.out, "chunk {} {}", chunk.digest, chunk.bytes)),
        }
    }

    /// The state is complete.
    pub(crate) fn finish(self) -> io::Result<()> {
        finish(self.out)
    }
}

fn read(states: &dyn States, id: &ChunkId) -> io::Result<bytes::Bytes> {
    let chunk = states.chunk(&id.digest).map_err(io::Error::other)?;
    chunk.ok_or_else(|| io::Error::other(format!("the chunk {} is missing", id.digest)))
}

/// Only the owner may look into it: the state may be confidential.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}

fn finish(out: BufWriter<File>) -> io::Result<()> {
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Most dumps that are kept: each may be as large as the state.
const DUMPS_MAX: usize = 4;
/// A dump's name until it is complete.
const UNFINISHED: &str = "unfinished";
const DIFFERS: &str = "differs.txt";
const BUFFER_BYTES: usize = 1 << 20;
