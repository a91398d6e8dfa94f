//! What happens in a run? A plan is data: a seed generates it, it is stored as JSON, and running it
//! again gives the same run.

use quorate_attack::{Attack, Spec};
use serde::{Deserialize, Serialize};

use crate::clients::Workload;
use crate::combinations::combine;
use crate::costs::{Costs, Span};
use crate::episodes::{draw_faults, victims};
use crate::faults::TimedFault;
use crate::network::NetworkParameters;
use crate::setup::{Bounds, CLIENTS_MAX, Crypto};
use crate::stream::Stream;

/// Everything that decides a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The seed of every random stream.
    pub seed: u64,
    /// How many replicas there are.
    pub replicas: u16,
    /// How they sign.
    pub crypto: Crypto,
    /// Parameters of the protocol.
    pub bounds: Bounds,
    /// What clients ask for.
    pub workload: Workload,
    /// How the network behaves until it heals.
    pub network: NetworkParameters,
    /// What local work costs.
    pub costs: Costs,
    /// How far each replica's clock is ahead, in microseconds.
    pub skews_us: Vec<u64>,
    /// The replicas that lie, from the start to the end.
    pub byzantine: Vec<Traitor>,
    /// Whether each of them hears what any of them hears.
    #[serde(default)]
    pub colluding: bool,
    /// What goes wrong and when; the last one is [`crate::Fault::Heal`].
    pub faults: Vec<TimedFault>,
}

/// A replica that lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traitor {
    /// Which.
    pub replica: u16,
    /// What it does, as text: see [`Spec`].
    pub attack: Spec,
}

/// Which attacks a seed may choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttackChoice {
    /// Any, or none at all.
    All,
    /// Always this one.
    One(Spec),
    /// No replica lies.
    None,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn generate(seed: u64, replicas: u16, crypto: Crypto, attacks: &AttackChoice) -> Self {
        let mut random = Stream::new(seed, "plan");
        let mut byzantine = draw_traitors(&mut random, replicas, attacks);
        let mut combining = Stream::new(seed, "attack combinations");
        if *attacks == AttackChoice::All {
            combine(&mut combining, replicas, &mut byzantine);
        }
        let heal_us = random.between(200_000, 500_000);
        let traitors = byzantine.iter().map(|traitor| traitor.replica).collect();
        let faults = draw_faults(seed, replicas, heal_us, traitors);
        let has_spare = byzantine.len() + victims(&faults).len() < liars_max(replicas);
        let workload = draw_workload(&mut random, replicas, has_spare);
        let skew_us = random.pick(&[0, 1000, 50_000]);
        Self {
            seed,
            replicas,
            crypto,
            bounds: draw_bounds(&mut random),
            workload,
            network: draw_network(&mut random),
            costs: draw_costs(&mut random),
            skews_us: (0..replicas).map(|_| random.below(skew_us + 1)).collect(),
            colluding: byzantine.len() > 1 && combining.chance(300),
            byzantine,
            faults,
        }
    }
}

/// The greatest number of liars that a cluster of this size survives.
pub(crate) const fn liars_max(replicas: u16) -> usize {
    (replicas as usize - 1) / 3
}

fn draw_traitors(random: &mut Stream, replicas: u16, attacks: &AttackChoice) -> Vec<Traitor> {
    let count = match attacks {
        AttackChoice::None => 0,
        AttackChoice::All if random.chance(300) => 0,
        _ => 1 + random.index(liars_max(replicas)),
    };
    let mut others: Vec<u16> = (0..replicas).collect();
    random.shuffle(&mut others);
    let mut traitors = Vec::new();
    for (index, other) in others.into_iter().enumerate().take(count) {
        let attack = match attacks {
            AttackChoice::One(attack) => attack.clone(),
            _ => random.pick(Attack::ALL).into(),
        };
        // The primaries of the first views do the most harm, and some attacks need to be primary.
        let is_early = index == 0 && (attack.is_primary_attack() || random.chance(700));
        let replica = if is_early { random.pick(&[0, 0, 0, 1]) } else { other };
        if !traitors.iter().any(|known: &Traitor| known.replica == replica) {
            traitors.push(Traitor { replica, attack });
        }
    }
    traitors
}

