//! What does a bad network achieve? Slow, lossy, narrow, one-way or corrupting links cost time, and nothing else.

mod common;

use common::{Journal, append_in_order, list, stop, until, until_replaced, within};
use quorate::lab::Shape;
use quorate::prelude::*;
use quorate::types::Rejection;
use std::time::Duration;

async fn start(shape: Shape) -> (LocalCluster<Journal>, Client<Journal>) {
    let builder = LocalCluster::builder().links(shape).seed(42);
    let cluster = builder.start(Journal::default).await.expect("the cluster starts");
    let client = cluster.client().await.expect("a client");
    (cluster, client)
}

/// All links, each in its direction.
fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..4).flat_map(|from| (0..4).map(move |to| (from, to))).filter(|(from, to)| from != to)
}

/// Waits until all replicas have executed what one of them committed.
async fn catch_up(cluster: &LocalCluster<Journal>) {
    let goal = cluster.replica(1).status().await.expect("it runs").committed;
    for replica in cluster.replicas() {
        until("it catches up", replica, move |status| status.executed >= goal).await;
    }
}

#[tokio::test]
async fn a_cluster_in_one_room_goes_on_in_its_first_view() {
    let (cluster, client) = start(Shape::lan()).await;
    append_in_order(&client, 0..50).await;
    catch_up(&cluster).await;
    for replica in cluster.replicas() {
        assert_eq!(replica.status().await.expect("it runs").view_changes, 0);
    }
    for (from, to) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
        let counters = cluster.links().counters(from, to);
        assert!(counters.went > 0 && counters.corrupted == 0, "{from} to {to}: {counters:?}");
    }
    stop(cluster).await;
}

#[tokio::test]
async fn a_cluster_across_an_ocean_goes_on_at_the_pace_of_light() {
    let (cluster, client) = start(Shape::wan()).await;
    append_in_order(&client, 0..3).await;
    let begin = std::time::Instant::now();
    append_in_order(&client, 3..13).await;
    // To the backups and back to all; the client stands beside everybody.
    let least = 10 * 2 * Shape::wan().latency;
    assert!(begin.elapsed() >= least, "{:?} is faster than the links", begin.elapsed());
    catch_up(&cluster).await;
    stop(cluster).await;
}

#[tokio::test]
async fn a_cluster_on_a_bad_day_goes_on() {
    let (cluster, client) = start(Shape::bad()).await;
    append_in_order(&client, 0..15).await;
    catch_up(&cluster).await;
    assert_eq!(list(&client).await, (0..15).collect::<Vec<_>>());
    let mut sum = [0; 3];
    for (from, to) in pairs() {
        let counters = cluster.links().counters(from, to);
        sum = [sum[0] + counters.lost, sum[1] + counters.duplicated, sum[2] + counters.held_back];
    }
    assert!(sum.iter().all(|count| *count > 0), "lost, doubled, held back: {sum:?}");
    stop(cluster).await;
}

#[tokio::test]
async fn flipped_bits_never_get_through() {
    let (cluster, client) = start(Shape { corruption: 0.1, ..Shape::default() }).await;
    append_in_order(&client, 0..80).await;
    catch_up(&cluster).await;
    let corrupted: u64 = pairs().map(|(from, to)| cluster.links().counters(from, to).corrupted).sum();
    assert!(corrupted > 50, "only {corrupted} datagrams were corrupted");
    for replica in cluster.replicas() {
        let status = replica.status().await.expect("it runs");
        assert!(status.accused.is_empty() && status.halted.is_none(), "{status:?}");
        for reason in GARBLED {
            assert_eq!(status.rejected(reason.name()), 0, "a flipped bit was read: {status:?}");
        }
    }
    assert_eq!(list(&client).await, (0..80).collect::<Vec<_>>());
    stop(cluster).await;
}

#[tokio::test]
async fn a_backup_that_the_primary_cannot_reach_follows_through_the_others() {
    let (cluster, client) = start(Shape::default()).await;
    append_in_order(&client, 0..5).await;
    cluster.links().set(0, 1, Shape::cut());
    append_in_order(&client, 5..25).await;
    catch_up(&cluster).await;
    assert!(cluster.links().counters(0, 1).lost > 0);
    cluster.links().set_all(&Shape::default());
    within("they are connected again", async {
        let connected = |status: &quorate::Status| status.connected.len() == 3;
        cluster.replica(1).wait_for(connected).await.expect("it runs");
    })
    .await;
    append_in_order(&client, 25..30).await;
    catch_up(&cluster).await;
    stop(cluster).await;
}

#[tokio::test]
async fn a_primary_that_nobody_hears_is_replaced_and_follows_after_healing() {
    let (cluster, client) = cut_one_way(|primary, backup| (primary, backup)).await;
    until_replaced(&cluster, 0, 1).await;
    heal(cluster, client).await;
}

/// What it proposes commits without it, until its connections end; then it is replaced too.
#[tokio::test]
async fn a_primary_that_hears_nobody_costs_no_request_and_follows_after_healing() {
    let (cluster, client) = cut_one_way(|primary, backup| (backup, primary)).await;
    let deaf = cluster.replica(0).status().await.expect("it runs");
    let hearing = cluster.replica(1).status().await.expect("it runs");
    assert!(deaf.committed < hearing.committed, "it heard of commits: {deaf:?}");
    heal(cluster, client).await;
}

/// Cuts all links between the primary and the others in one direction, and goes on.
async fn cut_one_way(
    direction: impl Fn(usize, usize) -> (usize, usize),
) -> (LocalCluster<Journal>, Client<Journal>) {
    let (cluster, client) = start(Shape { latency: Duration::from_millis(1), ..Shape::default() }).await;
    append_in_order(&client, 0..5).await;
    for backup in 1..4 {
        let (from, to) = direction(0, backup);
        cluster.links().set(from, to, Shape::cut());
    }
    append_in_order(&client, 5..15).await;
    (cluster, client)
}

async fn heal(cluster: LocalCluster<Journal>, client: Client<Journal>) {
    cluster.links().set_all(&Shape::default());
    append_in_order(&client, 15..20).await;
    catch_up(&cluster).await;
    assert_eq!(list(&client).await, (0..20).collect::<Vec<_>>());
    stop(cluster).await;
}

/// What a replica says of bytes that are not what was sent.
const GARBLED: [Rejection; 9] = [
    Rejection::Truncated,
    Rejection::TrailingBytes,
    Rejection::NotCanonical,
    Rejection::UnknownKind,
    Rejection::Malformed,
    Rejection::Oversized,
    Rejection::UnexpectedPayload,
    Rejection::BadSignature,
    Rejection::WrongBatch,
];
