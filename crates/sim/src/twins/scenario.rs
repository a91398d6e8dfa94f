//! What is a scenario? Data that a person can read and write, and a number for each scenario of three rounds.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How many scenarios of three rounds there are.
pub const SCENARIOS: u64 = CHOICES.pow(ROUNDS);
/// The rounds of a numbered scenario.
const ROUNDS: u32 = 3;
/// What one round may be: the primary, and in which part each instance but the first is.
const CHOICES: u64 = REPLICAS as u64 * PARTITIONS;
const PARTITIONS: u64 = 1 << (INSTANCES - 1);
/// How many replicas there are.
pub(super) const REPLICAS: u16 = 4;
const INSTANCES: u8 = 5;
/// Most rounds of a scenario.
const ROUNDS_MAX: usize = 8;

/// What happens to four replicas of which the first is two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One view after the other; then all heals.
    pub rounds: Vec<Round>,
}

/// One view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// Who leads it: replica 0 means both twins.
    pub primary: u16,
    /// Who hears whom: each instance is in one of the parts.
    pub parts: [Vec<Instance>; 2],
}

/// A machine: `"0"` and `"0'"` are the twins, `"1"` to `"3"` the honest replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instance(u8);

impl Instance {
    /// The first of the twins.
    pub const FIRST: Self = Self(0);
    /// The second of the twins.
    pub const SECOND: Self = Self(INSTANCES - 1);

    /// The replica whose key it has.
    #[must_use]
    pub const fn replica(self) -> u16 {
        if self.0 == Self::SECOND.0 { 0 } else { self.0 as u16 }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::SECOND { f.write_str("0'") } else { write!(f, "{}", self.0) }
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.to_string()
    }
}

impl TryFrom<String> for Instance {
    type Error = BadScenario;

    fn try_from(name: String) -> Result<Self, BadScenario> {
        let mut all = (0..INSTANCES).map(Self);
        all.find(|instance| instance.to_string() == name).ok_or(BadScenario::UnknownInstance(name))
    }
}

/// Why a scenario cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadScenario {
    /// There is no such machine.
    UnknownInstance(String),
    /// There is no such replica.
    UnknownPrimary(u16),
    /// The parts of this round do not hold each machine once.
    Parts(usize),
    /// No round, or too many.
    Rounds(usize),
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownInstance(name) => write!(f, "there is no machine `{name}`: 0, 0', 1, 2 and 3 are"),
            Self::UnknownPrimary(primary) => write!(f, "there is no replica {primary}: 0, 1, 2 and 3 are"),
            Self::Parts(round) => {
                write!(f, "the parts of round {round} do not have each of 0, 0', 1, 2 and 3 once")
            }
            Self::Rounds(rounds) => write!(f, "there are 1 to {ROUNDS_MAX} rounds, not {rounds}"),
        }
    }
}

impl std::error::Error for BadScenario {}

impl Scenario {
    /// The scenario of three rounds with this number.
    ///
    /// # Panics
    /// If it is not below [`SCENARIOS`].
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        assert!(number < SCENARIOS, "there are {SCENARIOS} scenarios");
        let round = |round| {
            let choice = number / CHOICES.pow(round) % CHOICES;
            let (primary, apart) = (choice / PARTITIONS, choice % PARTITIONS);
            let is_apart = |instance: &Instance| instance.0 > 0 && apart >> (instance.0 - 1) & 1 == 1;
            let (second, first) = (0..INSTANCES).map(Instance).partition(is_apart);
            Round { primary: primary as u16, parts: [first, second] }
        };
        Self { rounds: (0..ROUNDS).map(round).collect() }
    }

    /// Whether no scenario with a lower number is the same but for the names of the honest replicas and which of the
    /// twins is called the first.
    ///
    /// Machines that are named otherwise act at another place in a crowd of equal times, and lead other views after
    /// healing, so that skipping the others loses a little.
    #[must_use]
    pub fn is_lowest(number: u64) -> bool {
        let renamed = |names: [u8; INSTANCES as usize]| {
            (0..ROUNDS).rev().fold(0, |sum, round| {
                let choice = number / CHOICES.pow(round) % CHOICES;
                let (primary, apart) = (choice / PARTITIONS, choice % PARTITIONS);
                let mut bits = (0..INSTANCES).fold(0, |bits, instance| {
                    let is_apart = instance > 0 && apart >> (instance - 1) & 1 == 1;
                    bits | u64::from(is_apart) << names[usize::from(instance)]
                });
                // The first of the twins is never apart.
                if bits & 1 == 1 {
                    bits = !bits & ((1 << INSTANCES) - 1);
                }
                let primary = if primary == 0 { 0 } else { u64::from(names[primary as usize]) };
                sum * CHOICES + primary * PARTITIONS + (bits >> 1)
            })
        };
        let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
        let twins = [(0, 4), (4, 0)];
        let mut names =
            orders.iter().flat_map(|[a, b, c]| twins.map(|(first, second)| [first, *a, *b, *c, second]));
        names.all(|names| renamed(names) >= number)
    }

    /// Whether it can run.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn validate(&self) -> Result<(), BadScenario> {
        if !(1..=ROUNDS_MAX).contains(&self.rounds.len()) {
            return Err(BadScenario::Rounds(self.rounds.len()));
        }
        for (place, round) in self.rounds.iter().enumerate() {
            if round.primary >= REPLICAS {
                return Err(BadScenario::UnknownPrimary(round.primary));
            }
            let mut all: Vec<Instance> = round.parts.iter().flatten().copied().collect();
            all.sort_unstable();
            if !all.into_iter().eq((0..INSTANCES).map(Instance)) {
                return Err(BadScenario::Parts(place));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_name_all_scenarios_once() {
        assert_eq!(SCENARIOS, 262_144);
        let one_round = |number: u64| serde_json::to_string(&Scenario::numbered(number).rounds[0]).unwrap();
        assert_eq!((0..CHOICES).map(one_round).collect::<BTreeSet<_>>().len(), 64);
        for number in [0, 1, 63, 64, 4097, SCENARIOS - 1] {
            assert_eq!(Scenario::numbered(number).validate(), Ok(()));
        }
        let text = serde_json::to_string(&Scenario::numbered(SCENARIOS - 1).rounds[2]).unwrap();
        assert_eq!(text, r#"{"primary":3,"parts":[["0"],["1","2","3","0'"]]}"#);
    }

    #[test]
    fn of_scenarios_that_are_the_same_one_is_the_lowest() {
        let lowest = (0..SCENARIOS).filter(|number| Scenario::is_lowest(*number)).count();
        // A twelfth of all, and a little more, as some scenarios are their own images.
        assert_eq!(lowest, 25_740);
    }

    #[test]
    fn what_cannot_run_says_why() {
        let mut scenario = Scenario::numbered(5);
        scenario.rounds[1].parts[0].clear();
        assert_eq!(scenario.validate(), Err(BadScenario::Parts(1)));
        scenario.rounds[0].primary = 4;
        assert_eq!(scenario.validate(), Err(BadScenario::UnknownPrimary(4)));
        assert!(serde_json::from_str::<Instance>("\"1'\"").is_err());
        assert_eq!(Scenario { rounds: Vec::new() }.validate(), Err(BadScenario::Rounds(0)));
    }
}
