//! How does each library keep a log? With the settings its documentation recommends for this load.

use crate::{Engine, Failure};
use fjall::KeyspaceCreateOptions;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine as Raft, LogBatch, MessageExt, ReadableSize};
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;

const REGION: u64 = 1;

/// An entry's value: its position in front of its bytes, since the engine asks the message for its index.
struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

pub fn raft(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    let config = Config {
        dir: dir.to_str().ok_or("not UTF-8")?.to_owned(),
        // A log that is cut at every checkpoint needs no more; the default keeps 10 GB.
        target_file_size: ReadableSize::mb(64),
        purge_threshold: ReadableSize::mb(192),
        batch_compression_threshold: ReadableSize(0),
        ..Config::default()
    };
    Ok(Box::new(Raft::open(config)?))
}

impl Engine for Raft {
    fn commit(&mut self, first: u64, records: &[&[u8]]) -> Result<(), Failure> {
        let entry = |(position, record): (u64, &&[u8])| {
            let mut entry = BytesValue::new();
            entry.set_value([&position.to_le_bytes(), *record].concat());
            entry
        };
        let entries: Vec<BytesValue> = (first..).zip(records).map(entry).collect();
        let mut batch = LogBatch::default();
        batch.add_entries::<Indexed>(REGION, &entries)?;
        self.write(&mut batch, true)?;
        Ok(())
    }

    fn truncate_front(&mut self, first: u64) -> Result<(), Failure> {
        self.compact_to(REGION, first);
        self.purge_expired_files()?;
        Ok(())
    }

    fn read(&mut self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (self.first_index(REGION), self.last_index(REGION)) else {
            return Ok(());
        };
        for position in first..=last {
            let entry = self.get_entry::<Indexed>(REGION, position)?.ok_or("an entry is missing")?;
            visit(position, entry.value.get(8..).unwrap_or_default());
        }
        Ok(())
    }
}

struct Fjall {
    database: fjall::Database,
    log: fjall::Keyspace,
    first: u64,
}

pub fn fjall(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    let database = fjall::Database::builder(dir)
        .journal_compression(fjall::CompressionType::None)
        .max_journaling_size(256 << 20)
        .open()?;
    let options = || {
        KeyspaceCreateOptions::default()
            .data_block_compression_policy(fjall::config::CompressionPolicy::disabled())
            .with_kv_separation(Some(
                fjall::KvSeparationOptions::default().compression(fjall::CompressionType::None),
            ))
    };
    let log = database.keyspace("log", options)?;
    Ok(Box::new(Fjall { database, log, first: 0 }))
}

impl Engine for Fjall {
    fn commit(&mut self, first: u64, records: &[&[u8]]) -> Result<(), Failure> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for (position, record) in (first..).zip(records) {
            batch.insert(&self.log, position.to_be_bytes(), *record);
        }
        Ok(batch.commit()?)
    }

    fn truncate_front(&mut self, first: u64) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for position in self.first..first {
            batch.remove_weak(&self.log, position.to_be_bytes());
        }
        self.first = first;
        Ok(batch.commit()?)
    }

    fn read(&mut self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
        for guard in self.log.iter() {
            let (key, value) = guard.into_inner()?;
            visit(u64::from_be_bytes((*key).try_into()?), &value);
        }
        Ok(())
    }
}

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

struct Redb(Database);

pub fn redb(dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    let database = Database::create(dir.join("log.redb"))?;
    let transaction = database.begin_write()?;
    transaction.open_table(LOG)?;
    transaction.commit()?;
    Ok(Box::new(Redb(database)))
}

impl Engine for Redb {
    fn commit(&mut self, first: u64, records: &[&[u8]]) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(LOG)?;
        for (position, record) in (first..).zip(records) {
            table.insert(position, *record)?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn truncate_front(&mut self, first: u64) -> Result<(), Failure> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(LOG)?;
        table.retain_in(..first, |_, _| false)?;
        drop(table);
        Ok(transaction.commit()?)
    }

    fn read(&mut self, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
        let transaction = self.0.begin_read()?;
        for entry in transaction.open_table(LOG)?.range::<u64>(..)? {
            let (position, record) = entry?;
            visit(position.value(), record.value());
        }
        Ok(())
    }
}
