//! Does a log give back what it was given? The simulator's own copy of every record, to compare with what recovery reads.

use quorate_types::Frame;
use std::collections::VecDeque;

/// What was written to one log. Numbers count from 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    /// The number of the first record that is kept here.
    first: u64,
    written: VecDeque<Frame>,
    durable: u64,
    /// Records below this number were dropped at the replica's own wish.
    dropped: u64,
    /// Whether the disk may have lost what was durable: its word counts for nothing.
    pub(crate) is_doubtful: bool,
}

impl Witness {
    pub(crate) fn on_append(&mut self, number: u64, record: &Frame) {
        if self.written.is_empty() {
            self.first = number;
        }
        self.written.push_back(record.clone());
    }

    pub(crate) fn on_durable(&mut self, through: u64) {
        self.durable = self.durable.max(through);
    }

    pub(crate) fn on_truncating(&mut self, number: u64) {
        self.dropped = self.dropped.max(number);
    }

    pub(crate) fn on_truncated(&mut self, number: u64) {
        while self.first < number && self.written.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Compares with what recovery read: the record after `first` dropped ones and all behind it. From here on
    /// that is what was written.
    pub(crate) fn judge<'a>(
        &mut self,
        first: u64,
        read: impl ExactSizeIterator<Item = &'a Frame>,
    ) -> Result<(), String> {
        let (lowest, end) = (first + 1, first + read.len() as u64);
        if !self.is_doubtful && end < self.durable {
            return Err(format!(
                "records up to {} had been durable, and the log ends at {end}",
                self.durable
            ));
        }
        if !self.is_doubtful && lowest > self.dropped.max(1) {
            return Err(format!(
                "records from {} on are needed, and the log begins at {lowest}",
                self.dropped
            ));
        }
        let mut kept = VecDeque::with_capacity(read.len());
        for (number, record) in (lowest..).zip(read) {
            let known =
                number.checked_sub(self.first).and_then(|at| self.written.get(usize::try_from(at).ok()?));
            if known.is_some_and(|known| known != record) || (known.is_none() && number >= self.dropped) {
                return Err(format!("record {number} is not the one that was written there"));
            }
            kept.push_back(record.clone());
        }
        (self.first, self.written, self.durable) = (lowest, kept, end);
        Ok(())
    }
}
