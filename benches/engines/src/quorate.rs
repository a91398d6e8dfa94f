//! What does our own log make of it?

use crate::{Engine, Failure};
use bytes::Bytes;
use quorate_store::{DirectoryFiles, DiskLog, Log, LogIdentity, LogSettings, Owner, Position};
use quorate_types::{Digest, Frame, PublicKey};
use std::path::Path;

pub fn open(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    let owner = Owner { cluster: Digest([7; 32]), replica: PublicKey([9; 32]) };
    let identity = LogIdentity { owner, mark: 0x0123_4567_89ab_cdef };
    Ok(Box::new(DiskLog::open(Box::new(DirectoryFiles::new(dir)), identity, LogSettings::default())?))
}

impl Engine for DiskLog {
    fn commit(&mut self, _first: u64, records: &[&[u8]]) -> Result<(), Failure> {
        // A replica has its batches as shared bytes; here they become that, for one copy more than in
        // earnest.
        let frame = |record: &&[u8]| Frame { head: Bytes::new(), payload: Bytes::copy_from_slice(record) };
        self.append_all(&records.iter().map(frame).collect::<Vec<_>>())?;
        Ok(self.sync()?)
    }

    fn truncate_front(&mut self, first: u64) -> Result<(), Failure> {
        Ok(Log::truncate_front(self, Position(first))?)
    }

    fn read(&mut self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
        for entry in Log::read(self, Position(0))? {
            let (position, record) = entry?;
            visit(position.0, &record.payload);
        }
        Ok(())
    }
}
