//! `parrot`: says to everybody what it hears from anybody, word for word and as its own.
//!
//! Must hold: a vote counts for the channel on which it comes, with that replica's signature or with none in any
//! certificate; statements of others prove nothing of the one who repeats them.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx, Verdict};

/// Repeats others.
#[derive(Debug)]
pub struct Parrot {
    percent: u64,
}

/// Repeats half of what it hears, to all, its author included.
#[must_use]
pub const fn parrot() -> Parrot {
    Parrot { percent: 50 }
}

impl Parrot {
    /// Repeats so many of a hundred messages instead.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self { percent }
    }
}

impl Adversary for Parrot {
    fn name(&self) -> &'static str {
        "parrot"
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        // Statuses and questions have answers, and two parrots would never stop.
        let has_answer = matches!(message, Message::Status(_) | Message::Fetch(_));
        let traitors = cx.traitors();
        if !has_answer && !traitors.contains(&from) && cx.chance(self.percent) {
            for to in cx.others().into_iter().filter(|to| !traitors.contains(to)) {
                cx.send(to, message.clone());
            }
            cx.fired();
        }
        Verdict::Deliver
    }
}
