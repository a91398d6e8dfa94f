//! Invariant 12: after healing every honest request executes within a bound, and none is refused.

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "after healing every honest request executes within a bound";

/// Has no state: the driver keeps the time.
#[derive(Debug)]
pub(crate) struct RequestsComplete;

impl RequestsComplete {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self
    }
}

impl Invariant for RequestsComplete {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Overdue(what) => Err(Violation::of(PROPERTY, *what)),
            Observation::Refused(client, why) => {
                Err(Violation::of(PROPERTY, format!("client {client} was refused: {why}")))
            }
            _ => Ok(()),
        }
    }
}
