//! What surrounds the replicas of a test, and what goes wrong there by itself? It comes from the seed and is data.

use serde::{Deserialize, Serialize};

use crate::costs::Costs;
use crate::episodes::draw_surroundings;
use crate::faults::TimedFault;
use crate::network::NetworkParameters;
use crate::plan::{draw_costs, draw_network};
use crate::sim::LATENCY;
use crate::stream::Stream;

/// What goes wrong around the replicas of a test, besides what the test does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// Nothing: every message takes a millisecond, nothing else takes any time.
    None,
    /// Messages are late, lost, doubled and overtake each other; local work takes time; clocks differ.
    #[default]
    Network,
    /// All of that; and links are cut for a while, replicas are killed or lose power, one or all of them, disks fill up,
    /// fail or slow down, and somebody is cut off for so long that it needs a state. Everything that replicas must survive in
    /// any number: no disk is lost. A proof is not to be had in every run: what a traitor says may reach nobody.
    All,
}

/// What surrounds the replicas of one run. [`crate::Sim::heal`] ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// How the network behaves.
    pub network: NetworkParameters,
    /// What local work costs.
    pub costs: Costs,
    /// How far each replica's clock is ahead, in microseconds; 0 where the list ends.
    pub skews_us: Vec<u64>,
    /// What goes wrong and when, in the first second, mostly in its first half. All of it ends by itself, but for a failure
    /// that waits for an operation of a disk which comes late: its replica is down until [`crate::Sim::heal`].
    pub faults: Vec<TimedFault>,
}

impl Environment {
    /// Nothing goes wrong.
    #[must_use]
    pub fn quiet() -> Self {
        let latency_us = u64::try_from(LATENCY.as_micros()).unwrap_or(u64::MAX);
        let network = NetworkParameters::quiet(latency_us);
        Self { network, costs: Costs::default(), skews_us: Vec::new(), faults: Vec::new() }
    }

    /// The environment of a seed.
    #[must_use]
    pub fn generate(seed: u64, replicas: u16, faults: Faults) -> Self {
        if faults == Faults::None {
            return Self::quiet();
        }
        let mut random = Stream::new(seed, "environment");
        let skew_us = random.pick(&[0, 1000, 50_000]);
        Self {
            network: draw_network(&mut random),
            costs: draw_costs(&mut random),
            skews_us: (0..replicas).map(|_| random.below(skew_us + 1)).collect(),
            faults: if faults == Faults::All { draw_surroundings(seed, replicas) } else { Vec::new() },
        }
    }
}
