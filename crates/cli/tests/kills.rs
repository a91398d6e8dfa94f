//! Is nothing lost, and nothing done twice, when replicas are killed under load?
//!
//! With logs in memory a killed replica has lost its disk, so one is killed at a time and the next only when it
//! takes part again (rule D3).

mod common;

use common::campaign::{Campaign, Victims, rounds};
use quorate::Durability;

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_is_killed_and_loses_its_memory() {
    let durability = Durability::Memory;
    Campaign { victims: Victims::Random, durability, rounds: rounds().min(IN_MEMORY_MAX), seed: 1 }
        .run()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_killed_and_loses_its_memory() {
    let durability = Durability::Memory;
    Campaign { victims: Victims::Primary, durability, rounds: rounds().min(IN_MEMORY_MAX), seed: 2 }
        .run()
        .await;
}

/// Without snapshots, whoever lost its memory fetches every block since the first: rounds get longer.
const IN_MEMORY_MAX: u64 = 30;
