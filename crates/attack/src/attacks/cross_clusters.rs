//! `cross_clusters`: what it signed in another cluster with the same key, or in another epoch, presented in this one.
//!
//! Must hold: cluster and epoch are signed, so nothing of another cluster or epoch counts here, and none of it is
//! evidence.

use quorate_types::message::{CheckpointVote, Message, Propose, Vote};
use quorate_types::{CheckpointStatement, Digest, Epoch, Header, ReplicaId, Statement, VoteStatement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Brings in statements from elsewhere.
#[derive(Debug)]
pub struct CrossClusters(());

/// Adds to each signed message what it would be elsewhere.
#[must_use]
pub const fn cross_clusters() -> CrossClusters {
    CrossClusters(())
}

/// The same message in the other cluster, or in the next epoch of this one, validly signed there.
fn elsewhere(cx: &Cx<'_>, message: &Message, is_epoch: bool) -> Option<Message> {
    let (here, other) = (cx.membership().cluster(), Digest::of_bytes(b"another cluster"));
    let cluster = if is_epoch { here } else { other };
    let epoch = if is_epoch { Epoch(cx.membership().epoch().0 + 1) } else { cx.membership().epoch() };
    let sign = |statement: &Statement| cx.sign_elsewhere(&cluster, statement);
    Some(match message {
        Message::Propose(propose) => {
            let header = Header { cluster, epoch, ..propose.header.header };
            let signature = sign(&Statement::Block(header));
            let header = quorate_types::certificate::SignedHeader { header, signature };
            Message::Propose(Propose { header, ..propose.clone() })
        }
        Message::Vote(vote) => {
            let statement =
                VoteStatement { epoch, digest: forge::other_digest(vote.vote.digest), ..vote.vote };
            Message::Vote(Vote { vote: statement, signature: sign(&Statement::Vote(statement)), ..*vote })
        }
        Message::ViewChange(change) => {
            let mut change = (**change).clone();
            change.epoch = epoch;
            change.signature = sign(&change.statement());
            Message::ViewChange(Arc::new(change))
        }
        Message::CheckpointVote(vote) => {
            let checkpoint = CheckpointStatement { epoch, ..vote.checkpoint };
            let signature = sign(&Statement::Checkpoint(checkpoint));
            Message::CheckpointVote(CheckpointVote { checkpoint, signature, ..*vote })
        }
        _ => return None,
    })
}

impl Adversary for CrossClusters {
    fn name(&self) -> &'static str {
        "cross_clusters"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let is_epoch = cx.chance(50);
        if let Some(lie) = elsewhere(cx, &message, is_epoch) {
            cx.send(to, lie);
            cx.fired();
        }
        cx.send(to, message);
    }
}
