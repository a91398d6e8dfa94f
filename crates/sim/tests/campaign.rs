//! Are the seeds real runs, and do they keep every property?

use quorate_attack::Attack;
use quorate_sim::{AttackChoice, Campaign, Crypto, Totals};

fn run(replicas: u16, seeds: u64, crypto: Crypto, attacks: AttackChoice) -> Totals {
    let totals = Campaign { replicas, first: 0, seeds, crypto, attacks: attacks.clone() }.run(|_| ());
    if let Some(report) = &totals.failure {
        panic!("seed {} with {replicas} replicas, {attacks:?}: {:?}", report.seed, report.violation);
    }
    assert_eq!(totals.seeds, seeds);
    totals
}

#[test]
fn seeds_commit_blocks_take_checkpoints_and_change_views() {
    let totals = run(4, 120, Crypto::Fast, AttackChoice::All);
    assert!(totals.commits >= 20 * totals.seeds, "{totals:?}");
    assert!(totals.checkpoints >= 2 * totals.seeds, "{totals:?}");
    assert!(2 * totals.view_changes >= totals.seeds, "{totals:?}");
}

#[test]
fn every_attack_happens_and_achieves_nothing() {
    for attack in Attack::ALL {
        let totals = run(4, 16, Crypto::Fast, AttackChoice::One((*attack).into()));
        assert!(totals.attacks[attack].fired > 0, "{attack} never deviated from the protocol");
    }
}

#[test]
fn larger_clusters_keep_every_property() {
    run(7, 10, Crypto::Fast, AttackChoice::All);
    run(10, 4, Crypto::Fast, AttackChoice::All);
}

#[test]
fn real_signatures_keep_every_property() {
    run(4, 8, Crypto::Real, AttackChoice::All);
}
