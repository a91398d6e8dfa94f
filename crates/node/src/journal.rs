//! How does what the core must not forget reach the log? One sync for all records of a batch.

use quorate_consensus::{Record, Recovered};
use quorate_store::{Log, StoreError};

/// A replica's log with the numbers that the core gives its records.
pub(crate) struct Journal {
    log: Box<dyn Log>,
    /// The core's number of the last record that is appended and not synced.
    unsynced: Option<u64>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal(positions {} to {})", self.log.first(), self.log.end())
    }
}

impl Journal {
    /// Reads the log. An empty one gets the mark of a fresh start if `is_fresh`; else its replica
    /// has lost its disk and follows rule D3.
    pub(crate) fn open(log: Box<dyn Log>, is_fresh: bool) -> Result<(Self, Recovered), String> {
        let mut journal = Self { log, unsynced: None };
        let recovered = journal.read()?;
        if recovered.records.is_empty() && is_fresh {
            journal
                .append(0, &Record::Init)
                .and_then(|()| journal.sync())
                .map_err(|error| error.to_string())?;
            return Ok((journal, Recovered::fresh()));
        }
        Ok((journal, recovered))
    }

    /// Appends a record under the core's number.
    pub(crate) fn append(&mut self, number: u64, record: &Record) -> Result<(), StoreError> {
        self.log.append(record.encode())?;
        self.unsynced = Some(number);
        Ok(())
    }

    /// Makes everything durable; the core's number of the last record, if there was any.
    pub(crate) fn sync(&mut self) -> Result<Option<u64>, StoreError> {
        if self.unsynced.is_some() {
            self.log.sync()?;
        }
        Ok(self.unsynced.take())
    }

    fn read(&self) -> Result<Recovered, String> {
        let mut records = Vec::new();
        for entry in self.log.read(self.log.first()).map_err(|error| error.to_string())? {
            let (position, frame) = entry.map_err(|error| error.to_string())?;
            let record =
                Record::decode(&frame).map_err(|why| format!("record {position} is damaged: {why}"))?;
            records.push(record);
        }
        Ok(Recovered { records })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_store::MemoryDisk;
    use quorate_types::View;

    #[test]
    fn a_fresh_log_is_marked_and_a_lost_one_stays_empty() {
        let disk = MemoryDisk::new();
        let (_, recovered) = Journal::open(Box::new(disk.open()), false).expect("opens");
        assert!(recovered.records.is_empty());
        let (mut journal, recovered) = Journal::open(Box::new(disk.open()), true).expect("opens");
        assert_eq!(recovered.records, [Record::Init]);
        assert_eq!(journal.sync(), Ok(None), "the mark is durable");
    }

    #[test]
    fn one_sync_covers_all_records_before_it() {
        let disk = MemoryDisk::new();
        let (mut journal, _) = Journal::open(Box::new(disk.open()), true).expect("opens");
        for number in 1..=3 {
            journal.append(number, &Record::Entered(View(number))).expect("room");
        }
        assert_eq!(journal.sync(), Ok(Some(3)));
        assert_eq!(journal.sync(), Ok(None));
        disk.crash();
        let (_, recovered) = Journal::open(Box::new(disk.open()), true).expect("opens");
        assert_eq!(recovered.records.len(), 4);
    }

    #[test]
    fn a_damaged_record_is_named() {
        let disk = MemoryDisk::new();
        let mut log = disk.open();
        log.append(quorate_types::Frame { head: vec![0xff].into(), payload: bytes::Bytes::new() })
            .expect("room");
        let why = Journal::open(Box::new(disk.open()), true).expect_err("damaged");
        assert!(why.starts_with("record 0 is damaged"), "{why}");
    }
}
