//! Nothing acknowledged is lost: what a client saw completed is in the state of every honest replica at the end, whatever
//! disks and machines went through.

use quorate_machine::decode;
use quorate_types::{Height, ReplicaId, RequestNumber, SessionId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};
use crate::tally::Tally;

const PROPERTY: &str = "nothing acknowledged is lost";

/// What was executed, by whoever came first at each height, and what was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct AcknowledgedIsKept {
    executed: BTreeMap<Height, Vec<u64>>,
    places: BTreeMap<(SessionId, RequestNumber), Height>,
    acknowledged: Vec<(usize, SessionId, RequestNumber, Height)>,
}

impl AcknowledgedIsKept {
    pub(crate) fn new(_history: &History, _seed: u64) -> Self {
        Self::default()
    }

    /// The state in which a replica is that executed all up to this height.
    fn expected(&self, height: Height) -> Tally {
        let mut tally = Tally::default();
        for (height, commands) in self.executed.range(..=height) {
            for add in commands {
                tally.count += 1;
                tally.total = tally.total.wrapping_add(*add);
                let mixed = tally.history ^ add ^ height.0.rotate_left(32);
                tally.history = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
        }
        tally
    }

    fn judge(&self, replica: ReplicaId, height: Height, state: &Tally) -> Result<(), String> {
        for (client, session, number, at) in &self.acknowledged {
            let place = self.places.get(&(*session, *number));
            if *at > height || place != Some(at) {
                return Err(format!(
                    "client {client} was told that request {number} ran at height {at}; replica {replica} is at {height}, \
                     and it ran at {place:?}"
                ));
            }
        }
        let expected = self.expected(height);
        if *state != expected {
            return Err(format!("replica {replica} is in {state:?} at height {height}, not in {expected:?}"));
        }
        Ok(())
    }
}

impl Invariant for AcknowledgedIsKept {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Executed(_, execution, _) if !self.executed.contains_key(&execution.height) => {
                let commands = &execution.commands;
                let adds = commands.iter().filter_map(|command| decode(&command.command).ok()).collect();
                self.executed.insert(execution.height, adds);
                for command in commands {
                    self.places.insert((command.session, command.number), execution.height);
                }
                Ok(())
            }
            Observation::Completed(client, completed) => {
                let id = completed.id;
                self.acknowledged.push((*client, id.session, id.number, completed.height));
                Ok(())
            }
            Observation::Final(replica, height, state) => {
                self.judge(*replica, *height, state).map_err(|what| Violation::of(PROPERTY, what))
            }
            _ => Ok(()),
        }
    }
}
