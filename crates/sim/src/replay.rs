//! Do states follow from the committed commands? A state machine of the oracle's own executes every block again. It begins
//! from the start, is never restored from a snapshot, and never sees a clock or a second cluster: what it does differently,
//! replicas did not take from the commands. Replies are judged by the invariant of linearizability.

use quorate_consensus::Execution;
use quorate_machine::{Application, ApplicationFactory, BlockContext, Context, catch};
use quorate_types::message::Outcome;
use quorate_types::{Digest, Height, ReplicaId};
use std::collections::BTreeMap;

use crate::observe::Violation;
use crate::world::World;

const STATES: &str = "states are those of a state machine that executes the committed commands";

/// The oracle's own state machine, and what it came to.
pub(crate) struct Replay {
    application: Box<dyn Application>,
    height: Height,
    states: BTreeMap<Height, Digest>,
    /// How many commands had an effect.
    pub(crate) commands: u64,
}

impl Replay {
    pub(crate) fn new(factory: &ApplicationFactory) -> Self {
        Self { application: factory.make(), height: Height(0), states: BTreeMap::new(), commands: 0 }
    }

    /// Executes a block, if it is new.
    fn execute(&mut self, execution: &Execution) -> Result<(), String> {
        if execution.height <= self.height {
            return Ok(());
        }
        let block = BlockContext { height: execution.height, time: execution.time, digest: execution.block };
        let mut outcomes = Vec::new();
        for (command, position) in execution.commands.iter().zip(0..) {
            let context = Context::new(block, position, command.session.client, command.number);
            let applied = catch(&context, || self.application.apply(&command.command, &context));
            outcomes.push(applied.map_err(|panicked| panicked.to_string())?);
        }
        let is_effective = |outcome: &&Outcome| matches!(outcome, Outcome::Executed(_));
        self.commands += outcomes.iter().filter(is_effective).count() as u64;
        self.height = execution.height;
        let state = digest_of(&mut *self.application)?;
        self.states.insert(execution.height, state);
        Ok(())
    }
}

/// A digest of an application's state.
///
/// # Errors
/// It panicked, or cannot be written.
pub(crate) fn digest_of(application: &mut dyn Application) -> Result<Digest, String> {
    let mut bytes = Vec::new();
    let written = catch(&"a snapshot", || application.freeze().write(&mut bytes));
    written.map_err(|panicked| panicked.to_string())?.map_err(|error| error.to_string())?;
    Ok(Digest::of_parts("quorate replayed state", &[&bytes]))
}

impl World {
    /// Executes a block that a replica executed.
    pub(crate) fn replay_block(&mut self, replica: ReplicaId, execution: &Execution) {
        if self.violation.is_some() || !self.is_trusted(replica) {
            return;
        }
        let Some(replay) = &mut self.replay else { return };
        if let Err(what) = replay.execute(execution) {
            self.violate(Violation::of(STATES, what));
        }
    }

    /// Judges the state in which a replica is.
    pub(crate) fn replay_state(&mut self, replica: ReplicaId) {
        let Some(replay) = &self.replay else { return };
        let host = &mut self.hosts[replica.index()];
        let height = host.applied;
        let Some(expected) = replay.states.get(&height).copied() else { return };
        let what = match host.state_digest() {
            Ok(digest) if digest == expected => return,
            Ok(_) => format!("that of replica {replica} at height {height} is another one"),
            Err(what) => format!("replica {replica} at height {height}: {what}"),
        };
        self.violate(Violation::of(STATES, what));
    }
}
