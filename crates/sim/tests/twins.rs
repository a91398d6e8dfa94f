//! Twins: scenarios from all over the scope, the attack in ordinary runs, and a run that goes on where it was.

use quorate_attack::Attack;
use quorate_sim::Sim;
use quorate_sim::twins::{SCENARIOS, Scenario, Sweep, run};
use quorate_types::ReplicaId;

#[test]
fn scenarios_hold_and_twins_contradict_each_other() {
    let (mut conflicting, mut with_evidence) = (0, 0);
    for number in (0..SCENARIOS).step_by(6011) {
        let outcome = run(&Scenario::numbered(number));
        assert_eq!(outcome.violation, None, "scenario {number}");
        conflicting += u64::from(outcome.conflicts > 0 && outcome.contradictions > 0);
        with_evidence += u64::from(outcome.evidence > 0);
    }
    assert!(conflicting > 0 && with_evidence > 0, "{conflicting} {with_evidence}");
}

#[test]
fn a_scenario_replays_from_its_text() {
    let scenario = Scenario::numbered(70_000);
    let text = serde_json::to_string(&scenario).expect("it is data");
    let read: Scenario = serde_json::from_str(&text).expect("it was written so");
    let (first, second) = (run(&scenario), run(&read));
    assert_eq!(
        (first.events, first.commits, first.violation),
        (second.events, second.commits, second.violation)
    );
}

#[test]
fn a_sweep_does_nothing_twice() {
    let mut sweep = Sweep::new(0..3, false);
    let mut saved = None;
    sweep.run(|sweep| saved = Some(sweep.clone()));
    let mut again = saved.expect("a part was done");
    assert_eq!((again.totals.scenarios, again.done.len()), (3, 1));
    again.run(|_| panic!("nothing is left"));
    assert_eq!(again, sweep);
}

#[test]
fn twins_in_an_ordinary_cluster_happen_and_harm_nobody() {
    // Whether they get to contradict each other hangs on the sides that are drawn.
    let mut fired = 0;
    for seed in 0..8 {
        let mut sim = Sim::new(4, seed);
        sim.byzantine(ReplicaId(0), Attack::Twins);
        for command in 0..20 {
            sim.client("alice").submit(command);
            sim.run_until_done().expect("three honest replicas are enough");
        }
        fired += sim.fired(ReplicaId(0));
        assert!(sim.evidence().iter().all(|evidence| evidence.replica == ReplicaId(0)));
        sim.settle().expect("honest replicas meet");
    }
    assert!(fired > 0);
}
