//! A disk in memory that crashes at a chosen operation and then loses, tears and reorders what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::{File, Files};

/// What happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing happens from there on.
    Crash,
    /// A write, and every later one, finds no room.
    Full,
    /// A sync fails, once.
    Sync,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct CrashingDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    names_pending: Vec<(String, Option<usize>)>,
    operations: usize,
    fault: Option<(usize, Fault)>,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

struct Handle {
    disk: CrashingDisk,
    file: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Name,
    Write,
    Sync,
}

impl CrashingDisk {
    pub(super) fn boxed(&self) -> Box<dyn Files> {
        Box::new(self.clone())
    }

    pub(super) fn set_fault(&self, at: Option<(usize, Fault)>) {
        self.state().fault = at;
    }

    /// How many operations changed something so far.
    pub(super) fn operations(&self) -> usize {
        self.state().operations
    }

    /// Bytes of all files that have a name.
    pub(super) fn bytes(&self) -> u64 {
        let state = self.state();
        state.names.values().map(|file| state.files[*file].now.len() as u64).sum()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// The disk after a power cut. Each write that was not synced is there, or torn, or not; each name that was not
    /// synced is what it was at some time since the last sync.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let state = self.state();
        let mut after = State::default();
        for file in &state.files {
            let mut bytes = file.durable.clone();
            for (offset, written) in &file.pending {
                let kept = match random.below(3) {
                    0 => 0,
                    1 => random.below(written.len() as u64 + 1) as usize,
                    _ => written.len(),
                };
                overwrite(&mut bytes, *offset, &written[..kept]);
            }
            after.files.push(Content { now: bytes.clone(), durable: bytes, pending: Vec::new() });
        }
        let mut choices: BTreeMap<&String, Vec<Option<usize>>> = BTreeMap::new();
        state
            .names_durable
            .iter()
            .for_each(|(name, file)| choices.entry(name).or_default().push(Some(*file)));
        for (name, file) in &state.names_pending {
            choices.entry(name).or_insert_with(|| vec![None]).push(*file);
        }
        for (name, files) in choices {
            if let Some(file) = files[random.below(files.len() as u64) as usize] {
                after.names.insert(name.clone(), file);
            }
        }
        after.names_durable = after.names.clone();
        Self(Arc::new(Mutex::new(after)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    fn begin(&self, operation: Operation) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.operations += 1;
        let now = state.operations;
        match state.fault {
            Some((at, Fault::Crash)) if now >= at => Err(io::Error::other("the power is cut")),
            Some((at, Fault::Full)) if now >= at && operation == Operation::Write => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Some((at, Fault::Sync)) if now >= at && operation == Operation::Sync => {
                state.fault = None;
                Err(io::Error::other("a bad sector"))
            }
            _ => Ok(state),
        }
    }

    fn handle(&self, file: usize) -> Box<dyn File> {
        Box::new(Handle { disk: self.clone(), file })
    }
}

impl State {
    fn bind(&mut self, name: &str, file: Option<usize>) {
        match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        self.names_pending.push((name.to_owned(), file));
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for CrashingDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.begin(Operation::Name)?;
        // Emptying a file that is there is like removing it.
        state.files.push(Content::default());
        let file = state.files.len() - 1;
        state.bind(name, Some(file));
        drop(state);
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = self.state().find(name)?;
        Ok(self.handle(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.begin(Operation::Name)?;
        let file = state.find(from)?;
        state.bind(to, Some(file));
        state.bind(from, None);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.begin(Operation::Name)?;
        state.find(name)?;
        state.bind(name, None);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.begin(Operation::Sync)?;
        state.names_durable = state.names.clone();
        state.names_pending.clear();
        Ok(())
    }
}

impl File for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        let from = offset as usize;
        let bytes = state.files[self.file].now.get(from..from + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.begin(Operation::Write)?;
        let file = &mut state.files[self.file];
        overwrite(&mut file.now, offset as usize, bytes);
        file.pending.push((offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.begin(Operation::Sync)?;
        let file = &mut state.files[self.file];
        file.durable = file.now.clone();
        file.pending.clear();
        Ok(())
    }
}

fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        file.resize(file.len().max(offset + bytes.len()), 0);
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// Numbers that are the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}
