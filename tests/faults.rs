//! What do crashes, cuts and bugs achieve over real connections?

mod common;

use common::{Command, Journal, append_in_order, list, start, stop, until, within};
use quorate::prelude::*;
use quorate::types::{Height, ProtocolParameters};

#[tokio::test]
async fn a_stopped_replica_is_not_missed_and_catches_up_when_it_is_back() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..10).await;
    within("a replica stops", cluster.replica(3).stop()).await.expect("it stops");
    let stopped = cluster.replica(3).status().await.expect("its last status");
    assert!(!stopped.is_running);

    append_in_order(&client, 10..20).await;
    within("a replica restarts", cluster.replica(3).restart()).await.expect("it restarts");

    let goal = cluster.replica(1).status().await.expect("it runs").committed;
    until("the replica has caught up", cluster.replica(3), move |status| status.executed >= goal).await;
    stop(cluster).await;
}

#[tokio::test]
async fn a_restarted_replica_is_as_good_as_one_that_never_stopped() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..5).await;
    within("a replica stops", cluster.replica(1).stop()).await.expect("it stops");
    append_in_order(&client, 5..10).await;
    within("a replica restarts", cluster.replica(1).restart()).await.expect("it restarts");
    // Without replica 2 every quorum needs the one that was restarted.
    within("a replica stops", cluster.replica(2).stop()).await.expect("it stops");
    append_in_order(&client, 10..20).await;
    assert_eq!(list(&client).await, (0..20).collect::<Vec<_>>());
    stop(cluster).await;
}

#[tokio::test]
async fn a_stopped_primary_is_replaced_and_all_can_restart_together() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..5).await;
    within("the primary stops", cluster.replica(0).stop()).await.expect("it stops");
    append_in_order(&client, 5..10).await;
    for replica in 1..4 {
        within("a replica stops", cluster.replica(replica).stop()).await.expect("it stops");
    }
    for replica in cluster.replicas() {
        within("a replica restarts", replica.restart()).await.expect("it restarts");
    }
    append_in_order(&client, 10..15).await;
    assert_eq!(list(&client).await, (0..15).collect::<Vec<_>>());
    stop(cluster).await;
}

#[tokio::test]
async fn checkpoints_become_stable_and_a_restart_goes_on_above_them() {
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 8, ..ProtocolParameters::default() };
    let cluster = LocalCluster::builder().protocol(protocol).start(Journal::default).await;
    let cluster = cluster.expect("the cluster starts");
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..20).await;
    for replica in cluster.replicas() {
        until("a checkpoint is stable", replica, |status| status.stable >= Height(16)).await;
    }
    within("a replica stops", cluster.replica(2).stop()).await.expect("it stops");
    append_in_order(&client, 20..30).await;
    within("a replica restarts", cluster.replica(2).restart()).await.expect("it restarts");
    append_in_order(&client, 30..40).await;
    until("it takes part again", cluster.replica(2), |status| status.stable >= Height(36)).await;
    stop(cluster).await;
}

#[tokio::test]
async fn a_cut_off_primary_is_replaced_and_follows_after_healing() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..10).await;
    cluster.cut([0], [1, 2, 3]).await.expect("there are such replicas");
    append_in_order(&client, 10..20).await;

    let goal = cluster.replica(1).status().await.expect("it runs").committed;
    let cut_off = cluster.replica(0).status().await.expect("it runs");
    assert!(cut_off.committed < goal, "it heard nothing: {cut_off:?}");
    cluster.heal().await;
    until("the primary has caught up", cluster.replica(0), move |status| status.executed >= goal).await;
    append_in_order(&client, 20..25).await;
    stop(cluster).await;
}

#[tokio::test]
async fn without_a_quorum_nothing_commits_and_after_healing_everything_does() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..5).await;
    cluster.cut([0, 1], [2, 3]).await.expect("there are such replicas");
    let until_cut = |status: &quorate::Status| status.connected.len() == 1;
    until("the cut is there", cluster.replica(0), until_cut).await;
    let before = cluster.replica(0).status().await.expect("it runs").committed;

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.submit(Command::Append(5)).await }
    });
    // The backups lose patience: they want another view and cannot have it.
    until("the backups ask for a view", cluster.replica(2), |status| status.asked > status.view).await;
    assert!(!waiting.is_finished());
    assert_eq!(cluster.replica(0).status().await.expect("it runs").committed, before);

    cluster.heal().await;
    within("the request finishes", waiting).await.expect("no panic").expect("it finishes");
    append_in_order(&client, 6..10).await;
    assert_eq!(list(&client).await, (0..10).collect::<Vec<_>>());
    stop(cluster).await;
}

