//! Twins: a small part of all scenarios, and what they are good for.

use quorate_sim::twins::{Scenario, Sweep, run};

/// Scenarios spread over all of them.
const STEP: u64 = 1021;

#[test]
fn scenarios_hold() {
    let (mut conflicts, mut contradictions, mut evidence, mut events, mut views, mut count) =
        (0, 0, 0, 0, 0, 0);
    let begin = std::time::Instant::now();
    for number in (0..quorate_sim::twins::SCENARIOS).step_by(STEP as usize) {
        let outcome = run(&Scenario::numbered(number));
        assert_eq!(outcome.violation, None, "scenario {number}");
        conflicts += u64::from(outcome.conflicts > 0);
        contradictions += u64::from(outcome.contradictions > 0);
        evidence += u64::from(outcome.evidence > 0);
        events += outcome.events;
        views += outcome.view_changes;
        count += 1;
    }
    println!("{count} {conflicts} {contradictions} {evidence} {events} {views} {:?}", begin.elapsed());
    let _ = Sweep::new(0..1, false);
}
