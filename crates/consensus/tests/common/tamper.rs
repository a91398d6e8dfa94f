//! A network that changes what it carries: how a Byzantine replica's answers are put into a run.

use super::{Cluster, Envelope, id};
use quorate_types::Authenticated;
use quorate_types::message::Message;
use std::time::Duration;

impl Cluster {
    /// As [`Cluster::round`]; `tamper` says what arrives in place of each message.
    pub fn round_by(&mut self, mut tamper: impl FnMut(&Envelope) -> Vec<Message>) {
        let sent: Vec<Envelope> = self.wire.drain(..).collect();
        for envelope in sent {
            for message in tamper(&envelope) {
                let message = Authenticated::from_channel(envelope.from, message);
                self.give(envelope.to.index(), quorate_consensus::Input::Message(message));
            }
        }
    }

    /// Rounds of one millisecond until `done`; gives how many there were, or `None` after `rounds`.
    pub fn run_by(
        &mut self,
        rounds: usize,
        mut tamper: impl FnMut(&Envelope) -> Vec<Message>,
        done: impl Fn(&Self) -> bool,
    ) -> Option<usize> {
        for round in 0..rounds {
            if done(self) {
                return Some(round);
            }
            self.round_by(&mut tamper);
            self.pass(Duration::from_millis(1));
        }
        done(self).then_some(rounds)
    }

    /// What `liar` says passes through `lie`, everything else as it is.
    pub fn run_with_liar(
        &mut self,
        liar: usize,
        rounds: usize,
        mut lie: impl FnMut(&Message) -> Vec<Message>,
        done: impl Fn(&Self) -> bool,
    ) -> Option<usize> {
        let tamper = |envelope: &Envelope| {
            if envelope.from == id(liar) { lie(&envelope.message) } else { vec![envelope.message.clone()] }
        };
        self.run_by(rounds, tamper, done)
    }

    /// The client's requests of these numbers, one block each, where `up` are the replicas that are to commit
    /// them.
    pub fn run_requests(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let primary = (0..self.hosts.len())
                .find(|i| self.hosts[*i].is_up && self.hosts[*i].replica.status().primary == id(*i))
                .expect("the primary is up");
            let before = self.commands(primary).len();
            self.request(primary, number);
            let is_done = |c: &Self| c.commands(primary).len() > before;
            assert!(self.run_until(2_000, is_done), "request {number}");
        }
    }
}
