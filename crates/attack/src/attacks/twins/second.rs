//! Who does the second machine's local work? It has no disk, no threads and no application: what it writes is durable
//! at once, signatures are checked on the spot, and outcomes and states are those of the first machine, which commits
//! the same blocks.

use quorate_consensus::{Action, Input, Recipients, Replica, ReplicaStatus};
use quorate_types::message::{Message, Outcome, ReplicaMessage};
use quorate_types::{Authenticated, Digest, Height, PublicKey, ReplicaId, StateHead, Time, Verifier};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::adversary::Cx;

/// How far the second machine's clock is ahead of the first one's: two machines do not make the same block.
pub const CLOCK_AHEAD: Duration = Duration::from_micros(1);
/// Most blocks whose outcomes wait for the second machine; if it is further behind, it begins again as a clone.
const OUTCOMES_MAX: usize = 1024;
/// Most states of the first machine that are remembered.
const HEADS_MAX: usize = 8;

/// The second machine.
#[derive(Debug)]
pub(super) struct Second {
    machine: Box<Replica>,
    verifier: Verifier,
    /// What its driver has to tell it, once its actions are done.
    answers: VecDeque<Input>,
    /// The outcomes of the first machine.
    outcomes: BTreeMap<Height, Vec<Outcome>>,
    /// How many commands the blocks have that it wants executed.
    wanted: BTreeMap<Height, usize>,
    heads: BTreeMap<Height, Arc<StateHead>>,
    /// How far the first machine had committed when this one was cloned.
    cloned_at: Height,
    /// Whether it needs a state, or the first machine got one.
    is_behind: bool,
}

/// What it sends, to whom or to all, and what it tells clients.
pub(super) type Said = (Vec<(Option<ReplicaId>, Message)>, Vec<(PublicKey, ReplicaMessage)>);

impl Second {
    /// What the first machine's driver still owes is lost, but for outcomes and states.
    pub(super) fn of(machine: Replica) -> Self {
        let verifier = machine.verifier();
        // Whatever was being written may leave: this machine has no disk to wait for.
        let answers = VecDeque::from([Input::Persisted(u64::MAX)]);
        Self {
            cloned_at: machine.status().committed,
            machine: Box::new(machine),
            verifier,
            answers,
            outcomes: BTreeMap::new(),
            wanted: BTreeMap::new(),
            heads: BTreeMap::new(),
            is_behind: false,
        }
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        self.machine.status()
    }

    /// Whether it cannot go on by itself, and a clone of the first machine could.
    pub(super) fn is_lost(&self, cx: &Cx<'_>) -> bool {
        let next = self.status().executed.next();
        let is_forgotten = self.outcomes.first_key_value().is_some_and(|(lowest, _)| *lowest > next);
        (self.is_behind || is_forgotten) && cx.status().transfer.is_none()
    }

    /// When it wants a timeout, on the first machine's clock.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.machine.poll_timeout().map(|due| Time(due.0.saturating_sub(CLOCK_AHEAD.as_nanos() as u64)))
    }

    /// Takes an input of the first machine or a message of its own. `None` if it gets none of it.
    pub(super) fn handle(&mut self, now: Time, input: Input) -> Option<Said> {
        match input {
            Input::Message(_)
            | Input::Request(..)
            | Input::Connected(_)
            | Input::Disconnected(_)
            | Input::Timeout => {
                self.answers.push_back(input);
            }
            Input::Executed(height, outcomes) => {
                self.outcomes.insert(height, outcomes);
                if self.outcomes.len() > OUTCOMES_MAX {
                    self.outcomes.pop_first();
                }
            }
            Input::Snapshot(head) => {
                self.heads.insert(head.height, Arc::clone(&head));
                if self.heads.len() > HEADS_MAX {
                    self.heads.pop_first();
                }
                self.answers.push_back(Input::Snapshot(head));
            }
            Input::Installed(..) => self.is_behind = true,
            Input::Persisted(_) | Input::Verified(..) | Input::Looked(..) | Input::Chunk(..) => return None,
        }
        Some(self.run(now.after(CLOCK_AHEAD)))
    }

    /// Gives it all answers, and performs what it wants done until there is nothing left.
    fn run(&mut self, now: Time) -> Said {
        let mut said = Said::default();
        loop {
            while let Some(action) = self.machine.poll_action() {
                self.perform(action, &mut said);
            }
            let Some(input) = self.answers.pop_front().or_else(|| self.next_outcome()) else { return said };
            self.machine.handle(now, input);
        }
    }

    fn perform(&mut self, action: Action, said: &mut Said) {
        match action {
            Action::Send(Recipients::All, message) => said.0.push((None, message)),
            Action::Send(Recipients::One(to), message) => said.0.push((Some(to), message)),
            Action::Reply(client, message) => said.1.push((client, message)),
            Action::Persist(number, _) => self.answers.push_back(Input::Persisted(number)),
            Action::Verify(peer, work) => {
                self.answers.push_back(Input::Verified(peer, self.verifier.check(work)));
            }
            Action::Execute(execution) => {
                self.wanted.insert(execution.height, execution.commands.len());
            }
            Action::TakeSnapshot(order) => {
                let head = self.heads.get(&order.header.header.height);
                self.answers.extend(head.map(|head| Input::Snapshot(Arc::clone(head))));
            }
            // It keeps no states and gets none.
            Action::ReadChunks(to, digests) => {
                self.answers.extend(digests.into_iter().map(|digest: Digest| Input::Chunk(to, Err(digest))));
            }
            Action::BeginTransfer(..) => self.is_behind = true,
            Action::LookInto(_)
            | Action::StoreChunk(..)
            | Action::AbandonTransfer
            | Action::Install(_)
            | Action::Truncate(..)
            | Action::Certified(_)
            | Action::Report(_)
            | Action::Reject(..)
            | Action::Event(_)
            | Action::Halt(_) => {}
        }
    }

    /// The outcomes of the next block, if the first machine has executed it.
    fn next_outcome(&mut self) -> Option<Input> {
        let next = self.status().executed.next();
        let outcomes = self.outcomes.get(&next)?.len();
        let is_due = match self.wanted.get(&next) {
            // Where more than f are faulty, the two may have committed different blocks.
            Some(commands) => *commands == outcomes,
            // The first machine had handed it out before there were two.
            None => next <= self.cloned_at,
        };
        if !is_due {
            return None;
        }
        self.wanted.remove(&next);
        Some(Input::Executed(next, self.outcomes.remove(&next)?))
    }
}

/// A message as an input.
pub(super) fn message(from: ReplicaId, message: &Message) -> Input {
    Input::Message(Authenticated::from_channel(from, message.clone()))
}
