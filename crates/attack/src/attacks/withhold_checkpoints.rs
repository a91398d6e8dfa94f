//! `withhold_checkpoints`: vouches for no state and shows no checkpoint, so that the window does not move.
//!
//! Must hold: Q other replicas make checkpoints stable without it, and who lacks one gets it from them.

use quorate_types::message::{Data, Message, Status};
use quorate_types::{Height, ReplicaId};

use crate::adversary::{Adversary, Cx};

/// Keeps its checkpoints to itself.
#[derive(Debug)]
pub struct WithholdCheckpoints(());

/// Withholds every checkpoint vote and certificate, and says that it has none.
#[must_use]
pub const fn withhold_checkpoints() -> WithholdCheckpoints {
    WithholdCheckpoints(())
}

impl Adversary for WithholdCheckpoints {
    fn name(&self) -> &'static str {
        "withhold_checkpoints"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::CheckpointVote(_) | Message::Data(Data::Checkpoint(_)) => cx.fired(),
            Message::Status(truth) if truth.stable > Height(0) => {
                cx.send(to, Message::Status(Status { stable: Height(0), ..truth }));
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
}
