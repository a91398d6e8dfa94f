//! No evidence convicts an honest replica, and no honest replica stops because of the others.

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "honest replicas are neither convicted nor stopped";

/// Has no state.
#[derive(Debug)]
pub(crate) struct EvidenceIsFair;

impl EvidenceIsFair {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self
    }
}

impl Invariant for EvidenceIsFair {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Reported(replica, evidence) if history.is_trusted(evidence.replica) => {
                let what = format!(
                    "replica {replica} has proof against honest replica {}: {evidence}",
                    evidence.replica
                );
                Err(Violation::of(PROPERTY, what))
            }
            Observation::Halted(replica, halt) => {
                Err(Violation::of(PROPERTY, format!("replica {replica} halted: {halt}")))
            }
            _ => Ok(()),
        }
    }
}
