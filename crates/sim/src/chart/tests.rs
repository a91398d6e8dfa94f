//! Does a chart show what happened, in few lines that are not too long?

use quorate_attack::Attack;

use crate::chart::Chart;
use crate::faults::{Fault, TimedFault};
use crate::plan::{AttackChoice, Plan, Traitor};
use crate::run::{run, run_with_story};
use crate::setup::Crypto;

fn chart(seed: u64, replicas: u16) -> Chart {
    let plan = Plan::generate(seed, replicas, Crypto::Fast, &AttackChoice::All);
    run_with_story(&plan).chart.expect("it was asked for")
}

#[test]
fn a_chart_fits_a_terminal() {
    for (seed, replicas) in [(1, 4), (2, 4), (3, 7), (4, 10), (5, 13)] {
        let text = chart(seed, replicas).text();
        assert!(text.lines().count() <= 82, "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(120), "{widest:?} columns\n{text}");
    }
}

#[test]
fn a_chart_shows_lies_votes_and_faults() {
    let mut plan = Plan::generate(1, 4, Crypto::Fast, &AttackChoice::None);
    (plan.workload.clients, plan.workload.requests, plan.workload.burst) = (1, 4, 1);
    plan.network = crate::network::NetworkParameters::quiet(1000);
    plan.byzantine = vec![Traitor { replica: 0, attack: Attack::EquivocateProposals.into() }];
    plan.faults = vec![
        TimedFault { at_us: 20_000, fault: Fault::Crash(2) },
        TimedFault { at_us: 60_000, fault: Fault::Heal },
    ];
    let chart = run_with_story(&plan).chart.expect("it was asked for");
    let text = chart.text();
    let shown = [
        "R0 lies: equivocate-proposals",
        "! propose 1a",
        "1b",
        "evidence: R0",
        "replica 2 loses power",
        "| up",
    ];
    for words in shown {
        assert!(text.contains(words), "`{words}` is missing:\n{text}");
    }
    let mermaid = chart.mermaid();
    assert!(
        mermaid.starts_with("sequenceDiagram\n    participant R0 as R0<br/>equivocate-proposals\n"),
        "{mermaid}"
    );
    for line in mermaid.lines().skip(1) {
        let is_known = ["    participant ", "    Note over R", "    Note over C", "    R"]
            .iter()
            .any(|begin| line.starts_with(begin));
        assert!(is_known && !line.contains([';', '#']), "{line}");
    }
}

#[test]
fn nothing_is_recorded_unless_asked_for() {
    let plan = Plan::generate(1, 4, Crypto::Fast, &AttackChoice::All);
    let (quiet, told) = (run(&plan), run_with_story(&plan));
    assert_eq!(quiet.chart, None);
    assert_eq!(quiet.audit, told.audit, "recording changes nothing");
}
