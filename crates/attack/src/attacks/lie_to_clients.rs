//! `lie_to_clients`: the protocol is kept, the answers are wrong.
//!
//! Must hold: f liars change nothing that a client sees, even if they tell one lie.

use quorate_types::limited::Limited;
use quorate_types::message::{Outcome, ReplicaMessage, Reply};
use quorate_types::{Height, PublicKey, RequestNumber};
use std::time::Duration;

use crate::adversary::{Adversary, Cx};

/// How far the clock is off that clients are told.
const CLOCK_LIE: Duration = Duration::from_secs(3600);

/// Tells clients wrong outcomes, heights, clocks and views.
#[derive(Debug)]
pub struct LieToClients(());

/// Lies in every answer. The lies follow from the truth alone, so liars agree with each other.
#[must_use]
pub const fn lie_to_clients() -> LieToClients {
    LieToClients(())
}

impl Adversary for LieToClients {
    fn name(&self) -> &'static str {
        "lie_to_clients"
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        let lie = match message {
            ReplicaMessage::Reply(reply) => ReplicaMessage::Reply(Reply {
                view: reply.view.plus(1),
                results: Limited::take(reply.results.into_vec().into_iter().map(lie)),
                ..reply
            }),
            ReplicaMessage::Welcome { epoch, clock, view } => {
                let clock = if view.0 % 2 == 0 { clock.after(CLOCK_LIE) } else { clock.before(CLOCK_LIE) };
                ReplicaMessage::Welcome { epoch, clock, view: view.plus(1) }
            }
            refused @ ReplicaMessage::Refused { .. } => return cx.reply(client, refused),
        };
        cx.reply(client, lie);
        cx.fired();
    }
}

fn lie((number, height, outcome): (RequestNumber, Height, Outcome)) -> (RequestNumber, Height, Outcome) {
    match (number.0 % 4, outcome) {
        (0, outcome) => (number, height.next(), outcome),
        (1, Outcome::Executed(_)) => (number, height, Outcome::SessionExpired),
        (2, Outcome::Executed(_)) => (number, height, Outcome::Executed(Vec::new())),
        (_, Outcome::Executed(mut reply)) => {
            reply.iter_mut().for_each(|byte| *byte ^= 1);
            reply.push(0);
            (number, height, Outcome::Executed(reply))
        }
        (_, _) => (number, height, Outcome::Executed(vec![0])),
    }
}
