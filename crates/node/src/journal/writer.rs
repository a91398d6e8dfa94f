//! Who writes the log? One writer, which appends all it is given, syncs once, and knows where each of the
//! core's records stands.

use quorate_store::{Log, Position, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Entry;
use crate::status::LogStatus;

/// A log with the numbers that the core gives its records.
pub(crate) struct Writer {
    log: Box<dyn Log>,
    /// Every record before the one with this number is to be dropped.
    truncate_at: Option<u64>,
    figures: Arc<Figures>,
}

/// What a writer tells of itself, from whatever thread it runs on.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<LogStatus>);

impl Writer {
    pub(super) fn new(log: Box<dyn Log>) -> Self {
        let figures = Figures::default();
        figures.update(|status| status.bytes_held = log.bytes());
        Self { log, truncate_at: None, figures: Arc::new(figures) }
    }

    pub(super) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }

    /// Appends everything and syncs once if there was a record; gives the core's number of the last
    /// one. What is to be truncated waits for [`Writer::truncate`].
    pub(super) fn write(&mut self, entries: &mut Vec<Entry>) -> Result<Option<u64>, StoreError> {
        let mut last = None;
        let mut flushed = Vec::new();
        let mut frames = Vec::with_capacity(entries.len());
        for entry in entries.drain(..) {
            match entry {
                Entry::Record(number, record) => {
                    let place = self.log.end().0 + frames.len() as u64;
                    assert_eq!(Position(place), position_of(number), "the core's records have no gaps");
                    frames.push(record.encode());
                    last = Some(number);
                }
                Entry::Truncate(first) => self.truncate_at = self.truncate_at.max(Some(first)),
                Entry::Flush(sender) => flushed.push(sender),
            }
        }
        if last.is_some() {
            let records = frames.len() as u64;
            let bytes = frames.iter().map(|frame| (frame.head.len() + frame.payload.len()) as u64).sum();
            self.log.append_all(&frames)?;
            let began = Instant::now();
            self.log.sync()?;
            let took = began.elapsed();
            let bytes_held = self.log.bytes();
            self.figures.update(|status| status.on_sync(records, bytes, took, bytes_held));
        }
        for sender in flushed {
            // Whoever waited may have lost patience.
            let _ = sender.send(());
        }
        Ok(last)
    }

    /// Notes that everything is durable, at an orderly end. Nothing depends on it but how damage is told.
    pub(super) fn seal(&mut self) {
        if let Err(error) = self.log.seal() {
            tracing::warn!("the log cannot be sealed: {error}");
        }
    }

    /// Truncates as far as it was asked to. Follows a [`Writer::write`], because what replaces the
    /// truncated records must be durable first.
    pub(super) fn truncate(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.truncate_at.take() else { return Ok(()) };
        self.log.truncate_front(position_of(first))?;
        let bytes_held = self.log.bytes();
        self.figures.update(|status| status.bytes_held = bytes_held);
        Ok(())
    }
}

/// The core counts records from 1, the log from 0.
const fn position_of(number: u64) -> Position {
    Position(number.saturating_sub(1))
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer(positions {} to {})", self.log.first(), self.log.end())
    }
}

impl Figures {
    pub(super) fn read(&self) -> LogStatus {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut LogStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl LogStatus {
    fn on_sync(&mut self, records: u64, bytes: u64, took: Duration, bytes_held: u64) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.syncs += 1;
        self.records += records;
        self.bytes += bytes;
        self.bytes_held = bytes_held;
        self.sync_us_total = self.sync_us_total.saturating_add(took);
        self.sync_us_max = self.sync_us_max.max(took);
    }
}