/// A machine with a bug, in replica 0 only.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Fragile {
    sum: u64,
}

impl StateMachine for Fragile {
    type Command = u64;
    type Reply = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, number: u64, _: &Context) -> u64 {
        let is_first = std::thread::current().name().is_some_and(|name| name.starts_with("replica-0-"));
        // A panic in the middle: half of the change is made.
        self.sum += number;
        assert!(!(is_first && number == 13), "thirteen is too much");
        self.sum
    }

    fn query(&self, (): ()) -> u64 {
        self.sum
    }
}

#[tokio::test]
async fn a_replica_that_panics_alone_is_stopped_by_its_result() {
    let cluster = LocalCluster::start(4, Fragile::default).await.expect("the cluster starts");
    let client = cluster.client().await.expect("a client");
    assert_eq!(within("a request", client.submit(1)).await.expect("it finishes").reply, 1);
    let submitted = within("a request", client.submit(13)).await.expect("the others agree");
    assert_eq!(submitted.reply, 14);
    assert_eq!(within("a request", client.submit(2)).await.expect("the others serve on").reply, 16);
    assert_eq!(within("a request", client.submit(3)).await.expect("the others serve on").reply, 19);

    let replica = cluster.replica(0);
    let halted = within("the replica halts", replica.wait_for(|status| status.halted.is_some())).await;
    let why = halted.expect("it runs on to say why").halted.expect("it halted");
    assert!(why.contains(&format!("the state after height {} has root", submitted.height)), "{why}");
    assert_eq!(within("a request", client.submit(4)).await.expect("the others serve on").reply, 23);
    within("the cluster stops", cluster.stop()).await.expect("it stops");
}

#[tokio::test]
async fn a_command_that_panics_everywhere_is_rejected_and_leaves_no_trace() {
    let protocol = ProtocolParameters { checkpoint_interval: 4, window: 8, ..ProtocolParameters::default() };
    let cluster = LocalCluster::builder().protocol(protocol).start(Journal::default).await;
    let cluster = cluster.expect("the cluster starts");
    let client = cluster.client().await.expect("a client");
    for round in 0..3 {
        append_in_order(&client, 5 * round..5 * round + 5).await;
        let error = within("an answer", client.submit(Command::Panic)).await.expect_err("it panics");
        let outcome = quorate::RejectedWhy::Outcome(quorate::Outcome::Panicked);
        assert!(matches!(error, SubmitError::Rejected { why } if why == outcome));
    }
    assert_eq!(list(&client).await, (0..15).collect::<Vec<_>>());
    for replica in cluster.replicas() {
        let status = until("a checkpoint is stable", replica, |status| status.stable >= Height(16)).await;
        assert_eq!((status.halted, status.view_changes), (None, 0));
    }
    stop(cluster).await;
}

#[tokio::test]
async fn what_does_not_exist_or_does_not_run_is_said_in_a_sentence() {
    let cluster = start(4).await;
    let error = cluster.replica(4).status().await.expect_err("there is none");
    assert_eq!(error.to_string(), "there is no replica 4; this cluster has replicas 0 to 3");
    let error = cluster.replica(0).restart().await.expect_err("it runs");
    assert_eq!(error.to_string(), "replica 0 runs already; stop it first");
    let error = cluster.cut([0], [9]).await.expect_err("there is none");
    assert_eq!(error.to_string(), "there is no replica 9; this cluster has replicas 0 to 3");
    cluster.replica(2).stop().await.expect("it stops");
    cluster.replica(2).stop().await.expect("stopping twice is harmless");
    let error = cluster.replica(2).attack(quorate::Attack::Silent).await.expect_err("it is stopped");
    assert_eq!(error.to_string(), "replica 2 is stopped; start it with `.restart()`");
    stop(cluster).await;
}

#[tokio::test]
async fn impossible_clusters_are_refused_in_a_sentence() {
    let error = LocalCluster::start(3, Journal::default).await.expect_err("too few");
    assert_eq!(
        error.to_string(),
        "a cluster needs 4 to 128 replicas to survive one that lies, this genesis has 3; add or remove replicas"
    );
    let serious = LocalCluster::builder().test(false).start(Journal::default).await.expect("it starts");
    let error = serious.replica(0).attack(quorate::Attack::Silent).await.expect_err("not a test cluster");
    assert_eq!(error.to_string(), "replica 0 refuses the adversary: genesis does not say `test: true`");
    let status = serious.replica(0).status().await.expect("it runs");
    assert_eq!((status.attack, status.committed), (None, Height(0)));
    stop(serious).await;
}
