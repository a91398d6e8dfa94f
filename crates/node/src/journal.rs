//! How does what the core must not forget reach the log? On a thread of its own, which syncs once for all
//! that is queued. Rule D1: what is promised leaves only after its `Persisted`.
//!
//! The core goes on while a sync runs; what it appends meanwhile waits for that sync and is covered by the
//! next one. A log in memory is written at once instead: waking a thread would take longer.

mod writer;

use quorate_consensus::{Input, Record, Recovered};
use quorate_store::{Log, StoreError};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Durability;
use crate::handover::Handover;
use crate::status::LogStatus;
use crate::threads::Threads;
use writer::{Figures, Writer};

/// The core's end of the log.
#[derive(Debug)]
pub(crate) struct Journal {
    /// What this batch of inputs brought about so far.
    gathered: Vec<Entry>,
    pen: Pen,
    figures: Arc<Figures>,
}

/// What is to be done with the log, in order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are records")]
enum Entry {
    /// Append the record, which has this number.
    Record(u64, Record),
    /// Drop every record before the one with this number.
    Truncate(u64),
    /// Say when everything before it is durable.
    Flush(mpsc::Sender<()>),
}

#[derive(Debug)]
enum Pen {
    /// On the caller's thread.
    Here(Writer),
    /// On a thread of its own.
    There(Arc<Handover<Entry>>, JoinHandle<()>),
}

/// A log that was read and is not yet written to.
pub(crate) struct Opened {
    writer: Writer,
    /// Everything that it held.
    pub(crate) recovered: Recovered,
}

impl Journal {
    /// Reads a log. An empty one gets the mark of a fresh start if `is_fresh`; else its replica has
    /// lost its disk and follows rule D3.
    pub(crate) fn open(mut log: Box<dyn Log>, is_fresh: bool) -> Result<Opened, String> {
        let mut recovered = read(&*log)?;
        if recovered.records.is_empty() && is_fresh {
            let marked = log.append(Record::Init.encode()).and_then(|_| log.sync());
            marked.map_err(|error| error.to_string())?;
            recovered = Recovered::fresh();
        }
        Ok(Opened { writer: Writer::new(log), recovered })
    }

    /// Gets ready to write, on a thread of its own where a sync takes time.
    pub(crate) fn start(threads: &Threads, writer: Writer, durability: Durability) -> io::Result<Self> {
        let figures = writer.figures();
        let pen = match durability {
            Durability::Memory => Pen::Here(writer),
            Durability::Sync => {
                let queue = Arc::new(Handover::new());
                let thread = threads.start("log", {
                    let queue = Arc::clone(&queue);
                    move |threads| write_all(&queue, writer, threads)
                })?;
                Pen::There(queue, thread)
            }
        };
        Ok(Self { gathered: Vec::new(), pen, figures })
    }

    /// Appends a record under the core's number; the next [`Journal::hand_over`] takes it along. Numbers go on
    /// behind those of the records that were read, without gaps.
    pub(crate) fn append(&mut self, number: u64, record: Record) {
        self.gathered.push(Entry::Record(number, record));
    }

    /// Drops every record before the one with the core's number `first`, once all that was appended
    /// before this call is durable.
    pub(crate) fn truncate(&mut self, first: u64) {
        self.gathered.push(Entry::Truncate(first));
    }

    /// Hands over everything that was appended. Gives [`Input::Persisted`] if it is durable already;
    /// else that comes through [`Threads::finish`], as a failure does through [`Threads::fail`].
    ///
    /// # Errors
    /// Why the replica cannot go on, in one sentence.
    pub(crate) fn hand_over(&mut self) -> Result<Option<Input>, String> {
        if self.gathered.is_empty() {
            return Ok(None);
        }
        match &mut self.pen {
            Pen::Here(writer) => {
                let written = writer.write(&mut self.gathered).map_err(|error| sentence(&error))?;
                writer.truncate().map_err(|error| sentence(&error))?;
                Ok(written.map(Input::Persisted))
            }
            Pen::There(queue, _) => {
                queue.put(&mut self.gathered);
                Ok(None)
            }
        }
    }

    /// Makes everything durable that was appended, also for a replica that halts: why it did is part of it.
    pub(crate) fn flush(&mut self) {
        let (sender, flushed) = mpsc::channel();
        self.gathered.push(Entry::Flush(sender));
        // Failures are told by the thread; a disk that does not answer holds nobody up for ever.
        if self.hand_over().is_ok() {
            let _ = flushed.recv_timeout(FLUSH_MAX);
        }
    }

    /// What was written so far and how long the syncs took.
    pub(crate) fn status(&self) -> LogStatus {
        self.figures.read()
    }

    /// Writes what waits: that a replica's state differs must be known when it starts again (rule K2).
    pub(crate) fn stop(self) {
        if let Pen::There(queue, thread) = self.pen {
            queue.finish();
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Opened {
    /// The two halves: one for the core, one for [`Journal::start`].
    pub(crate) fn split(self) -> (Recovered, Writer) {
        (self.recovered, self.writer)
    }
}

fn read(log: &dyn Log) -> Result<Recovered, String> {
    let mut records = Vec::new();
    for entry in log.read(log.first()).map_err(|error| error.to_string())? {
        let (position, frame) = entry.map_err(|error| error.to_string())?;
        let record = Record::decode(&frame).map_err(|why| format!("record {position} is damaged: {why}"))?;
        records.push(record);
    }
    Ok(Recovered { first: log.first().0, records, snapshot: None })
}

fn write_all(queue: &Handover<Entry>, mut writer: Writer, threads: &Threads) {
    let mut entries = Vec::new();
    while queue.take(usize::MAX, &mut entries) {
        let written = writer.write(&mut entries).and_then(|written| {
            // At once: whatever waits for it need not wait for a truncation.
            threads.finish(&mut written.map(Input::Persisted).into_iter().collect());
            writer.truncate()
        });
        if let Err(error) = written {
            return threads.fail(sentence(&error));
        }
    }
    writer.seal();
}

/// What the log's error means to the operator (rule D4).
fn sentence(error: &StoreError) -> String {
    match error {
        StoreError::Full { .. } => format!(
            "the disk of its log is full ({error}); nothing is lost: free space, then start this replica again"
        ),
        _ => format!("the log cannot be written: {error}; check the disk, then start this replica again"),
    }
}

/// How long a halting replica waits for its last sync.
const FLUSH_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
