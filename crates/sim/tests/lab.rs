//! Do attack tests fail when they should, and say why?

use quorate_attack::{Attack, Combine as _};
use quorate_machine::{Context, StateMachine};
use quorate_sim::lab::{
    AttackTest, Environment, Faults, RequestsExt as _, SimResult, TestPlan, evidence, fired, live, safety,
    seconds, views,
};
use quorate_sim::{Sim, Tally};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A test of this name in an empty package of its own.
fn test(name: &str, seeds: u64) -> AttackTest {
    let package = package(name);
    let _ = std::fs::remove_dir_all(&package);
    AttackTest { seeds: 0..seeds, ..AttackTest::new(format!("lab::{name}"), package) }
}

fn package(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The files beside a test.
fn saved(name: &str) -> Vec<PathBuf> {
    let directory = package(name).join("tests/regressions");
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.expect("a directory can be read").path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

/// What a test that fails tells.
fn report<S: StateMachine + Default>(test: &AttackTest, body: fn(&mut Sim<S>) -> SimResult) -> String {
    let run = || test.run(S::default, body);
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).expect_err("the test fails");
    *payload.downcast::<String>().expect("a report is a text")
}

#[track_caller]
fn tells(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "`{part}` is missing in:\n{report}");
    }
}

fn adds(sim: &mut Sim) -> SimResult {
    for add in 0..5 {
        sim.client("alice").submit(add);
    }
    sim.run_until(seconds(1))?;
    sim.heal();
    sim.check(safety())?.check(live(3.requests()).within(seconds(10)))?;
    sim.settle()?;
    sim.check_state(|tally| tally.total == 10)
}

#[test]
fn a_sound_machine_passes_whatever_its_surroundings_are() {
    for faults in [Faults::None, Faults::Network, Faults::All] {
        AttackTest { faults, ..test("sound", 8) }.run(Tally::default, adds);
    }
    assert!(saved("sound").is_empty());
}

#[test]
fn a_run_that_committed_nothing_fails() {
    let report = report(&test("nothing", 1), |sim: &mut Sim| {
        sim.partition(&[&[0, 1], &[2, 3]]);
        sim.client("alice").submit(1);
        sim.run_until(seconds(1))
    });
    tells(&report, &["property: a run commits something", "of the 1 that were submitted"]);
}

#[test]
fn an_attack_that_never_fired_fails_the_test_and_no_single_run() {
    let report = report(&test("idle", 3), |sim: &mut Sim| {
        sim.byzantine(3, Attack::EquivocateProposals); // a backup has nothing to propose
        adds(sim)
    });
    tells(&report, &["property: an attack happens", "replica 3 never deviated", "under seeds 0..3"]);
}

#[test]
fn a_run_in_which_an_attack_must_fire_fails_without() {
    let report = report(&test("must_fire", 1), |sim: &mut Sim| {
        sim.byzantine(3, Attack::EquivocateProposals.during(views(1..4)));
        adds(sim)?;
        sim.check(fired("equivocate_proposals")).map(drop)
    });
    tells(&report, &["property: an attack happens", "`equivocate_proposals` never deviated", "seed: 0"]);
}

#[test]
fn proof_is_demanded_of_whom_there_is_none() {
    let report = report(&test("proof", 1), |sim: &mut Sim| {
        let silent = sim.byzantine(3, Attack::Silent);
        adds(sim)?;
        sim.check(evidence().against(silent).none_against_honest()).map(drop)
    });
    tells(&report, &["property: misbehaviour is proven", "against replica 3", "replica 3 lies: silent"]);
}

#[test]
fn requests_that_cannot_end_are_overdue() {
    let report = report(&test("overdue", 1), |sim: &mut Sim| {
        sim.client("alice").submit(1);
        sim.run_until(seconds(1))?;
        sim.partition(&[&[0, 1], &[2, 3]]);
        sim.check(live(2.requests()).within(seconds(3))).map(drop)
    });
    tells(&report, &["property: requests end in time", "after 3 s", "C1 is requests of live()"]);
}

#[test]
fn a_panic_is_told_with_its_place_and_shrunk_away_from_what_it_does_not_need() {
    let report = report(&test("panics", 4), |sim: &mut Sim| {
        sim.byzantine(0, Attack::EquivocateProposals);
        for add in 0..20 {
            sim.client("alice").submit(add);
        }
        sim.run_until(seconds(1))?;
        assert!(sim.honest_states().all(|(_, tally)| tally.total < 19), "too much");
        Ok(())
    });
    let place = "too much at crates/sim/tests/lab.rs";
    tells(&report, &["property: the test does not panic", place, "need not lie", "a quiet network"]);
}

