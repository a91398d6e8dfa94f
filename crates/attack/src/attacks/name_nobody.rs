//! `name_nobody`: messages that name a replica which does not exist.
//!
//! Must hold: no number from outside is used as an index before it is known to be a member's.

use quorate_types::message::{CheckpointVote, Message, Wish};
use quorate_types::{Evidence, ReplicaId, Statement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Names numbers beyond the last replica's.
#[derive(Debug)]
pub struct NameNobody(());

/// Adds such a message of each kind that names a replica to each of its statuses.
#[must_use]
pub const fn name_nobody() -> NameNobody {
    NameNobody(())
}

fn nobody(cx: &mut Cx<'_>) -> ReplicaId {
    let members = u16::try_from(cx.quorums().n()).unwrap_or(u16::MAX);
    match cx.draw(3) {
        0 => ReplicaId(u16::MAX),
        1 => ReplicaId(members),
        _ => ReplicaId(members.saturating_add(u16::try_from(cx.draw(1000)).unwrap_or(0))),
    }
}

impl Adversary for NameNobody {
    fn name(&self) -> &'static str {
        "name_nobody"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let status = if let Message::Status(status) = &message { Some(*status) } else { None };
        cx.send(to, message);
        let Some(status) = status else { return };
        let replica = nobody(cx);
        let (epoch, view) = (status.epoch, status.view.next());
        let mut change = forge::view_change(cx, view, forge::genesis_certificate(cx), Vec::new());
        change.replica = replica;
        let vote = forge::invented_vote(cx, view, status.committed.0.next());
        let other = forge::invented_vote(cx, view, vote.height.next());
        let checkpoint = quorate_types::CheckpointStatement {
            epoch,
            height: status.stable.next(),
            block: vote.digest,
            state_root: other.digest,
        };
        let signed = |statement: Statement| (statement, cx.sign(&statement));
        let twice = quorate_types::VoteStatement { digest: other.digest, ..vote };
        let (first, second) = (signed(Statement::Vote(vote)), signed(Statement::Vote(twice)));
        let (_, signature) = signed(Statement::Wish { epoch, view });
        let lies = [
            Message::ViewChange(Arc::new(change)),
            Message::Wish(Wish { epoch, view, replica, signature }),
            Message::CheckpointVote(CheckpointVote { checkpoint, replica, signature }),
            Message::Evidence(Arc::new(Evidence { replica, first, second })),
        ];
        for lie in lies {
            cx.send(to, lie);
            cx.fired();
        }
    }
}
