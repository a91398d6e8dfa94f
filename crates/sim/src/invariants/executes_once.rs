//! Invariant 8: each request executes at most once, at the same place on every replica.

use quorate_types::{Height, RequestNumber, SessionId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "each request executes at most once";

/// Where each request ran, and how many ran at each height.
#[derive(Debug, Default)]
pub(crate) struct ExecutesOnce {
    places: BTreeMap<(SessionId, RequestNumber), (Height, usize)>,
    counts: BTreeMap<Height, usize>,
}

impl ExecutesOnce {
    pub(crate) fn new(_history: &History, _seed: u64) -> Self {
        Self::default()
    }
}

impl Invariant for ExecutesOnce {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let Observation::Executed(replica, execution, _) = observation else { return Ok(()) };
        let height = execution.height;
        for (position, command) in execution.commands.iter().enumerate() {
            let known = *self.places.entry((command.session, command.number)).or_insert((height, position));
            if known != (height, position) {
                let what = format!(
                    "replica {replica} executed request {} of {} at height {height} as number {position}, \
                     it ran at height {} as number {}",
                    command.number, command.session, known.0, known.1
                );
                return Err(Violation::of(PROPERTY, what));
            }
        }
        let count = *self.counts.entry(height).or_insert(execution.commands.len());
        if count != execution.commands.len() {
            let here = execution.commands.len();
            let what =
                format!("replica {replica} executed {here} requests at height {height}, another one {count}");
            return Err(Violation::of(PROPERTY, what));
        }
        Ok(())
    }
}