#[test]
fn a_plan_that_failed_runs_first_and_seeds_after_it() {
    let demanding = |sim: &mut Sim| {
        sim.client("alice").submit(1);
        sim.run_until(seconds(1))?;
        sim.check_state(|tally| tally.total == 0)
    };
    let test = test("first", 4);
    let first = report(&test, demanding);
    tells(&first, &["property: the state is as the test demands", "QUORATE_SEED=0 cargo test first"]);
    let [plan] = &saved("first")[..] else { panic!("one plan is saved") };
    assert!(plan.with_extension("mmd").exists(), "with a chart");

    // Without any seed, only the plan can fail.
    let only_saved = AttackTest { seeds: 0..0, ..test.clone() };
    tells(
        &report(&only_saved, demanding),
        &["a plan that failed before", "QUORATE_PLAN=tests/regressions/first-"],
    );
    assert_eq!(saved("first").len(), 1, "it is not saved again");

    // Mended, it passes, and the seeds follow.
    test.run(Tally::default, |sim: &mut Sim| {
        sim.client("alice").submit(1);
        sim.run_until(seconds(1))
    });
}

#[test]
fn a_plan_that_means_nothing_any_more_says_why() {
    let name = "stale";
    let stale = test(name, 1);
    let body = |sim: &mut Sim| {
        sim.byzantine(0, Attack::Silent);
        sim.client("alice").submit(1);
        sim.run_until(seconds(1))?;
        sim.check_state(|tally| tally.total == 0)
    };
    drop(report(&stale, body));
    let changed = report(&stale, |sim: &mut Sim| {
        sim.byzantine(1, Attack::Delay);
        adds(sim)
    });
    let expected =
        ["property: a saved plan can be run", "[replica 0: silent]; now it turns [replica 1: delay]"];
    tells(&changed, &expected);

    std::fs::write(&saved(name)[0], "{ \"test\": 5 }").expect("a file can be written");
    let broken = report(&stale, body);
    tells(&broken, &["property: a saved plan can be run", "expected a string", "delete the file"]);
}

/// Adds, but does not write down how often.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Forgetful {
    total: u64,
    #[serde(skip)]
    count: u64,
}

impl StateMachine for Forgetful {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, add: u64, _: &Context) -> u64 {
        self.total += add;
        self.count += 1;
        self.count
    }
    fn query(&self, (): ()) -> u64 {
        self.total
    }
}

/// All replicas forget alike, so that they agree: only a machine that never restarts knows better.
#[test]
fn what_all_replicas_forget_is_told_by_a_machine_that_never_restarts() {
    let report = report(&test("forgetful", 1), |sim: &mut Sim<Forgetful>| {
        for add in 1..=8 {
            sim.client("alice").submit(add);
            sim.run_for(Duration::from_millis(100))?;
        }
        for replica in 0..4_u16 {
            sim.replica(replica).restart();
        }
        sim.client("alice").submit(9);
        sim.run_until(seconds(2))
    });
    tells(&report, &["property: requests are linearizable, with the committed log as the witness"]);
}

#[test]
fn a_plan_is_data_and_the_same_for_a_seed() {
    for seed in 0..50 {
        let plan = TestPlan::generate("lab::data", seed, 4, Faults::All);
        assert_eq!(plan, TestPlan::generate("lab::data", seed, 4, Faults::All));
        let json = serde_json::to_string(&plan).expect("a plan is plain data");
        assert_eq!(plan, serde_json::from_str(&json).expect("it reads what it wrote"));
    }
    assert_eq!(Environment::generate(7, 4, Faults::None), Environment::quiet());
    let has_faults = |faults| (0..50).any(|seed| !Environment::generate(seed, 4, faults).faults.is_empty());
    assert!(has_faults(Faults::All) && !has_faults(Faults::Network));
}

#[test]
fn time_goals_are_met_to_the_nanosecond_and_views_when_they_come() {
    let mut sim = Sim::new(4, 1);
    sim.run_until(seconds(3)).expect("time passes");
    assert_eq!(sim.now(), Duration::from_secs(3));
    sim.replica(0_u16).stop();
    sim.client("alice").submit(1);
    sim.run_until(views(1).or(seconds(30))).expect("the next view comes");
    assert!(sim.now() < Duration::from_secs(5));
    assert!(sim.run_until(views(1000)).is_err(), "no goal is waited for without end");
}
