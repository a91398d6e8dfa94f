//! Invariant 10, for writes and for reads that are ordered: replies are those of a state machine that executes the
//! committed log from its beginning, and a request that is made after another one was answered comes later in the log.
//!
//! The log is the order that linearizability asks for, so nothing has to be searched. The state machine is the oracle's
//! own: it is never restored from a snapshot and never sees a request twice.

use quorate_consensus::Execution;
use quorate_consensus::client::Completed;
use quorate_machine::{Application, ApplicationFactory, BlockContext, Context};
use quorate_types::message::Outcome;
use quorate_types::{Bundle, Height, ReplicaId, RequestNumber, SessionId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "requests are linearizable, with the committed log as the witness";

/// The witness: what each request did, and when clients knew.
pub(crate) struct Linearizable {
    factory: ApplicationFactory,
    /// Made when the first block was executed.
    machine: Option<Box<dyn Application>>,
    /// The outcomes of each block, from height 1 on.
    blocks: Vec<Vec<Outcome>>,
    requests: BTreeMap<(SessionId, RequestNumber), Request>,
    /// The last place in the log of which a client has heard.
    answered: Place,
}

/// Height, and position in the block.
type Place = (Height, usize);

#[derive(Debug, Default)]
struct Request {
    /// The last place of which a client had heard when it was first made.
    after: Option<Place>,
    place: Option<Place>,
}

impl std::fmt::Debug for Linearizable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linearizable").field("height", &self.blocks.len()).finish_non_exhaustive()
    }
}

impl Linearizable {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self {
            factory: history.application.clone(),
            machine: None,
            blocks: Vec::new(),
            requests: BTreeMap::new(),
            answered: (Height(0), 0),
        }
    }

    fn on_issued(&mut self, bundle: &Bundle) {
        for request in bundle.requests() {
            let known = self.requests.entry((*bundle.session(), request.number)).or_default();
            known.after.get_or_insert(self.answered);
        }
    }

    /// Executes a block that is the next, and compares.
    fn on_executed(
        &mut self,
        replica: ReplicaId,
        execution: &Execution,
        outcomes: &[Outcome],
    ) -> Result<(), String> {
        // Invariant 1 sees to it that heights follow each other, and that equal heights are equal blocks.
        if execution.height.0 == self.blocks.len() as u64 + 1 {
            self.execute(execution);
        }
        let Some(expected) = self.outcomes(execution.height) else { return Ok(()) };
        if expected == outcomes {
            return Ok(());
        }
        let differs = expected.iter().zip(outcomes).position(|(expected, outcome)| expected != outcome);
        let differs = differs.unwrap_or(expected.len().min(outcomes.len()));
        Err(format!(
            "replica {replica} executed number {differs} of height {} and got {:?}; by the log it is {:?}",
            execution.height,
            outcomes.get(differs),
            expected.get(differs)
        ))
    }

    fn execute(&mut self, execution: &Execution) {
        let machine = self.machine.get_or_insert_with(|| self.factory.make());
        let block = BlockContext { height: execution.height, time: execution.time, digest: execution.block };
        let mut outcomes = Vec::with_capacity(execution.commands.len());
        for (command, position) in execution.commands.iter().zip(0..) {
            let context = Context::new(block, position, command.session.client, command.number);
            outcomes.push(machine.apply(&command.command, &context));
            let known = self.requests.entry((command.session, command.number)).or_default();
            known.place.get_or_insert((execution.height, position as usize));
        }
        self.blocks.push(outcomes);
    }

    fn outcomes(&self, height: Height) -> Option<&[Outcome]> {
        let position = usize::try_from(height.0.checked_sub(1)?).ok()?;
        self.blocks.get(position).map(Vec::as_slice)
    }

    fn on_completed(&mut self, client: usize, completed: &Completed) -> Result<(), String> {
        let Completed { id, height, reply, .. } = completed;
        let known = self.requests.get(&(id.session, id.number));
        let Some(place) = known.and_then(|known| known.place).filter(|(at, _)| at == height) else {
            return Err(format!(
                "client {client} was told that request {} ran at height {height}; by the log: {known:?}",
                id.number
            ));
        };
        let outcome = self.outcomes(place.0).and_then(|outcomes| outcomes.get(place.1));
        if !matches!(outcome, Some(Outcome::Executed(computed)) if computed == reply) {
            return Err(format!(
                "client {client} believes that request {} at height {height} was answered {reply:?}; by the log: {outcome:?}",
                id.number
            ));
        }
        if let Some(after) = known.and_then(|known| known.after).filter(|after| *after >= place) {
            return Err(format!(
                "request {} of client {client} was made when {after:?} had been answered, and stands at {place:?}",
                id.number
            ));
        }
        self.answered = self.answered.max(place);
        Ok(())
    }
}

impl Invariant for Linearizable {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let result = match observation {
            Observation::Issued(bundle) => {
                self.on_issued(bundle);
                Ok(())
            }
            Observation::Executed(replica, execution, outcomes) => {
                self.on_executed(*replica, execution, outcomes)
            }
            Observation::Completed(client, completed) => self.on_completed(*client, completed),
            _ => Ok(()),
        };
        result.map_err(|what| Violation::of(PROPERTY, what))
    }
}

#[cfg(test)]
mod tests;
