//! What survives on real disks, over real connections: restarts of some and of all, replicas far behind, lost
//! disks, and a log that does not grow.

mod common;

use common::{Command, Journal, append_in_order, list, stop, until, within};
use quorate::prelude::*;
use quorate::types::{Height, ProtocolParameters, View};
use quorate::{Durability, Status};

/// Checkpoints come every few blocks, so that logs are cut.
async fn start_on_disk() -> LocalCluster<Journal> {
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 8, ..ProtocolParameters::default() };
    let builder = LocalCluster::builder().protocol(protocol).durability(Durability::Sync);
    builder.start(Journal::default).await.expect("the cluster starts")
}

async fn restart(cluster: &LocalCluster<Journal>, replica: usize) {
    within("a replica stops", cluster.replica(replica).stop()).await.expect("it stops");
    within("a replica restarts", cluster.replica(replica).restart()).await.expect("it restarts");
}

async fn status(cluster: &LocalCluster<Journal>, replica: usize) -> Status {
    cluster.replica(replica).status().await.expect("it exists")
}

/// Waits until every replica vouches for one state at or above a height.
async fn until_equal_states(cluster: &LocalCluster<Journal>, height: Height) {
    for replica in cluster.replicas() {
        until("it vouches for a state", replica, move |status| status.state.0 >= height).await;
    }
    let mut states = Vec::new();
    for replica in cluster.replicas() {
        let status = replica.status().await.expect("it runs");
        states.push((status.state, status.halted));
    }
    let last = states.iter().map(|(state, _)| state.0).max();
    let equal = |(state, halted): &((Height, _), Option<String>)| {
        halted.is_none()
            && (Some(state.0) < last || *state == states.iter().map(|s| s.0).max().expect("four"))
    };
    assert!(states.iter().all(equal), "{states:?}");
}

#[tokio::test]
async fn all_replicas_go_on_from_their_disks_alone() {
    let cluster = start_on_disk().await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..30).await;
    for round in 0..3 {
        for replica in cluster.replicas() {
            within("a replica stops", replica.stop()).await.expect("it stops");
        }
        for replica in cluster.replicas() {
            within("a replica restarts", replica.restart()).await.expect("it restarts");
        }
        let first = 30 + 10 * round;
        append_in_order(&client, first..first + 10).await;
    }
    assert_eq!(list(&client).await, (0..60).collect::<Vec<_>>());
    let status = status(&cluster, 1).await;
    assert!(status.stable >= Height(56) && !status.is_recovering, "{status:?}");
    stop(cluster).await;
}

#[tokio::test]
async fn a_replica_below_the_others_logs_fetches_their_state() {
    let cluster = start_on_disk().await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..10).await;
    within("a replica stops", cluster.replica(3).stop()).await.expect("it stops");
    append_in_order(&client, 10..60).await;
    // What they keep in memory for laggards is gone with their processes.
    for replica in 0..3 {
        restart(&cluster, replica).await;
    }
    append_in_order(&client, 60..65).await;
    within("a replica restarts", cluster.replica(3).restart()).await.expect("it restarts");
    let goal = status(&cluster, 1).await.committed;
    until("it has caught up", cluster.replica(3), move |status| status.executed >= goal).await;
    // With one of the others gone every quorum needs it.
    within("a replica stops", cluster.replica(2).stop()).await.expect("it stops");
    append_in_order(&client, 65..90).await;
    assert_eq!(list(&client).await, (0..90).collect::<Vec<_>>());
    within("a replica restarts", cluster.replica(2).restart()).await.expect("it restarts");
    append_in_order(&client, 90..100).await;
    until_equal_states(&cluster, Height(96)).await;
    stop(cluster).await;
}

/// Rule D3: whoever lost its disk is let in again by one view change, two where it is the next primary itself.
#[tokio::test]
async fn a_replica_that_lost_its_disk_is_let_in_again() {
    for (lost, views) in [(3, 1), (1, 2)] {
        let cluster = start_on_disk().await;
        let client = cluster.client().await.expect("a client");
        append_in_order(&client, 0..30).await;
        cluster.replica(lost).wipe().await.expect("it stops and is wiped");
        append_in_order(&client, 30..50).await;
        within("a replica restarts", cluster.replica(lost).restart()).await.expect("it restarts");
        let back = until("it takes part again", cluster.replica(lost), |status| {
            status.is_awake && !status.is_recovering
        });
        let back = back.await;
        assert_eq!(back.view, View(views), "{back:?}");
        let goal = status(&cluster, 2).await.committed;
        until("it has caught up", cluster.replica(lost), move |status| status.executed >= goal).await;
        append_in_order(&client, 50..80).await;
        assert_eq!(list(&client).await, (0..80).collect::<Vec<_>>());
        until_equal_states(&cluster, Height(76)).await;
        assert_eq!(status(&cluster, 2).await.view, View(views), "and no more");
        stop(cluster).await;
    }
}

/// Rule K1: disk use is bounded by the window and the retained checkpoints.
#[tokio::test]
async fn the_log_is_cut_and_space_is_given_back() {
    let cluster = start_on_disk().await;
    let client = cluster.client().await.expect("a client");
    let pad = Command::Pad(vec![7; 50_000]);
    let mut held = 0;
    for _ in 0..200 {
        within("a request finishes", client.submit(pad.clone())).await.expect("it finishes");
        held = held.max(status(&cluster, 1).await.log.bytes_held);
    }
    // A certificate comes every 32 blocks, and the log reaches back to the last one.
    assert!(status(&cluster, 1).await.log.bytes > 10_000_000);
    assert!(held < 64 * 50_000, "{held} bytes were held");
    stop(cluster).await;
}

/// Twenty statuses long: that nothing happens can be seen only by looking for a while.
async fn rest() {
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
}

/// An idle cluster writes nothing.
#[tokio::test]
async fn an_idle_cluster_writes_nothing() {
    let cluster = start_on_disk().await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..6).await;
    for replica in cluster.replicas() {
        until("it has executed all", replica, |status| status.executed >= Height(6)).await;
    }
    rest().await;
    let written = |status: &Status| (status.log.syncs, status.snapshot.snapshots);
    let mut first = Vec::new();
    for replica in cluster.replicas() {
        first.push(written(&replica.status().await.expect("it runs")));
    }
    rest().await;
    for (replica, first) in cluster.replicas().zip(first) {
        assert_eq!(written(&replica.status().await.expect("it runs")), first);
    }
    stop(cluster).await;
}
