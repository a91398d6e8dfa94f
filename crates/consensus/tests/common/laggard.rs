//! A replica that was away for so long that nobody has the blocks that it lacks.

use super::{Cluster, Envelope, id};
use quorate_consensus::{Event, Input};
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{Authenticated, Digest, Height, Rejection};
use std::collections::VecDeque;
use std::time::Duration;

/// The replica that is behind in the tests of state transfer.
pub const LAGGARD: usize = 3;

impl Cluster {
    /// Replica 3 knows two blocks; the three others have 50 and the state after 48.
    pub fn with_laggard() -> Self {
        Self::without_history(4).leaving_behind()
    }

    pub fn leaving_behind(mut self) -> Self {
        self.run_requests(1..=2);
        self.run_until(5, |_| false);
        self.stop(LAGGARD);
        self.run_requests(3..=50);
        self.run_until(5, |_| false);
        self.restart(LAGGARD);
        self
    }

    pub fn fetching(&self, i: usize) -> Vec<Height> {
        let of = |event: &Event| if let Event::Fetching(height) = event { Some(*height) } else { None };
        self.hosts[i].events.iter().filter_map(of).collect()
    }

    pub fn installed(&self, i: usize) -> Vec<Height> {
        let of = |event: &Event| if let Event::Installed(height, _) = event { Some(*height) } else { None };
        self.hosts[i].events.iter().filter_map(of).collect()
    }

    /// Whether the laggard has a state of the others, and everything above it.
    pub fn has_caught_up(&self) -> bool {
        !self.installed(LAGGARD).is_empty()
            && self.committed(LAGGARD) == self.committed(1)
            && self.hosts[LAGGARD].root == self.hosts[1].root
    }

    /// For what the laggard refused messages of a peer.
    pub fn refused_of(&self, liar: usize) -> Vec<Rejection> {
        let of = |(peer, why): &(quorate_consensus::Peer, Rejection)| {
            (*peer == quorate_consensus::Peer::Replica(id(liar))).then_some(*why)
        };
        self.hosts[LAGGARD].rejections.iter().filter_map(of).collect()
    }

    /// Rounds of one millisecond in which the chunks of the peers for which `is_slow` arrive so much later.
    pub fn run_slow(
        &mut self,
        rounds: usize,
        late: Duration,
        is_slow: impl Fn(usize) -> bool,
        done: impl Fn(&Self) -> bool,
    ) -> Option<usize> {
        let mut held = VecDeque::new();
        for round in 0..rounds {
            if done(self) {
                return Some(round);
            }
            let due = self.now.after(late);
            self.round_by(|e| {
                if is_chunk(&e.message) && is_slow(e.from.index()) {
                    held.push_back((due, e.clone()));
                    return Vec::new();
                }
                vec![e.message.clone()]
            });
            while held.front().is_some_and(|(due, _)| *due <= self.now)
                && let Some((_, Envelope { from, to, message })) = held.pop_front()
            {
                self.give(to.index(), Input::Message(Authenticated::from_channel(from, message)));
            }
            self.pass(Duration::from_millis(1));
        }
        None
    }
}

pub fn is_chunk(message: &Message) -> bool {
    matches!(message, Message::Data(Data::Chunk(_)))
}

/// The chunks that a message asks for.
pub fn asked_for(message: &Message) -> Vec<Digest> {
    match message {
        Message::Fetch(Fetch::Chunks(digests)) => digests.to_vec(),
        _ => Vec::new(),
    }
}
