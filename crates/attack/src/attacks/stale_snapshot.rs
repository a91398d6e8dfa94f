//! `stale_snapshot`: shows the oldest checkpoint that it can prove, and the oldest state that it has.
//!
//! Must hold: nobody goes back, neither its stable checkpoint nor its state, and a laggard gets the newest state
//! from others.

use quorate_types::certificate::{CheckpointCertificate, Signatures, SignedHeader};
use quorate_types::message::{CheckpointVote, Data, Message};
use quorate_types::{ReplicaId, StateHead};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};

/// Most checkpoint votes that are kept until a quorum is among them.
const VOTES_MAX: usize = 256;

/// Lives off its first checkpoint.
#[derive(Debug)]
pub struct StaleSnapshot {
    votes: Vec<CheckpointVote>,
    oldest: Option<Arc<CheckpointCertificate>>,
    state: Option<(SignedHeader, Arc<StateHead>)>,
}

/// Sends its oldest certificate with every status, and its oldest state in place of any other.
#[must_use]
pub const fn stale_snapshot() -> StaleSnapshot {
    StaleSnapshot { votes: Vec::new(), oldest: None, state: None }
}

impl StaleSnapshot {
    /// Q equal votes make the certificate that is shown from then on.
    fn note(&mut self, cx: &Cx<'_>, vote: &CheckpointVote) {
        let is_known =
            |known: &CheckpointVote| (known.replica, known.checkpoint) == (vote.replica, vote.checkpoint);
        if self.oldest.is_some() || self.votes.len() == VOTES_MAX || self.votes.iter().any(is_known) {
            return;
        }
        self.votes.push(*vote);
        let mut equal: Vec<_> =
            self.votes.iter().filter(|known| known.checkpoint == vote.checkpoint).collect();
        if equal.len() < cx.quorums().quorum() {
            return;
        }
        equal.sort_unstable_by_key(|vote| vote.replica);
        let signatures = Signatures::take(equal.iter().map(|vote| (vote.replica, vote.signature)));
        self.oldest = Some(Arc::new(CheckpointCertificate { checkpoint: vote.checkpoint, signatures }));
    }
}

impl Adversary for StaleSnapshot {
    fn name(&self) -> &'static str {
        "stale_snapshot"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Status(_) => {
                cx.send(to, message);
                if let Some(oldest) = &self.oldest {
                    cx.send(to, Message::Data(Data::Checkpoint(Arc::clone(oldest))));
                    if let Some((header, head)) = &self.state {
                        let (header, head) = (*header, Arc::clone(head));
                        cx.send(to, Message::Data(Data::State { header, head }));
                    }
                    cx.fired();
                }
            }
            Message::Data(Data::State { header, head }) => {
                let (header, head) = self.state.get_or_insert((header, head)).clone();
                cx.send(to, Message::Data(Data::State { header, head }));
                cx.fired();
            }
            Message::CheckpointVote(vote) => {
                self.note(cx, &vote);
                cx.send(to, message);
            }
            other => cx.send(to, other),
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        if let Message::CheckpointVote(vote) = message {
            self.note(cx, vote);
        }
        Verdict::Deliver
    }
}
