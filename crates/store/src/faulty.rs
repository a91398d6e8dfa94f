//! A disk in memory that fails as real ones do: what may be left of a log's files after a crash, a lie or a
//! flipped bit?
//!
//! It decides nothing by itself. Which operation fails is [planned](FaultyDisk::plan); what a loss of power
//! leaves of what was not synced is chosen by the caller's function, so that one seed gives one fate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Files;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// A disk with one directory. Clones are handles to the same disk.
///
/// Operations that change something are counted: each [`Files::create`], [`Files::write`],
/// [`Files::set_length`], [`Files::sync`], [`Files::remove`] and [`Files::sync_directory`]. A fault is
/// planned for one of them by its number.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    contents: Arc<Mutex<Contents>>,
}

/// The files on a [`FaultyDisk`], as one process sees them.
pub struct FaultyFiles {
    contents: Arc<Mutex<Contents>>,
    opening: u64,
}

/// What happens to one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power fails during it. It may have been carried out in part; nothing works before
    /// [`FaultyDisk::power_on`].
    PowerLoss,
    /// It fails and does nothing. After a failed sync, what was to be synced is never written, though it can
    /// be read until a loss of power: a later sync says that all is well.
    Failure,
    /// It claims to be done, and does nothing. A lost sync makes nothing durable.
    Lost,
    /// There is no room for it. A write is carried out in its first half.
    Full,
    /// A write goes to another place: to this file and offset. Other operations are not affected.
    Misdirected {
        /// The file; nothing happens if there is none of this name.
        file: String,
        /// Where in the file.
        offset: u64,
    },
}

/// All that is on a disk, durable or not, to go back to.
#[derive(Clone)]
pub struct Image(Directory);

#[derive(Default)]
struct Contents {
    directory: Directory,
    faults: BTreeMap<u64, Fault>,
    operations: u64,
    bytes_max: Option<u64>,
    is_off: bool,
    /// Only the files that were opened last may be used.
    opening: u64,
}

#[derive(Clone, Default)]
struct Directory {
    files: BTreeMap<u64, File>,
    next: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
}

#[derive(Clone, Default)]
struct File {
    /// As it is read.
    bytes: Vec<u8>,
    /// As it is on the disk.
    durable: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLength(u64),
}

impl FaultyDisk {
    /// An empty disk without faults or limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk's files. Those that were opened before can no longer be used: their process is gone. Nothing
    /// is lost by it.
    #[must_use]
    pub fn files(&self) -> FaultyFiles {
        let mut contents = self.lock();
        contents.opening += 1;
        FaultyFiles { contents: Arc::clone(&self.contents), opening: contents.opening }
    }

    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets a fault happen to the operation with this number, counted from 0 over the disk's life.
    pub fn plan(&self, operation: u64, fault: Fault) {
        self.lock().faults.insert(operation, fault);
    }

    /// Forgets the faults that were planned and did not happen.
    pub fn forget_faults(&self) {
        self.lock().faults.clear();
    }

    /// Whether the power failed and did not come back.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Limits the length of all files together, or lifts the limit.
    pub fn set_bytes_max(&self, bytes_max: Option<u64>) {
        self.lock().bytes_max = bytes_max;
    }

    /// The length of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// The power fails now, and nothing works before [`FaultyDisk::power_on`].
    pub fn power_off(&self) {
        self.lock().is_off = true;
    }

    /// The power fails, if it did not yet, and comes back. Of what was not durable, `choose` picks what
    /// survives: for each change in any order, for each sector, for each file that was created or removed. It
    /// is given a number of possibilities, and answers with one of them, counted from 0: always 0 loses
    /// everything, always the last possibility keeps it.
    pub fn power_on(&self, choose: &mut dyn FnMut(u64) -> u64) {
        let mut contents = self.lock();
        contents.is_off = false;
        contents.opening += 1;
        contents.directory.settle(choose);
    }

    /// The files' names and lengths, as a process would see them.
    #[must_use]
    pub fn list(&self) -> Vec<(String, u64)> {
        self.lock().directory.list()
    }

