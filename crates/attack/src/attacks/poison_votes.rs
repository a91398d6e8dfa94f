//! `poison_votes`: votes whose signatures are bad, so that no certificate can be made with them.
//!
//! Must hold: who builds a certificate finds the bad signature, names its sender and goes on with the others; a
//! certificate that is passed on never holds it.

use quorate_types::ReplicaId;
use quorate_types::message::{Message, Vote};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Spoils its signatures.
#[derive(Debug)]
pub struct PoisonVotes {
    percent: u64,
}

/// Spoils the signatures of four of five votes.
#[must_use]
pub const fn poison_votes() -> PoisonVotes {
    PoisonVotes { percent: 80 }
}

impl PoisonVotes {
    /// Spoils so many of a hundred instead.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self { percent }
    }
}

impl Adversary for PoisonVotes {
    fn name(&self) -> &'static str {
        "poison_votes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Vote(vote) if cx.chance(self.percent) => {
                cx.send(to, Message::Vote(Vote { signature: forge::spoiled(vote.signature), ..vote }));
                // The genuine one may come later: it is the same vote.
                if cx.chance(20) {
                    cx.send(to, Message::Vote(vote));
                }
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
}
