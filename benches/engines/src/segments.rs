//! What does the disk itself allow? Bare files of 64 MiB, written in order, synced, and removed or reused
//! whole.

use crate::{Engine, Failure};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

const SEGMENT_BYTES: u64 = 64 << 20;
const RESERVED_BYTES: u64 = 4 << 20;
const PREFIX_BYTES: usize = 16;

struct Segments {
    dir: PathBuf,
    /// Each with the position of its first record; the last is written.
    segments: VecDeque<(u64, PathBuf)>,
    spare: Vec<PathBuf>,
    active: Option<(File, u64)>,
    reserved: u64,
    space: Space,
}

/// How a segment gets its space on the disk.
#[derive(Clone, Copy, PartialEq)]
enum Space {
    /// As it is written.
    Growing,
    /// In steps ahead of what is written, so that few syncs change the file's length.
    Reserved,
    /// The same without blocks: only the length runs ahead.
    Sparse,
    /// Once and for all, written with zeros; the segment is used again when it is dropped.
    Reused,
}

pub fn growing(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    open(dir, Space::Growing)
}

pub fn reserved(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    open(dir, Space::Reserved)
}

pub fn sparse(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    open(dir, Space::Sparse)
}

pub fn reused(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    open(dir, Space::Reused)
}

fn open(dir: &Path, space: Space) -> Result<Box<dyn Engine>, Failure> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let first = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(0);
    let segments = paths.into_iter().map(|path| (first(&path), path)).collect();
    Ok(Box::new(Segments {
        dir: dir.to_owned(),
        segments,
        spare: Vec::new(),
        active: None,
        reserved: 0,
        space,
    }))
}

impl Segments {
    fn roll(&mut self, first: u64) -> Result<(), Failure> {
        let path = self.dir.join(format!("{first:020}.log"));
        let file = if let Some(spare) = self.spare.pop() {
            fs::rename(spare, &path)?;
            let mut file = File::options().write(true).open(&path)?;
            file.rewind()?;
            file
        } else {
            let file = File::create(&path)?;
            if self.space == Space::Reused {
                // Written once with zeros, so that later syncs change no metadata.
                (&file).write_all(&vec![0; SEGMENT_BYTES as usize])?;
                file.sync_all()?;
                (&file).rewind()?;
            }
            file
        };
        File::open(&self.dir)?.sync_all()?;
        self.segments.push_back((first, path));
        self.active = Some((file, 0));
        self.reserved = 0;
        Ok(())
    }
}

impl Engine for Segments {
    fn commit(&mut self, first: u64, records: &[&[u8]]) -> Result<(), Failure> {
        if self.active.as_ref().is_none_or(|(_, used)| *used + (2 << 20) > SEGMENT_BYTES) {
            self.roll(first)?;
        }
        let (file, used) = self.active.as_mut().ok_or("no segment")?;
        let needed = *used + records.iter().map(|record| (PREFIX_BYTES + record.len()) as u64).sum::<u64>();
        let step = needed.saturating_sub(self.reserved) + RESERVED_BYTES;
        if needed > self.reserved && matches!(self.space, Space::Reserved | Space::Sparse) {
            if self.space == Space::Reserved {
                rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), self.reserved, step)?;
            } else {
                file.set_len(self.reserved + step)?;
            }
            self.reserved += step;
        }
        for (position, record) in (first..).zip(records) {
            let mut prefix = [0; PREFIX_BYTES];
            prefix[..8].copy_from_slice(&position.to_le_bytes());
            prefix[8..12].copy_from_slice(&(record.len() as u32).to_le_bytes());
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&prefix[..12]);
            checksum.update(record);
            prefix[12..].copy_from_slice(&checksum.finalize().to_le_bytes());
            let written = file.write_vectored(&[prefix[..].as_ref(), record].map(std::io::IoSlice::new))?;
            if written < PREFIX_BYTES + record.len() {
                return Err("a short write".into());
            }
            *used += written as u64;
        }
        Ok(file.sync_data()?)
    }

    fn truncate_front(&mut self, first: u64) -> Result<(), Failure> {
        while self.segments.get(1).is_some_and(|(next, _)| *next <= first) {
            let Some((_, path)) = self.segments.pop_front() else { break };
            if self.space == Space::Reused && self.spare.len() < 2 {
                self.spare.push(path);
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    fn read(&mut self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
        for (_, path) in &self.segments {
            let bytes = fs::read(path)?;
            let mut rest = &bytes[..];
            while let Some((prefix, after)) = rest.split_first_chunk::<PREFIX_BYTES>() {
                let position = u64::from_le_bytes(prefix[..8].try_into()?);
                let len = u32::from_le_bytes(prefix[8..12].try_into()?) as usize;
                if len == 0 {
                    break;
                }
                let record = after.get(..len).ok_or("torn")?;
                let mut checksum = crc32fast::Hasher::new();
                checksum.update(&prefix[..12]);
                checksum.update(record);
                if checksum.finalize().to_le_bytes() != prefix[12..] {
                    return Err(format!("record {position} is damaged").into());
                }
                visit(position, record);
                rest = &after[len..];
            }
        }
        Ok(())
    }
}
