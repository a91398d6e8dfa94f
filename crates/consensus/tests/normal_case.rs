//! The normal case in message delays, and what retransmission, reordering and loss change: nothing.

mod common;
use common::{Cluster, id};
use quorate_types::message::Message;
use std::time::Duration;

#[test]
fn a_request_commits_after_two_message_delays() {
    let mut cluster = Cluster::new(4);
    cluster.request(0, 1);
    assert!((0..4).all(|i| cluster.committed(i).0 == 0));
    cluster.round();
    assert_eq!(cluster.committed(0).0, 0, "one delay: the proposal arrived, no vote came back");
    cluster.round();
    assert!((0..4).all(|i| cluster.committed(i).0 == 1), "two delays: the votes arrived");
    assert!((0..4).all(|i| cluster.commands(i).len() == 1));
    assert!((0..4).all(|i| cluster.hosts[i].replies.len() == 1));
}

#[test]
fn two_message_delays_with_one_backup_down() {
    let mut cluster = Cluster::new(4);
    cluster.stop(3);
    for number in 1..=10 {
        cluster.request(0, number);
        cluster.round();
        cluster.round();
        assert!((0..3).all(|i| cluster.committed(i).0 == number));
    }
}

#[test]
fn seven_replicas_commit_fast_with_one_missing_and_slowly_with_two() {
    let mut cluster = Cluster::new(7);
    cluster.stop(6);
    cluster.request(0, 1);
    cluster.round();
    cluster.round();
    assert!((0..6).all(|i| cluster.committed(i).0 == 1), "F = 6 votes");
    cluster.stop(5);
    cluster.request(0, 2);
    cluster.round();
    cluster.round();
    assert!((0..5).all(|i| cluster.committed(i).0 == 1), "Q = 5 votes prepare only");
    cluster.pass(cluster.timing.grace);
    assert!((0..5).all(|i| cluster.committed(i).0 == 1));
    cluster.round();
    assert!((0..5).all(|i| cluster.committed(i).0 == 2), "a third delay for the commit votes");
}

#[test]
fn duplicates_and_reordering_change_nothing() {
    let mut cluster = Cluster::new(4);
    for number in 1..=12 {
        cluster.request(0, number);
        for _ in 0..3 {
            let mut sent: Vec<_> = cluster.wire.drain(..).collect();
            sent.reverse();
            cluster.wire.extend(sent.iter().cloned().chain(sent.iter().cloned()));
            cluster.round();
        }
    }
    assert!(cluster.run_until(200, |c| c.all_committed(12)));
    assert!((0..4).all(|i| cluster.commands(i).len() == 12));
    assert!((0..4).all(|i| cluster.hosts[i].evidence.is_empty()));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().view.0 == 0));
}

#[test]
fn a_backup_starved_of_proposals_catches_up_without_a_view_change() {
    let mut cluster = Cluster::new(4);
    for number in 1..=8 {
        cluster.request(0, number);
        cluster.run_where(
            20,
            |e| !(e.from == id(0) && e.to == id(3) && matches!(e.message, Message::Propose(_))),
            |c| (0..3).all(|i| c.committed(i).0 == number),
        );
    }
    let starve = |e: &common::Envelope| !(e.to == id(3) && matches!(e.message, Message::Propose(_)));
    assert!(cluster.run_where(2_000, starve, |c| c.all_committed(8)));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().asked.0 == 0), "no view change was asked for");
}

#[test]
fn a_long_run_moves_the_window_and_certifies() {
    let mut cluster = Cluster::new(4);
    for number in 1..=300 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)), "request {number}");
    }
    assert!(cluster.run_until(50, |c| c.hosts[0].replica.status().stable.0 == 300));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().view.0 == 0));
}

#[test]
fn an_idle_cluster_writes_nothing() {
    let mut cluster = Cluster::new(4);
    cluster.request(0, 1);
    assert!(cluster.run_until(50, |c| c.all_committed(1)));
    cluster.run_until(20, |_| false);
    let written: Vec<usize> = cluster.hosts.iter().map(|host| host.log.len()).collect();
    for _ in 0..100 {
        cluster.pass(Duration::from_secs(1));
        cluster.round();
    }
    assert_eq!(written, cluster.hosts.iter().map(|host| host.log.len()).collect::<Vec<_>>());
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().asked.0 == 0));
}
