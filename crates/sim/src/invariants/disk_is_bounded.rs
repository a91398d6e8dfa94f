//! Rule K1: what a disk holds stays within the window, however long a run is.

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "what a disk holds stays within the window";

/// Most states after a cut: those of the last two checkpoints, four more while a peer fetches one, and one for each checkpoint of
/// a window of 64 blocks, with four blocks between two.
const STATES_MAX: u64 = 2 + 4 + 64 / 4;
/// Most records after a cut: some for each block of that window. Blocks in many views and view changes come on top.
const RECORDS_MAX: u64 = 512;

/// Has no state: the disk counts.
#[derive(Debug)]
pub(crate) struct DiskIsBounded;

impl DiskIsBounded {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self
    }
}

impl Invariant for DiskIsBounded {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let what = match observation {
            Observation::DiskUse(replica, records, states)
                if *records > RECORDS_MAX || *states > STATES_MAX =>
            {
                format!("replica {replica} keeps {records} records and {states} states after a cut")
            }
            Observation::Gathered(replica, bytes, state) if bytes > state => {
                format!("replica {replica} keeps {bytes} bytes of chunks for a state of {state}")
            }
            _ => return Ok(()),
        };
        Err(Violation::of(PROPERTY, what))
    }
}
