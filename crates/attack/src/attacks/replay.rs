//! `replay`: what was said is said again, later, twice, and to others.
//!
//! Must hold: a duplicate, a late or a misdirected message changes nothing, and costs its sender
//! at most a rejection.

use quorate_types::ReplicaId;
use quorate_types::message::Message;
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx, Verdict};

/// Most messages that are kept to be sent again.
const RECORDED_MAX: usize = 128;

/// Sends its own messages and others' signed statements again.
#[derive(Debug)]
pub struct Replay {
    percent: u64,
    recorded: VecDeque<Message>,
}

/// Sends an old message along with three of ten.
#[must_use]
pub const fn replay() -> Replay {
    Replay { percent: 30, recorded: VecDeque::new() }
}

impl Replay {
    /// Sends an old message along with so many of a hundred.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        Self { percent, ..self }
    }

    fn record(&mut self, cx: &mut Cx<'_>, message: &Message) {
        if self.recorded.len() < RECORDED_MAX {
            self.recorded.push_back(message.clone());
        } else {
            // Some old ones stay for long.
            let position = cx.draw(RECORDED_MAX as u64 * 4) as usize;
            if let Some(place) = self.recorded.get_mut(position) {
                *place = message.clone();
            }
        }
    }
}

impl Adversary for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.record(cx, &message);
        cx.send(to, message);
        if cx.chance(self.percent) {
            let position = cx.draw(self.recorded.len() as u64) as usize;
            let again = self.recorded[position].clone();
            if cx.chance(50) {
                cx.send(to, again);
            } else {
                let late = cx.timing().view_timeout_min * (1 + cx.draw(8) as u32) / 4;
                cx.send_after(late, to, again);
            }
            cx.fired();
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        // Statuses and fetches say nothing about the past.
        if !matches!(message, Message::Status(_) | Message::Fetch(_)) {
            self.record(cx, message);
        }
        Verdict::Deliver
    }
}