    /// Flips one bit of a file, on the disk and in every cache. Nothing happens if the file ends before.
    pub fn flip(&self, name: &str, bit: u64) {
        let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        self.change(name, |bytes| {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    /// Changes a file's bytes at will, durably. A file that does not exist is made.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut contents = self.lock();
        let directory = &mut contents.directory;
        let file = directory.file_or_new(name);
        change(&mut file.bytes);
        file.durable = file.bytes.clone();
        file.pending.clear();
    }

    /// Removes a file, durably.
    pub fn remove(&self, name: &str) {
        let mut contents = self.lock();
        contents.directory.names.remove(name);
        contents.directory.durable_names.remove(name);
    }

    /// All that is on the disk.
    #[must_use]
    pub fn image(&self) -> Image {
        Image(self.lock().directory.clone())
    }

    /// Goes back to an earlier image, and closes the open files.
    pub fn roll_back(&self, image: &Image) {
        let mut contents = self.lock();
        contents.opening += 1;
        contents.directory = image.0.clone();
    }

    /// Loses everything, as if the disk had been replaced, and closes the open files.
    pub fn wipe(&self) {
        self.roll_back(&Image(Directory::default()));
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        lock(&self.contents)
    }
}

// Whole disks are no reading matter: names and lengths are.
impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyDisk").field(&self.list()).finish()
    }
}

impl fmt::Debug for FaultyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyFiles").field(&lock(&self.contents).directory.list()).finish()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Image").field(&self.0.list()).finish()
    }
}

impl FaultyFiles {
    fn contents(&self) -> io::Result<MutexGuard<'_, Contents>> {
        let contents = lock(&self.contents);
        if contents.is_off || contents.opening != self.opening {
            return Err(io::Error::other("the power is off, or the process that opened these files is gone"));
        }
        Ok(contents)
    }

    /// Counts an operation and gives what is planned for it. `None` if it just happens.
    fn begin(&mut self) -> io::Result<(MutexGuard<'_, Contents>, Option<Fault>)> {
        let mut contents = self.contents()?;
        let operation = contents.operations;
        contents.operations += 1;
        let fault = contents.faults.remove(&operation);
        if fault == Some(Fault::PowerLoss) {
            contents.is_off = true;
        }
        Ok((contents, fault))
    }
}

impl Files for FaultyFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.contents()?.directory.names.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.contents()?.directory.file(name)?.bytes.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let contents = self.contents()?;
        let bytes = &contents.directory.file(name)?.bytes;
        let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)?.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let (mut contents, fault) = self.begin()?;
        if contents.directory.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !matches!(fault, Some(Fault::Failure | Fault::Lost | Fault::Full)) {
            contents.directory.create(name);
        }
        answer(fault)
    }

    fn write(&mut self, name: &str, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let (mut contents, fault) = self.begin()?;
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        let mut bytes = parts.concat();
        let length = contents.directory.file(name)?.bytes.len() as u64;
        let grown = (offset + bytes.len() as u64).saturating_sub(length);
        let room =
            contents.bytes_max.map_or(u64::MAX, |bytes_max| bytes_max.saturating_sub(contents.bytes()));
        let lacking =
            if fault == Some(Fault::Full) { bytes.len() as u64 / 2 } else { grown.saturating_sub(room) };
        let written = (bytes.len() as u64).saturating_sub(lacking);
        bytes.truncate(usize::try_from(written).unwrap_or(usize::MAX));
        match &fault {
            Some(Fault::Failure | Fault::Lost) => {}
            Some(Fault::Misdirected { file, offset }) => {
                if let Ok(file) = contents.directory.file_mut(file) {
                    file.apply(Change::Write(*offset, bytes));
                }
            }
            _ => contents.directory.file_mut(name)?.apply(Change::Write(offset, bytes)),
        }
        if lacking > 0 { Err(io::ErrorKind::StorageFull.into()) } else { answer(fault) }
    }

    fn set_length(&mut self, name: &str, length: u64) -> io::Result<()> {
        let (mut contents, fault) = self.begin()?;
        let grown = length.saturating_sub(contents.directory.file(name)?.bytes.len() as u64);
        if contents.bytes_max.is_some_and(|bytes_max| contents.bytes().saturating_add(grown) > bytes_max)
            && grown > 0
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if !matches!(fault, Some(Fault::Failure | Fault::Lost | Fault::Full)) {
            contents.directory.file_mut(name)?.apply(Change::SetLength(length));
        }
        answer(fault)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let (mut contents, fault) = self.begin()?;
        let file = contents.directory.file_mut(name)?;
        match fault {
            // What was tried is on the disk in part at most, and the cache holds it for written.
            Some(Fault::Failure | Fault::Full) => file.pending.clear(),
            Some(Fault::Lost | Fault::PowerLoss) => {}
            Some(Fault::Misdirected { .. }) | None => file.sync(),
        }
        answer(fault)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let (mut contents, fault) = self.begin()?;
        contents.directory.file(name)?;
        if !matches!(fault, Some(Fault::Failure | Fault::Lost | Fault::Full)) {
            contents.directory.names.remove(name);
        }
        answer(fault)
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let (mut contents, fault) = self.begin()?;
        if matches!(fault, None | Some(Fault::Misdirected { .. })) {
            let directory = &mut contents.directory;
            directory.durable_names = directory.names.clone();
            directory.forget_nameless();
        }
        answer(fault)
    }
}

