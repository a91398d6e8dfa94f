//! `lie_about_clock`: tells and echoes clocks that nobody has.
//!
//! Must hold: round trips are measured by the Q-th smallest, so that f liars neither raise timeouts nor wear them out, and
//! no arithmetic with foreign times overflows.

use quorate_types::message::{Message, ReplicaMessage, Status};
use quorate_types::{PublicKey, ReplicaId, Time};

use crate::adversary::{Adversary, Cx};

/// Draws its clocks.
#[derive(Debug)]
pub struct LieAboutClock(());

/// Other clocks in every status, and in what clients are told before they open a session.
#[must_use]
pub const fn lie_about_clock() -> LieAboutClock {
    LieAboutClock(())
}

fn any_time(cx: &mut Cx<'_>, near: Time) -> Time {
    let span = cx.timing().view_timeout_max;
    match cx.draw(4) {
        0 => Time(0),
        1 => Time(u64::MAX),
        2 => near.before(span),
        _ => near.after(span),
    }
}

impl Adversary for LieAboutClock {
    fn name(&self) -> &'static str {
        "lie_about_clock"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Status(truth) = message else { return cx.send(to, message) };
        let (echoed, _) = truth.echo.unwrap_or((truth.clock, 0));
        let echo = match cx.draw(4) {
            // A round trip that took no time, one that took for ever, one of a clock that was never told.
            0 => Some((echoed, u64::MAX)),
            1 => Some((echoed.before(cx.timing().view_timeout_max), 0)),
            2 => Some((any_time(cx, echoed), 0)),
            _ => truth.echo,
        };
        let clock = any_time(cx, truth.clock);
        cx.send(to, Message::Status(Status { clock, echo, ..truth }));
        cx.fired();
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        let lie = match message {
            ReplicaMessage::Welcome { epoch, clock, view } => {
                cx.fired();
                ReplicaMessage::Welcome { epoch, clock: any_time(cx, clock), view }
            }
            other => other,
        };
        cx.reply(client, lie);
    }
}
