//! `starve_one`: one honest replica hears nothing of the traitor, ever, and all others everything.
//!
//! Must hold: the starved replica learns every commit from the others, gives up no view alone, and clients are
//! served as if nothing was.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx, Verdict};

/// Cuts one replica off.
#[derive(Debug)]
pub struct StarveOne {
    victim: Option<ReplicaId>,
}

/// Draws its victim once, and neither tells it anything nor answers it.
#[must_use]
pub const fn starve_one() -> StarveOne {
    StarveOne { victim: None }
}

impl StarveOne {
    /// Starves this one.
    #[must_use]
    pub const fn victim(self, victim: ReplicaId) -> Self {
        Self { victim: Some(victim) }
    }

    fn is_starved(&mut self, cx: &mut Cx<'_>, peer: ReplicaId) -> bool {
        if self.victim.is_none() {
            self.victim = cx.draw_others(1).first().copied();
        }
        self.victim == Some(peer)
    }
}

impl Adversary for StarveOne {
    fn name(&self) -> &'static str {
        "starve_one"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if self.is_starved(cx, to) {
            cx.fired();
        } else {
            cx.send(to, message);
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        // What it would have to answer it does not hear.
        let asks = matches!(message, Message::Fetch(_) | Message::Request(_));
        if asks && self.is_starved(cx, from) { Verdict::Drop } else { Verdict::Deliver }
    }
}
