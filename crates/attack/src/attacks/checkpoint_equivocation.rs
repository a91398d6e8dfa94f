//! `checkpoint_equivocation`: vouches for one state before some replicas and for another before others.
//!
//! Must hold: no two certificates of one height differ, no honest replica stops, and two checkpoint votes of one
//! height are evidence.

use quorate_types::message::{CheckpointVote, Message};
use quorate_types::{CheckpointStatement, Height, ReplicaId, Statement};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Signs several state roots for one checkpoint.
#[derive(Debug)]
pub struct CheckpointEquivocation {
    deceived: Option<(Height, Vec<ReplicaId>)>,
}

/// Tells a wrong root to a part of the replicas, and now and then both roots to one.
#[must_use]
pub const fn checkpoint_equivocation() -> CheckpointEquivocation {
    CheckpointEquivocation { deceived: None }
}

impl CheckpointEquivocation {
    fn is_deceived(&mut self, cx: &mut Cx<'_>, height: Height, to: ReplicaId) -> bool {
        if self.deceived.as_ref().is_none_or(|(drawn_for, _)| *drawn_for != height) {
            let others = cx.quorums().n() as u64 - 1;
            let count = 1 + cx.draw(others - 1) as usize;
            self.deceived = Some((height, cx.draw_others(count)));
        }
        self.deceived.as_ref().is_some_and(|(_, deceived)| deceived.contains(&to))
    }
}

impl Adversary for CheckpointEquivocation {
    fn name(&self) -> &'static str {
        "checkpoint_equivocation"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::CheckpointVote(vote) if self.is_deceived(cx, vote.checkpoint.height, to) => {
                let state_root = forge::other_digest(vote.checkpoint.state_root);
                let checkpoint = CheckpointStatement { state_root, ..vote.checkpoint };
                let signature = cx.sign(&Statement::Checkpoint(checkpoint));
                cx.send(to, Message::CheckpointVote(CheckpointVote { checkpoint, signature, ..vote }));
                if cx.chance(20) {
                    cx.send(to, Message::CheckpointVote(vote));
                }
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
}
