//! What do liars achieve over real connections? Traitors up to f cost time, and nothing else: every
//! request finishes, exactly once and in order.

mod common;

use common::{append_in_order, list, start, stop, until, until_replaced, within};
use quorate::Attack;
use quorate::attack::{Adversary, delay};
use quorate::types::EvidenceFile;
use std::time::Duration;

#[tokio::test]
async fn an_equivocating_primary_of_4_is_replaced() {
    replaced(4, Attack::EquivocateProposals).await;
}

#[tokio::test]
async fn an_equivocating_primary_of_7_is_replaced() {
    replaced(7, Attack::EquivocateProposals).await;
}

#[tokio::test]
async fn a_silent_primary_of_4_is_replaced() {
    replaced(4, Attack::Silent).await;
}

#[tokio::test]
async fn a_silent_primary_of_7_is_replaced() {
    replaced(7, Attack::Silent).await;
}

#[tokio::test]
async fn a_slow_primary_of_4_is_replaced() {
    replaced(4, delay().by(SLOW)).await;
}

#[tokio::test]
async fn a_slow_primary_of_7_is_replaced() {
    replaced(7, delay().by(SLOW)).await;
}

#[tokio::test]
async fn an_equivocation_is_proved_to_everybody() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;
    cluster.replica(0).attack(Attack::EquivocateProposals).await.expect("a test cluster");
    append_in_order(&client, 3..6).await;

    let evidence = within("evidence comes", cluster.evidence()).await.expect("evidence comes");
    let membership = cluster.genesis().membership().expect("it started");
    for proof in evidence {
        assert_eq!(proof.replica.0, 0);
        proof.check(&membership).expect("anybody can check it");
        // It can be kept as a file and judged later by anybody who has the genesis.
        let file = EvidenceFile::new(membership.cluster(), (*proof).clone());
        let json = serde_json::to_string(&file).expect("it is plain data");
        let read: EvidenceFile = serde_json::from_str(&json).expect("it reads what it wrote");
        read.verify_offline(cluster.genesis()).expect("it convicts");
    }
    stop(cluster).await;
}

#[tokio::test]
async fn one_liar_of_4_changes_nothing_for_clients() {
    lied_to(4, &[3]).await;
}

#[tokio::test]
async fn two_liars_of_7_that_tell_one_lie_change_nothing_for_clients() {
    lied_to(7, &[5, 6]).await;
}

#[tokio::test]
async fn a_lying_primary_that_keeps_the_protocol_changes_nothing_for_clients() {
    lied_to(4, &[0]).await;
}

async fn replaced(replicas: usize, adversary: impl Into<Box<dyn Adversary>>) {
    let cluster = start(replicas).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..10).await;
    cluster.replica(0).attack(adversary).await.expect("a test cluster");

    append_in_order(&client, 10..25).await;

    until_replaced(&cluster, 0, 1).await;
    assert_eq!(list(&client).await, (0..25).collect::<Vec<_>>());
    let traitor = cluster.replica(0).status().await.expect("it runs");
    assert!(traitor.attack_fired > 0, "an attack that never happened shows nothing");
    stop(cluster).await;
}

async fn lied_to(replicas: usize, liars: &[usize]) {
    let cluster = start(replicas).await;
    for liar in liars {
        cluster.replica(*liar).attack(Attack::LieToClients).await.expect("a test cluster");
    }
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..30).await;
    assert_eq!(list(&client).await, (0..30).collect::<Vec<_>>());
    for liar in liars {
        until("the lies are told", cluster.replica(*liar), |status| status.attack_fired > 0).await;
    }
    stop(cluster).await;
}

/// Longer than a view gets by default.
const SLOW: Duration = Duration::from_secs(3);
