//! `refuse_clients`: takes part in the protocol and tells clients that nothing of theirs is taken.
//!
//! Must hold: a refusal is a hint and ends no call; an answer of W replicas does, whatever f others say.

use quorate_types::message::{ReplicaMessage, Reply};
use quorate_types::{Digest, PublicKey, Rejection};

use crate::adversary::{Adversary, Cx};

/// Withholds answers and refuses instead.
#[derive(Debug)]
pub struct RefuseClients {
    told: u64,
}

/// Refuses in place of each answer, for one reason after the other.
#[must_use]
pub const fn refuse_clients() -> RefuseClients {
    RefuseClients { told: 0 }
}

impl Adversary for RefuseClients {
    fn name(&self) -> &'static str {
        "refuse_clients"
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        let lie = match &message {
            ReplicaMessage::Reply(Reply { nonce, .. }) => {
                let place = (self.told % Rejection::ALL.len() as u64) as usize;
                let bundle = Digest::of_bytes(&nonce.to_le_bytes());
                ReplicaMessage::Refused { bundle, why: Rejection::ALL[place] }
            }
            ReplicaMessage::Refused { bundle, .. } => {
                ReplicaMessage::Refused { bundle: *bundle, why: Rejection::SessionExpired }
            }
            ReplicaMessage::Welcome { .. } => return cx.reply(client, message),
        };
        self.told += 1;
        cx.reply(client, lie);
        cx.fired();
    }
}
