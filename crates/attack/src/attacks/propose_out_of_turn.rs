//! `propose_out_of_turn`: proposes in views that others lead: a block of its own beside each of theirs.
//!
//! Must hold: a block counts only with the signature of its view's primary, on whatever channel it comes, so
//! nobody votes for it and nobody blames the true primary.

use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{Header, ReplicaId};
use std::time::Duration;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge;

/// Acts as primary in every view.
#[derive(Debug)]
pub struct ProposeOutOfTurn(());

/// Answers each proposal with one of its own, and sends that to all.
#[must_use]
pub const fn propose_out_of_turn() -> ProposeOutOfTurn {
    ProposeOutOfTurn(())
}

impl Adversary for ProposeOutOfTurn {
    fn name(&self) -> &'static str {
        "propose_out_of_turn"
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        // Two of them would never stop.
        if let Message::Propose(propose) = message
            && !cx.traitors().contains(&from)
        {
            let truth = propose.header.header;
            let time = truth.time.after(Duration::from_nanos(1));
            let header = match cx.draw(3) {
                // The next block on theirs, the same block, or one beside it.
                0 => Header { height: truth.height.next(), parent: truth.digest(), time, ..truth },
                1 => truth,
                _ => Header { time, ..truth },
            };
            let justify = if cx.chance(50) { propose.justify.clone() } else { Justify::None };
            let header = forge::signed_header(cx, header);
            let own = Message::Propose(Propose { header, justify, batch: propose.batch.clone() });
            for to in cx.others() {
                cx.send(to, own.clone());
            }
            cx.fired();
        }
        Verdict::Deliver
    }
}
