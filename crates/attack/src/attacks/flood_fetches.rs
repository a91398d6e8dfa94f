//! `flood_fetches`: asks everybody for everything, all the time.
//!
//! Must hold: one peer waits for a bounded number of chunks, gets heads at a bounded pace, and keeps no other peer from
//! its turn; whatever it asks for, nothing is kept for it.

use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{Digest, Height, ReplicaId, Time, View};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge;

/// Asks without end.
#[derive(Debug)]
pub struct FloodFetches {
    rate: u64,
    /// The last block that it heard of, to ask for what is there.
    known: (Height, Digest),
    /// When each replica may be flooded again: answers make the machine tell its status, which must not feed the flood
    /// faster than time passes.
    pauses: BTreeMap<ReplicaId, Time>,
}

/// Between two handfuls of questions for one replica.
const PAUSE: Duration = Duration::from_millis(1);

/// Adds eight questions to each status.
#[must_use]
pub const fn flood_fetches() -> FloodFetches {
    FloodFetches { rate: 8, known: (Height(0), Digest([0; 32])), pauses: BTreeMap::new() }
}

impl FloodFetches {
    /// Adds so many instead.
    #[must_use]
    pub fn rate(self, rate: u64) -> Self {
        Self { rate, ..self }
    }

    fn question(&self, cx: &mut Cx<'_>, stable: Height) -> Fetch {
        let digests = (0..64_u8).map(|number| forge::other_digest(Digest([number; 32])));
        match cx.draw(7) {
            0 => Fetch::Header(self.known.0, self.known.1),
            1 => Fetch::Blocks(Limited::take(std::iter::repeat_n(self.known, 16))),
            2 => Fetch::Chain(Height(0)),
            3 => Fetch::View(View(0)),
            4 => Fetch::State(stable),
            5 => Fetch::Status,
            _ => Fetch::Chunks(Limited::take(digests)),
        }
    }
}

impl Adversary for FloodFetches {
    fn name(&self) -> &'static str {
        "flood_fetches"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let stable = if let Message::Status(status) = &message { Some(status.stable) } else { None };
        cx.send(to, message);
        let Some(stable) = stable else { return };
        if self.pauses.get(&to).is_some_and(|until| cx.now() < *until) {
            return;
        }
        self.pauses.insert(to, cx.now().after(PAUSE));
        for _ in 0..self.rate {
            let question = self.question(cx, stable);
            cx.send(to, Message::Fetch(question));
            cx.fired();
        }
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        if let Message::Vote(vote) = message {
            self.known = (vote.vote.height, vote.vote.digest);
        }
        // The answers to these questions are of no use to the machine, and statuses it gets anyhow.
        let is_answer = matches!(message, Message::Data(Data::Absent(_)));
        if is_answer { Verdict::Drop } else { Verdict::Deliver }
    }
}
