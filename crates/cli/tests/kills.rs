//! Is nothing lost, and nothing done twice, when replicas are killed or suspended under load?
//!
//! A replica with its log on disk is killed at any time, alone or with all others. One with its log in memory has lost
//! its disk by it, so one is killed at a time and the next only when it takes part again (rule D3).

mod common;

use common::campaign::{Campaign, Strike, Victims, rounds};
use quorate::Durability;

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_is_killed_and_goes_on_from_its_disk() {
    let durability = Durability::Sync;
    Campaign { victims: Victims::Random, strike: Strike::Kill, durability, rounds: rounds(), seed: 3 }
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_killed_and_goes_on_from_its_disk() {
    let durability = Durability::Sync;
    Campaign { victims: Victims::Primary, strike: Strike::Kill, durability, rounds: rounds(), seed: 4 }
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_are_killed_at_once_and_go_on_from_their_disks() {
    let durability = Durability::Sync;
    Campaign { victims: Victims::All, strike: Strike::Kill, durability, rounds: rounds(), seed: 5 }
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_is_killed_and_loses_its_memory() {
    let durability = Durability::Memory;
    Campaign {
        victims: Victims::Random,
        strike: Strike::Kill,
        durability,
        rounds: rounds().min(IN_MEMORY_MAX),
        seed: 1,
    }
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_killed_and_loses_its_memory() {
    let durability = Durability::Memory;
    Campaign {
        victims: Victims::Primary,
        strike: Strike::Kill,
        durability,
        rounds: rounds().min(IN_MEMORY_MAX),
        seed: 2,
    }
    .run()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_is_suspended_and_goes_on_where_it_stood() {
    let durability = Durability::Sync;
    Campaign { victims: Victims::Random, strike: Strike::Pause, durability, rounds: rounds(), seed: 6 }
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_suspended_and_goes_on_where_it_stood() {
    let durability = Durability::Sync;
    Campaign { victims: Victims::Primary, strike: Strike::Pause, durability, rounds: rounds(), seed: 7 }
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_are_suspended_at_once_and_go_on_where_they_stood() {
    let durability = Durability::Sync;
    Campaign { victims: Victims::All, strike: Strike::Pause, durability, rounds: rounds(), seed: 8 }
        .run()
        .await;
}

/// Every round costs one or two view changes more.
const IN_MEMORY_MAX: u64 = 30;
