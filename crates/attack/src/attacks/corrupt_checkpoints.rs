//! `corrupt_checkpoints`: vouches for states and results that nobody has.
//!
//! Must hold: no certificate names a wrong root, no honest replica stops because of f wrong
//! roots, and two different checkpoint votes are evidence.

use quorate_types::message::{CheckpointVote, Message, Vote};
use quorate_types::{CheckpointStatement, Height, ReplicaId, Statement};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Signs wrong state roots and claims wrong result roots.
#[derive(Debug)]
pub struct CorruptCheckpoints {
    deceived: Option<(Height, Vec<ReplicaId>)>,
}

/// Tells the wrong root to all at some checkpoints and to a part of the replicas at others.
#[must_use]
pub const fn corrupt_checkpoints() -> CorruptCheckpoints {
    CorruptCheckpoints { deceived: None }
}

impl CorruptCheckpoints {
    fn is_deceived(&mut self, cx: &mut Cx<'_>, height: Height, to: ReplicaId) -> bool {
        if self.deceived.as_ref().is_none_or(|(drawn_for, _)| *drawn_for != height) {
            let others = cx.quorums().n() - 1;
            let count = if cx.chance(50) { others } else { 1 + cx.draw(others as u64 - 1) as usize };
            self.deceived = Some((height, cx.draw_others(count)));
        }
        self.deceived.as_ref().is_some_and(|(_, deceived)| deceived.contains(&to))
    }
}

impl Adversary for CorruptCheckpoints {
    fn name(&self) -> &'static str {
        "corrupt_checkpoints"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let lie = match &message {
            Message::CheckpointVote(vote) if self.is_deceived(cx, vote.checkpoint.height, to) => {
                let state_root = forge::other_digest(vote.checkpoint.state_root);
                let checkpoint = CheckpointStatement { state_root, ..vote.checkpoint };
                let signature = cx.sign(&Statement::Checkpoint(checkpoint));
                Message::CheckpointVote(CheckpointVote { checkpoint, signature, ..*vote })
            }
            Message::Vote(vote) if vote.executed > Height(0) => {
                Message::Vote(Vote { result_root: forge::other_digest(vote.result_root), ..*vote })
            }
            _ => return cx.send(to, message),
        };
        cx.send(to, lie);
        cx.fired();
    }
}