fn draw_bounds(random: &mut Stream) -> Bounds {
    let (window, blocks_in_flight_max) = (random.pick(&[8, 16, 64]), random.pick(&[2, 8, 32, 32]));
    Bounds { checkpoint_interval: 4, window, blocks_in_flight_max }
}

/// A client needs Q replicas to open a session, so it may miss one only where no more than f are
/// missing or lying for it. It never reaches that one, not even after healing. Where each replica is
/// behind somebody's wall, some requests reach the primary through others only.
fn draw_workload(random: &mut Stream, replicas: u16, has_spare: bool) -> Workload {
    let is_walled_everywhere = has_spare && usize::from(replicas) <= CLIENTS_MAX && random.chance(60);
    let clients = if is_walled_everywhere { usize::from(replicas) } else { random.pick(&[1, 2, 2, 3]) };
    let (burst, requests) = random.pick(&[(1, 20_u32), (1, 20), (1, 20), (4, 40)]);
    let is_behind_a_wall = has_spare && random.chance(200);
    let walls = (0..clients).zip(0..replicas).collect();
    let wall = (random.index(clients), u16::try_from(random.below(u64::from(replicas))).unwrap_or(0));
    Workload {
        clients,
        requests: requests.div_ceil(clients as u32),
        burst,
        think_min_us: 0,
        think_max_us: random.pick(&[0, 4_000, 10_000, 30_000]),
        unreachable: match (is_walled_everywhere, is_behind_a_wall) {
            (true, _) => walls,
            (false, true) => vec![wall],
            (false, false) => Vec::new(),
        },
    }
}

pub(crate) fn draw_network(random: &mut Stream) -> NetworkParameters {
    let (latency_min_us, latency_max_us) = random.pick(&[(500, 500), (200, 1000), (100, 3000), (1000, 4000)]);
    let (straggler, straggler_us) = random.pick(&[(0, 0), (0, 0), (20, 20_000), (50, 60_000)]);
    NetworkParameters {
        latency_min_us,
        latency_max_us,
        straggler,
        straggler_us,
        loss: random.pick(&[0, 0, 0, 5, 20, 80]),
        duplication: random.pick(&[0, 0, 10, 100]),
        is_ordered: random.chance(300),
    }
}

pub(crate) fn draw_costs(random: &mut Stream) -> Costs {
    Costs {
        sync_us: random.pick(&[Span(0, 0), Span(50, 300), Span(50, 300), Span(200, 3000)]),
        verify_us: random.pick(&[Span(0, 0), Span(0, 50), Span(0, 500)]),
        execute_us: random.pick(&[Span(0, 0), Span(10, 200), Span(0, 3000)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn a_plan_is_data() {
        for seed in 0..50 {
            let plan = Plan::generate(seed, 4, Crypto::Fast, &AttackChoice::All);
            assert_eq!(plan, Plan::generate(seed, 4, Crypto::Fast, &AttackChoice::All));
            let json = serde_json::to_string(&plan).expect("a plan is plain data");
            assert_eq!(plan, serde_json::from_str(&json).expect("it reads what it wrote"));
        }
    }

    #[test]
    fn a_plan_from_before_traitors_colluded_is_still_one() {
        let plan = Plan::generate(3, 4, Crypto::Fast, &AttackChoice::One(Attack::Silent.into()));
        let mut json = serde_json::to_value(&plan).expect("a plan is plain data");
        json.as_object_mut().expect("an object").remove("colluding");
        json["byzantine"][0]["attack"] = "equivocate_votes".into();
        let read: Plan = serde_json::from_value(json).expect("an old plan");
        assert!(read.validate().is_ok() && !read.colluding);
    }

    #[test]
    fn no_plan_has_more_liars_than_the_cluster_survives() {
        for (seed, replicas) in (0..600).zip([4, 7, 10].into_iter().cycle()) {
            let plan = Plan::generate(seed, replicas, Crypto::Fast, &AttackChoice::All);
            let mut faulty = victims(&plan.faults);
            faulty.extend(plan.byzantine.iter().map(|traitor| traitor.replica));
            assert!(faulty.len() <= liars_max(replicas), "seed {seed}");
            assert_eq!(plan.faults.last().map(|timed| &timed.fault), Some(&Fault::Heal));
            assert_eq!(plan.validate(), Ok(()), "seed {seed}");
        }
    }
}
