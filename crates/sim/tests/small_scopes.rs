//! What do explorations of small scopes see? Seeded bugs, by Twins and by all states of the real machines.

use quorate_consensus::mutation::{Mutation, select};
use quorate_sim::exhaustive::{Scope, explore};
use quorate_sim::twins::{SCENARIOS, Scenario, run};

/// What Twins must see, each within this many scenarios.
const SEEN_BY_TWINS: [Mutation; 4] = [
    Mutation::PrimaryKeptOnFork,
    Mutation::FirstBlockFast,
    Mutation::FastQuorumMinusOne,
    Mutation::SlowQuorumMinusOne,
];
const SCENARIOS_MAX: usize = 3000;
/// Goes through all scenarios, as it has no divisor in common with their number, and mixes the rounds.
const STRIDE: u64 = 7919;

/// What all states of a scope must show.
const SEEN_BY_SCOPES: [(Mutation, fn() -> Scope); 4] = [
    (Mutation::FastQuorumMinusOne, || Scope::one_view(1)),
    (Mutation::FirstBlockFast, || Scope::two_views([1, 2])),
    (Mutation::SlowQuorumMinusOne, || Scope::two_views([1, 2])),
    (Mutation::BaseUnchecked, || Scope::two_views([1, 0])),
];

/// How many scenarios it takes to break a property, and which property.
fn hunt() -> Option<(usize, &'static str)> {
    let numbers =
        (0..SCENARIOS).map(|place| place * STRIDE % SCENARIOS).filter(|number| Scenario::is_lowest(*number));
    let mut outcomes = numbers.take(SCENARIOS_MAX).map(|number| run(&Scenario::numbered(number))).enumerate();
    outcomes.find_map(|(place, outcome)| Some((place + 1, outcome.violation?.property)))
}

#[test]
fn twins_see_seeded_bugs() {
    for mutation in SEEN_BY_TWINS {
        select(Some(mutation));
        let found = hunt();
        select(None);
        report(&format!("{mutation:?}: {found:?}"));
        assert!(found.is_some(), "{mutation:?} is not seen in {SCENARIOS_MAX} scenarios");
    }
}

#[test]
fn scopes_show_seeded_bugs() {
    for (mutation, scope) in SEEN_BY_SCOPES {
        select(Some(mutation));
        let part = explore(&scope());
        select(None);
        report(&format!("{mutation:?}: {} steps, {:?}", part.steps, part.violation));
        assert!(part.violation.is_some(), "{mutation:?} is not seen");
    }
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