impl Contents {
    fn bytes(&self) -> u64 {
        self.directory.list().iter().map(|(_, length)| length).sum()
    }
}

impl Directory {
    fn list(&self) -> Vec<(String, u64)> {
        let length = |file: &u64| self.files.get(file).map_or(0, |file| file.bytes.len() as u64);
        self.names.iter().map(|(name, file)| (name.clone(), length(file))).collect()
    }

    fn file(&self, name: &str) -> io::Result<&File> {
        self.names
            .get(name)
            .and_then(|file| self.files.get(file))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file_mut(&mut self, name: &str) -> io::Result<&mut File> {
        self.names
            .get(name)
            .and_then(|file| self.files.get_mut(file))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str) -> u64 {
        let file = self.next;
        self.next += 1;
        self.files.insert(file, File::default());
        self.names.insert(name.to_owned(), file);
        file
    }

    fn file_or_new(&mut self, name: &str) -> &mut File {
        let file = self.names.get(name).copied().unwrap_or_else(|| self.create(name));
        self.durable_names.insert(name.to_owned(), file);
        self.files.entry(file).or_default()
    }

    fn forget_nameless(&mut self) {
        let (names, durable_names) = (&self.names, &self.durable_names);
        self.files.retain(|file, _| names.values().chain(durable_names.values()).any(|named| named == file));
    }

    fn settle(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        for file in self.files.values_mut() {
            file.settle(choose);
        }
        for name in self.names.keys().chain(self.durable_names.keys()).cloned().collect::<BTreeSet<_>>() {
            let (new, old) = (self.names.get(&name).copied(), self.durable_names.get(&name).copied());
            let kept = if new == old || pick(choose, 2) == 1 { new } else { old };
            match kept {
                Some(file) => self.names.insert(name, file),
                None => self.names.remove(&name),
            };
        }
        self.durable_names = self.names.clone();
        self.forget_nameless();
    }
}

impl File {
    fn apply(&mut self, change: Change) {
        change.apply_to(&mut self.bytes);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply_to(&mut self.durable);
        }
    }

    /// Lets any part of the pending changes reach the disk, in any order.
    fn settle(&mut self, choose: &mut dyn FnMut(u64) -> u64) {
        while !self.pending.is_empty() {
            let next = pick(choose, self.pending.len() as u64);
            // Counted from the last change, so that 'always the last possibility' keeps the order.
            let at = self.pending.len() - 1 - usize::try_from(next).unwrap_or(0);
            self.pending.remove(at).settle(&mut self.durable, choose);
        }
        self.bytes.clone_from(&self.durable);
    }
}

impl Change {
    fn apply_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                let end = offset.saturating_add(written.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[offset..end].copy_from_slice(written);
            }
            Self::SetLength(length) => bytes.resize(usize::try_from(*length).unwrap_or(usize::MAX), 0),
        }
    }

    /// Carries out what `choose` keeps of it: sector by sector.
    fn settle(self, durable: &mut Vec<u8>, choose: &mut dyn FnMut(u64) -> u64) {
        let Self::Write(offset, written) = &self else {
            if pick(choose, 2) == 1 {
                self.apply_to(durable);
            }
            return;
        };
        // All, nothing or a part: whole survivals are as likely as tears.
        match pick(choose, 4) {
            0 => return,
            3 => return self.apply_to(durable),
            _ => {}
        }
        let mut start = 0;
        while start < written.len() {
            let at = offset + start as u64;
            let left = usize::try_from(SECTOR_BYTES - at % SECTOR_BYTES).unwrap_or(1);
            let end = (start + left).min(written.len());
            if pick(choose, 2) == 1 {
                Self::Write(at, written[start..end].to_vec()).apply_to(durable);
            }
            start = end;
        }
    }
}

/// A choice among so many possibilities, whatever the caller's function answers.
fn pick(choose: &mut dyn FnMut(u64) -> u64, possibilities: u64) -> u64 {
    choose(possibilities).min(possibilities - 1)
}

/// What the process hears of an operation.
fn answer(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None | Some(Fault::Lost | Fault::Misdirected { .. }) => Ok(()),
        Some(Fault::PowerLoss) => Err(io::Error::other("the power failed")),
        Some(Fault::Failure) => Err(io::Error::other("the disk reports an error")),
        Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
    }
}

fn lock(contents: &Mutex<Contents>) -> MutexGuard<'_, Contents> {
    contents.lock().unwrap_or_else(PoisonError::into_inner)
}
