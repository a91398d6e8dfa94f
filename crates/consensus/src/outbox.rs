//! What may leave now and what waits for the disk (rule D1).

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};
use std::collections::VecDeque;

use crate::io::{Action, Recipients};
use crate::mutation::{self, Mutation};
use crate::record::Record;

/// Most messages to one peer alone that wait for the disk: one that asks without end takes no room from the others.
const WAITING_FOR_ONE_MAX: usize = 100;

/// Actions on their way out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    ready: VecDeque<Action>,
    /// Messages with the sequence number that must be durable before they leave, in rising order.
    waiting: VecDeque<(u64, Recipients, Message)>,
    appended: u64,
    persisted: u64,
}

impl Outbox {
    pub(crate) fn push(&mut self, action: Action) {
        self.ready.push_back(action);
    }
    pub(crate) fn pop(&mut self) -> Option<Action> {
        self.ready.pop_front()
    }
    /// Sends without waiting: for messages that promise nothing.
    pub(crate) fn send(&mut self, to: Recipients, message: Message) {
        self.ready.push_back(Action::Send(to, message));
    }
    /// Numbers go on above those of the log as it was found.
    pub(crate) const fn resume(&mut self, last: u64) {
        self.appended = last;
        self.persisted = last;
    }
    /// Appends to the log; gives the record's number.
    pub(crate) fn persist(&mut self, record: Record) -> u64 {
        self.appended += 1;
        self.ready.push_back(Action::Persist(self.appended, record));
        self.appended
    }
    /// Whether everything up to this number is durable.
    pub(crate) const fn is_durable(&self, number: u64) -> bool {
        number <= self.persisted
    }
    /// [D1] Sends once everything appended so far is durable.
    pub(crate) fn send_durable(&mut self, to: Recipients, message: Message) {
        self.waiting.push_back((self.appended, to, message));
    }
    pub(crate) fn persisted(&mut self, sequence: u64) {
        self.persisted = self.persisted.max(sequence.min(self.appended));
    }
    /// The next message that has become durable. The caller hears of it, because an own vote
    /// counts from this moment on.
    pub(crate) fn release(&mut self) -> Option<(Recipients, Message)> {
        let (needed, _, message) = self.waiting.front()?;
        let may_leave_early = mutation::is(Mutation::VoteNotPersisted) && matches!(message, Message::Vote(_));
        if *needed > self.persisted && !may_leave_early {
            return None;
        }
        let (_, to, message) = self.waiting.pop_front()?;
        self.ready.push_back(Action::Send(to, message.clone()));
        Some((to, message))
    }
    /// Whether a message to one peer may join those that wait for the disk. What is left out is asked for, or sent, again.
    pub(crate) fn has_room(&self, peer: ReplicaId) -> bool {
        let is_for_it = |(_, to, _): &&(u64, Recipients, Message)| *to == Recipients::One(peer);
        self.waiting.iter().filter(is_for_it).count() < WAITING_FOR_ONE_MAX
            || mutation::is(Mutation::WaitingUnbounded)
    }
    /// How many messages wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
    /// Whether a checkpoint vote has not left.
    pub(crate) fn holds_checkpoint_vote(&self) -> bool {
        self.waiting.iter().any(|(_, _, message)| matches!(message, Message::CheckpointVote(_)))
    }
    /// [V6] [C2] Drops proposals, votes and commit votes of views below `view` that have not left.
    pub(crate) fn forget_below(&mut self, view: View) {
        if mutation::is(Mutation::VoteAfterViewChange) {
            return;
        }
        self.waiting.retain(|(_, _, message)| match message {
            Message::Vote(vote) => vote.vote.view >= view,
            Message::Commit(commit) => commit.vote.view >= view,
            Message::Propose(propose) => propose.header.header.view >= view,
            _ => true,
        });
    }
    /// [D3] Drops every promise that has not left.
    pub(crate) fn forget_promises(&mut self) {
        self.waiting.retain(|(_, _, message)| {
            !matches!(
                message,
                Message::Propose(_)
                    | Message::Vote(_)
                    | Message::Commit(_)
                    | Message::ViewChange(_)
                    | Message::CheckpointVote(_)
            )
        });
    }
    /// Drops everything that waits: a halted replica says nothing more.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}
