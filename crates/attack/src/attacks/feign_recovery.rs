//! `feign_recovery`: says in its statuses that it lost its disk, and votes all the same; to others it says that it did not.
//!
//! Must hold: whether a replica recovers is its own word and moves no one else's view; its votes count because they
//! are signed, and who really recovers waits for Q others that do not.

use quorate_types::ReplicaId;
use quorate_types::message::{Message, Status};

use crate::adversary::{Adversary, Cx};

/// Pretends to have no memory.
#[derive(Debug)]
pub struct FeignRecovery(());

/// Says of itself the contrary of the truth in two of three statuses.
#[must_use]
pub const fn feign_recovery() -> FeignRecovery {
    FeignRecovery(())
}

impl Adversary for FeignRecovery {
    fn name(&self) -> &'static str {
        "feign_recovery"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Status(truth) if cx.chance(67) => {
                let is_recovering = !truth.is_recovering;
                cx.send(to, Message::Status(Status { is_recovering, ..truth }));
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
}
