//! When does a message arrive, if at all? Latency, loss, duplication, reordering and cuts.

use quorate_types::ReplicaId;
use serde::{Deserialize, Serialize};

use crate::stream::Stream;

/// How the links behave. Times in microseconds, chances in parts per thousand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParameters {
    /// The least latency.
    pub latency_min_us: u64,
    /// The most latency of a message that is not a straggler. Latencies are spread evenly.
    pub latency_max_us: u64,
    /// How many messages are stragglers.
    pub straggler: u32,
    /// By how many microseconds a straggler is late at most.
    pub straggler_us: u64,
    /// How many messages are lost.
    pub loss: u32,
    /// How many messages arrive twice.
    pub duplication: u32,
    /// Whether messages of one link keep their order, as on a stream.
    pub is_ordered: bool,
}

impl NetworkParameters {
    /// A network without chance: every message takes equally long, so that a time divided by the
    /// latency is a number of message delays.
    #[must_use]
    pub const fn quiet(latency_us: u64) -> Self {
        Self {
            latency_min_us: latency_us,
            latency_max_us: latency_us,
            straggler: 0,
            straggler_us: 0,
            loss: 0,
            duplication: 0,
            is_ordered: true,
        }
    }

    /// The same network once it has healed: nothing is lost and nothing is late.
    #[must_use]
    pub const fn healed(&self) -> Self {
        Self { loss: 0, duplication: 0, straggler: 0, straggler_us: 0, ..Self { ..*self } }
    }
}

/// When the copies of one message arrive; `None` for a copy that does not.
pub(crate) type Arrivals = [Option<u64>; 2];

/// The links between replicas, and between clients and replicas.
#[derive(Debug)]
pub(crate) struct Network {
    parameters: NetworkParameters,
    replicas: usize,
    /// Whether the link from row to column carries nothing.
    cut: Vec<bool>,
    /// The last arrival on each link, where links keep the order.
    last: Vec<u64>,
    random: Stream,
    client_random: Stream,
}

impl Network {
    pub(crate) fn new(replicas: usize, parameters: NetworkParameters, seed: u64) -> Self {
        Self {
            parameters,
            replicas,
            cut: vec![false; replicas * replicas],
            last: vec![0; replicas * replicas],
            random: Stream::new(seed, "network"),
            client_random: Stream::new(seed, "network of clients"),
        }
    }

    /// Sends a message from one replica to another.
    pub(crate) fn send(&mut self, now: u64, from: ReplicaId, to: ReplicaId) -> Arrivals {
        let link = self.link(from, to);
        if self.cut[link] || self.random.chance(self.parameters.loss) {
            return [None, None];
        }
        let mut arrival = now + latency(&self.parameters, &mut self.random);
        if self.parameters.is_ordered {
            arrival = arrival.max(self.last[link]);
            self.last[link] = arrival;
        }
        let is_doubled = self.random.chance(self.parameters.duplication);
        let second = is_doubled.then(|| arrival + latency(&self.parameters, &mut self.random));
        [Some(arrival), second]
    }

    /// Sends a message between a client and a replica. What opens a connection is not lost: a
    /// connection stands or does not.
    pub(crate) fn send_to_client(&mut self, now: u64, is_opening: bool) -> Option<u64> {
        if !is_opening && self.client_random.chance(self.parameters.loss) {
            return None;
        }
        Some(now + latency(&self.parameters, &mut self.client_random))
    }

    /// Cuts one direction of a link.
    pub(crate) fn cut(&mut self, from: ReplicaId, to: ReplicaId) {
        let link = self.link(from, to);
        self.cut[link] = true;
    }

    /// Restores all links.
    pub(crate) fn restore(&mut self) {
        self.cut.fill(false);
    }

    /// Replaces the parameters.
    pub(crate) fn become_like(&mut self, parameters: NetworkParameters) {
        self.parameters = parameters;
    }

    pub(crate) const fn parameters(&self) -> &NetworkParameters {
        &self.parameters
    }

    const fn link(&self, from: ReplicaId, to: ReplicaId) -> usize {
        from.index() * self.replicas + to.index()
    }
}

/// Nanoseconds that a message takes.
fn latency(parameters: &NetworkParameters, random: &mut Stream) -> u64 {
    let (low, high) = (parameters.latency_min_us * 1000, parameters.latency_max_us * 1000);
    let usual = if low == high { low } else { random.between(low, high) };
    if random.chance(parameters.straggler) {
        return usual + random.below(parameters.straggler_us * 1000);
    }
    usual
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId(0);
    const B: ReplicaId = ReplicaId(1);

    fn network(parameters: NetworkParameters) -> Network {
        Network::new(4, parameters, 1)
    }

    #[test]
    fn a_quiet_network_takes_one_latency() {
        let mut network = network(NetworkParameters::quiet(1000));
        assert_eq!(network.send(5, A, B), [Some(1_000_005), None]);
    }

    #[test]
    fn a_cut_has_a_direction_and_ends() {
        let mut network = network(NetworkParameters::quiet(1));
        network.cut(A, B);
        assert_eq!(network.send(0, A, B), [None, None]);
        assert!(network.send(0, B, A)[0].is_some());
        network.restore();
        assert!(network.send(0, A, B)[0].is_some());
    }

    #[test]
    fn messages_are_lost_doubled_and_overtake_each_other() {
        let mut wild = NetworkParameters { loss: 300, duplication: 300, ..NetworkParameters::quiet(1000) };
        (wild.latency_max_us, wild.is_ordered) = (9000, false);
        let mut network = network(wild);
        let sent: Vec<Arrivals> = (0..300).map(|_| network.send(0, A, B)).collect();
        assert!(sent.contains(&[None, None]));
        assert!(sent.iter().any(|arrivals| arrivals[1].is_some()));
        let first: Vec<u64> = sent.iter().filter_map(|arrivals| arrivals[0]).collect();
        assert!(!first.is_sorted());
    }

    #[test]
    fn an_ordered_link_keeps_the_order() {
        let mut network = network(NetworkParameters { latency_max_us: 9000, ..NetworkParameters::quiet(10) });
        let arrivals: Vec<u64> = (0..100).filter_map(|_| network.send(0, A, B)[0]).collect();
        assert!(arrivals.is_sorted());
    }
}
