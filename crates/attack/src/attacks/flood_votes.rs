//! `flood_votes`: votes and commit votes for every height of the present view, for blocks that nobody has.
//!
//! Must hold: a replica keeps 64 votes of each peer and one commit vote, asks for one unknown header of each at a
//! time, and counts nothing that is not on its chain.

use quorate_types::message::{Commit, Message, Vote};
use quorate_types::{ReplicaId, Statement};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Adds votes to its votes.
#[derive(Debug)]
pub struct FloodVotes {
    rate: u64,
}

/// Adds eight votes for invented blocks to each vote of its own.
#[must_use]
pub const fn flood_votes() -> FloodVotes {
    FloodVotes { rate: 8 }
}

impl FloodVotes {
    /// Adds so many instead.
    #[must_use]
    pub const fn rate(self, rate: u64) -> Self {
        Self { rate }
    }
}

impl Adversary for FloodVotes {
    fn name(&self) -> &'static str {
        "flood_votes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let genuine = if let Message::Vote(vote) = &message { Some(*vote) } else { None };
        cx.send(to, message);
        let Some(genuine) = genuine else { return };
        for _ in 0..self.rate {
            let reach = 2 * cx.parameters().window;
            let height = genuine.vote.height.plus(1 + cx.draw(reach));
            let vote = forge::invented_vote(cx, genuine.vote.view, height);
            let signature = cx.sign(&Statement::Vote(vote));
            cx.send(to, Message::Vote(Vote { vote, signature, ..genuine }));
            if cx.chance(25) {
                cx.send(to, Message::Commit(Commit { vote }));
            }
            cx.fired();
        }
    }
}
