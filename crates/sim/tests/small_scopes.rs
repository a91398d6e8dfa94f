//! What do explorations of small scopes see? Seeded bugs, by Twins and by all states of the real machines.

use quorate_consensus::mutation::{Mutation, select};
use quorate_sim::exhaustive::{Scope, explore};
use quorate_sim::twins::{SCENARIOS, Scenario, run};
use std::time::{Duration, Instant};

/// How long one bug is hunted in each way.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn survey() {
    for mutation in Mutation::ALL {
        select(Some(*mutation));
        let begin = Instant::now();
        let mut ran = 0;
        let mut found = None;
        for number in
            (0..SCENARIOS).map(|n| n * 7919 % SCENARIOS).filter(|number| Scenario::is_lowest(*number))
        {
            ran += 1;
            if let Some(violation) = run(&Scenario::numbered(number)).violation {
                found = Some((number, violation.property));
                break;
            }
            if begin.elapsed() > PATIENCE {
                break;
            }
        }
        println!("{mutation:?} twins {ran} {found:?}");
        for (name, scope) in Scope::all().into_iter().filter(|(name, _)| name.contains("view")) {
            let scope = Scope { seconds_max: 2, ..scope };
            let part = explore(&scope);
            if let Some(story) = part.violation {
                println!(
                    "{mutation:?} {name} {} s, {} machine states: {}",
                    part.seconds, part.machine_states, story[0]
                );
                break;
            }
        }
        select(None);
    }
}
