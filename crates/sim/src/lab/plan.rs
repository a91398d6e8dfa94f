//! What decides a run of a test, beside its body? A plan is data: it is stored as JSON, and the body under the same plan
//! gives the same run.

use quorate_attack::{Adversary, Combine as _};
use serde::{Deserialize, Serialize};

use crate::lab::{Environment, Faults};

/// The plan of one run of an attack test: its seed, its environment, and how much of the body takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestPlan {
    /// The test: its module and name.
    pub test: String,
    /// The property that it broke when it was saved, for whoever reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<String>,
    /// The seed of every random stream.
    pub seed: u64,
    /// How many replicas there are.
    pub replicas: u16,
    /// What surrounds them.
    pub environment: Environment,
    /// Which traitors of the body take part, in the order in which it turns them; all, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traitors: Option<Vec<TraitorPart>>,
    /// Which requests of the body take part, numbered from 0 in the order in which it makes them; all, if nothing is
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Vec<u32>>,
}

/// How much of a traitor takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraitorPart {
    /// Its number.
    pub replica: u16,
    /// The name of its attack.
    pub attack: String,
    /// The views in which it lies: from the first to before the second. Always, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<(u64, u64)>,
}

impl TestPlan {
    /// The plan of a seed.
    #[must_use]
    pub fn generate(test: &str, seed: u64, replicas: u16, faults: Faults) -> Self {
        let environment = Environment::generate(seed, replicas, faults);
        let (test, broke, traitors, requests) = (test.to_owned(), None, None, None);
        Self { test, broke, seed, replicas, environment, traitors, requests }
    }
}

impl TraitorPart {
    /// Whether it lies at all.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        self.views.is_none_or(|(begin, end)| begin < end)
    }

    /// What is left of an adversary.
    pub(crate) fn limit(&self, adversary: Box<dyn Adversary>) -> Option<Box<dyn Adversary>> {
        match self.views {
            None => Some(adversary),
            Some((begin, end)) if begin < end => Some(adversary.during(begin..end).into()),
            Some(_) => None,
        }
    }
}
