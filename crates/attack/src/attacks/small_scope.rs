//! `small_scope`: honest messages that are wrong by one, old, or missing, in a few rounds.
//!
//! A round is one message of the honest machine, to all or to one. In some of them, drawn by chance and at most a
//! number of times, the message is off by one in its view or height or has another digest, signed again so that it
//! is valid otherwise; or an earlier message goes in its place; or none. A part of the recipients sees that.
//!
//! Must hold: everything. Small changes in few places are where protocols broke that survived random bytes.

use quorate_types::ReplicaId;
use quorate_types::message::Message;
use std::collections::VecDeque;

use super::off_by_one::{Change, off_by_one};
use crate::adversary::{Adversary, Cx};

/// Most earlier messages that are kept to be sent again.
const EARLIER_MAX: usize = 64;
/// The most rounds that are faulty, if not set.
const ROUNDS: u64 = 16;

/// Sends what the honest machine says, wrong by one.
#[derive(Debug)]
pub struct SmallScope {
    rounds: u64,
    percent: u64,
    /// The message of the present round, and what is done to it.
    round: Option<(Message, Option<Fault>)>,
    earlier: VecDeque<Message>,
}

#[derive(Clone, Debug)]
enum Fault {
    Change(Change),
    Replay(Box<Message>),
    Omit,
}

/// Makes one round of ten faulty, and 16 at most.
#[must_use]
pub const fn small_scope() -> SmallScope {
    SmallScope { rounds: ROUNDS, percent: 10, round: None, earlier: VecDeque::new() }
}

impl SmallScope {
    /// Makes at most so many rounds faulty instead.
    #[must_use]
    pub fn rounds(self, rounds: u64) -> Self {
        Self { rounds, ..self }
    }
    /// Makes so many of a hundred rounds faulty instead.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        Self { percent, ..self }
    }

    fn begin_round(&mut self, cx: &mut Cx<'_>, message: &Message) {
        let fault = if self.rounds > 0 && cx.chance(self.percent) {
            self.rounds -= 1;
            Some(self.draw_fault(cx))
        } else {
            None
        };
        self.round = Some((message.clone(), fault));
        if self.earlier.len() == EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back(message.clone());
    }

    fn draw_fault(&self, cx: &mut Cx<'_>) -> Fault {
        match cx.draw(8) {
            0 => Fault::Omit,
            1 | 2 if !self.earlier.is_empty() => {
                Fault::Replay(Box::new(self.earlier[cx.draw(self.earlier.len() as u64) as usize].clone()))
            }
            _ => Fault::Change(Change::ALL[cx.draw(Change::ALL.len() as u64) as usize]),
        }
    }
}

impl Adversary for SmallScope {
    fn name(&self) -> &'static str {
        "small_scope"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if self.round.as_ref().is_none_or(|(present, _)| *present != message) {
            self.begin_round(cx, &message);
        }
        let fault = self.round.as_ref().and_then(|(_, fault)| fault.clone());
        let Some(fault) = fault.filter(|_| cx.chance(70)) else { return cx.send(to, message) };
        let wrong = match fault {
            Fault::Omit => return cx.fired(),
            Fault::Replay(earlier) => Some(*earlier),
            Fault::Change(change) => off_by_one(cx, &message, change),
        };
        match wrong {
            Some(wrong) => {
                cx.send(to, wrong);
                cx.fired();
            }
            // There is no such field in it.
            None => cx.send(to, message),
        }
    }
}
