//! Does the search find what is needed, and does it end?

use quorate_attack::Attack;
use quorate_types::View;
use std::time::Duration;

use super::{Budget, Shrink, lower, shrink, without};
use crate::faults::{Fault, TimedFault};
use crate::network::NetworkParameters;
use crate::plan::{AttackChoice, Plan};
use crate::setup::Crypto;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbers(Vec<u64>);

impl Shrink for Numbers {
    fn smaller(&self) -> Vec<Self> {
        let fewer = without(&self.0).into_iter();
        let lower = self.0.iter().enumerate().flat_map(|(index, number)| {
            lower(*number, 0).into_iter().map(move |lower| {
                let mut numbers = self.0.clone();
                numbers[index] = lower;
                numbers
            })
        });
        fewer.chain(lower).map(Self).collect()
    }
}

fn fails(numbers: &Numbers) -> bool {
    numbers.0.iter().any(|number| *number >= 17) && numbers.0.iter().any(|number| *number % 5 == 3)
}

#[test]
fn only_what_is_needed_is_left() {
    let first = Numbers((0..60).collect());
    let shrunk = shrink(first.clone(), Budget::default(), fails);
    assert!(shrunk.is_minimal);
    assert!(fails(&shrunk.value));
    assert!(!shrunk.value.smaller().iter().any(fails), "{:?} can be smaller", shrunk.value);
    assert!(shrunk.value.0.len() <= 2);
    assert_eq!(shrunk, shrink(first, Budget::default(), fails), "it is deterministic");
}

#[test]
fn a_search_ends_with_its_budget() {
    let first = Numbers((0..60).collect());
    let shrunk = shrink(first.clone(), Budget { runs: 3, ..Budget::default() }, fails);
    assert_eq!((shrunk.runs, shrunk.is_minimal), (3, false));
    let shrunk = shrink(first.clone(), Budget { time: Duration::ZERO, ..Budget::default() }, fails);
    assert_eq!((shrunk.value, shrunk.runs), (first, 0));
}

#[test]
fn parts_become_finer() {
    assert_eq!(without(&[1, 2, 3]), [vec![], vec![2, 3], vec![1, 3], vec![1, 2]]);
    assert_eq!(without::<u8>(&[]), Vec::<Vec<u8>>::new());
    assert_eq!(lower(12, 2), [2, 7, 10, 11]);
    assert_eq!(lower(2, 2), Vec::<u64>::new());
}

/// A traitor and a replica that loses power: what a failure might need.
fn needs_a_crash(plan: &Plan) -> bool {
    let Some(traitor) = plan.byzantine.first() else { return false };
    let is_crash = |timed: &TimedFault| matches!(timed.fault, Fault::Crash(id) if id != traitor.replica);
    plan.faults.iter().any(is_crash)
}

#[test]
fn a_plan_is_left_with_what_it_needs() {
    let plans = (0..).map(|seed| Plan::generate(seed, 10, Crypto::Real, &AttackChoice::All));
    for plan in plans.filter(needs_a_crash).take(20) {
        let seed = plan.seed;
        let shrunk = shrink(plan, Budget::default(), |candidate| {
            assert_eq!(candidate.validate(), Ok(()), "seed {seed}");
            needs_a_crash(candidate)
        });
        assert!(shrunk.is_minimal, "seed {seed}");
        let plan = shrunk.value;
        assert_eq!((plan.replicas, plan.faults_counted()), (4, 2), "seed {seed}: {plan:?}");
        assert_eq!((plan.crypto, plan.workload.requests), (Crypto::Fast, 1));
        assert_eq!(plan.network, NetworkParameters::quiet(1000));
        // Those that matter come first, at the very beginning.
        assert_eq!((plan.byzantine[0].replica, &plan.faults[0].fault), (0, &Fault::Crash(1)), "seed {seed}");
        assert!(plan.faults.iter().all(|timed| timed.at_us == 0), "seed {seed}: {plan:?}");
    }
}

#[test]
fn an_attack_is_left_with_the_views_that_it_needs() {
    let mut plan = Plan::generate(1, 4, Crypto::Fast, &AttackChoice::One(Attack::Replay.into()));
    plan.byzantine[0].attack = "replay&silent>delay".parse().expect("it is a spec");
    let is_needed = |plan: &Plan| {
        let mut parts = plan.byzantine.iter().flat_map(|traitor| traitor.attack.parts());
        parts.any(|part| {
            part.attack == Attack::Replay && part.views.is_none_or(|views| views.contains(View(5)))
        })
    };
    let shrunk = shrink(plan, Budget::default(), is_needed);
    assert_eq!(shrunk.value.byzantine[0].attack.to_string(), "replay@views=5..6");
}
