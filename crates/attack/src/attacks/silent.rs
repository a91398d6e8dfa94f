//! `silent`: a replica that takes everything and says nothing.
//!
//! Must hold: the others go on at full speed if it is a backup, and replace it if it is primary.

use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId};

use crate::adversary::{Adversary, Cx};

/// Withholds every message and reply.
#[derive(Debug)]
pub struct Silent(());

/// A replica that says nothing.
#[must_use]
pub const fn silent() -> Silent {
    Silent(())
}

impl Adversary for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, _: ReplicaId, _: Message) {
        cx.fired();
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, _: PublicKey, _: ReplicaMessage) {
        cx.fired();
    }
}
