//! `bad_checkpoint_digest`: vouches for states and results that nobody has.
//!
//! Must hold: no certificate names a wrong root, and no honest replica stops because of f wrong roots.

use quorate_types::message::{CheckpointVote, Message, Vote};
use quorate_types::{CheckpointStatement, Height, ReplicaId, Statement};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Signs one wrong state root at every checkpoint and claims wrong result roots.
#[derive(Debug)]
pub struct BadCheckpointDigest;

/// Tells the same wrong root to everybody.
#[must_use]
pub const fn bad_checkpoint_digest() -> BadCheckpointDigest {
    BadCheckpointDigest
}

impl Adversary for BadCheckpointDigest {
    fn name(&self) -> &'static str {
        "bad_checkpoint_digest"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let lie = match &message {
            Message::CheckpointVote(vote) => {
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
