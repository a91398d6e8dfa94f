//! How primaries are replaced, restarts and lost disks.

mod common;
use common::{Cluster, id};
use quorate_consensus::{Event, Recovered};
use quorate_types::View;
use std::time::Duration;

fn in_view(cluster: &Cluster, view: u64) -> bool {
    cluster.hosts.iter().filter(|host| host.is_up).all(|host| host.replica.status().view == View(view))
}

#[test]
fn a_silent_primary_is_replaced_and_requests_finish() {
    for n in [4, 5, 6, 7, 10, 31] {
        let mut cluster = Cluster::new(n);
        cluster.stop(0);
        for i in 1..n {
            cluster.request(i, 1);
        }
        let last = n - 1;
        assert!(cluster.run_until(3_000, |c| c.commands(last).len() == 1), "n = {n}");
        assert!(in_view(&cluster, 1));
        assert!(cluster.run_until(100, |c| (1..n).all(|i| c.commands(i).len() == 1)));
        // Above the view's first block two delays are enough again.
        let height = cluster.committed(1).0;
        cluster.request(1, 2);
        cluster.round();
        cluster.round();
        let t = if n == 4 { 1 } else { 0 };
        if t == 1 {
            assert!((1..n).all(|i| cluster.committed(i).0 == height + 1), "n = {n}");
        }
    }
}

#[test]
fn consecutive_silent_primaries_are_replaced() {
    let mut cluster = Cluster::new(7);
    cluster.stop(0);
    cluster.stop(1);
    for i in 2..7 {
        cluster.request(i, 1);
    }
    assert!(cluster.run_until(10_000, |c| (2..7).all(|i| c.commands(i).len() == 1)));
    assert!(in_view(&cluster, 2));
}

#[test]
fn the_first_block_of_a_view_commits_after_three_delays_and_never_fast() {
    let mut cluster = Cluster::new(4);
    cluster.stop(0);
    for i in 1..4 {
        cluster.request(i, 1);
    }
    assert!(cluster.run_until(3_000, |c| c.commands(3).len() == 1));
    for host in &cluster.hosts[1..] {
        let rules: Vec<_> = host
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Committed { height, rule, .. } if height.0 == 1 => Some(*rule),
                _ => None,
            })
            .collect();
        assert_eq!(rules, [quorate_consensus::CommitRule::Slow]);
    }
}

#[test]
fn a_restarted_replica_goes_on_from_its_log() {
    let mut cluster = Cluster::new(4);
    for number in 1..=10 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    for i in [2, 0, 1, 3] {
        cluster.restart(i);
        assert_eq!(cluster.committed(i).0, 10);
        assert_eq!(cluster.commands(i).len(), 10, "the log is replayed");
    }
    cluster.run_until(300, |_| false);
    for number in 11..=20 {
        cluster.request(0, number);
        assert!(cluster.run_until(500, |c| c.all_committed(number)), "request {number}");
    }
    assert!(in_view(&cluster, 0), "restarts need no view change");
}

#[test]
fn the_whole_cluster_restarts_from_its_disks() {
    let mut cluster = Cluster::new(4);
    for number in 1..=5 {
        cluster.request(0, number);
        cluster.round();
        cluster.round();
    }
    for i in 0..4 {
        cluster.stop(i);
    }
    for i in 0..4 {
        cluster.restart(i);
    }
    assert!((0..4).all(|i| cluster.commands(i).len() == 5));
    cluster.request(0, 6);
    assert!(cluster.run_until(1_000, |c| (0..4).all(|i| c.commands(i).len() == 6)));
}

#[test]
fn a_replica_without_its_disk_votes_again_after_one_view_change() {
    let mut cluster = Cluster::new(4);
    for number in 1..=6 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    cluster.restart_with(3, Recovered::default());
    assert!(cluster.hosts[3].replica.status().is_recovering);
    assert!(
        cluster.run_until(3_000, |c| !c.hosts[3].replica.status().is_recovering),
        "an idle cluster helps it"
    );
    assert!(cluster.run_until(500, |c| in_view(c, 1)));
    assert!(cluster.run_until(500, |c| c.commands(3).len() == 6));
    cluster.stop(2);
    cluster.request(1, 7);
    assert!(
        cluster.run_until(500, |c| [0, 1, 3].iter().all(|i| c.commands(*i).len() == 7)),
        "its vote is needed"
    );
}

#[test]
fn messages_of_a_lost_view_change_are_sent_again() {
    let mut cluster = Cluster::new(4);
    cluster.stop(0);
    for i in 1..4 {
        cluster.request(i, 1);
    }
    // Everything is lost for two seconds.
    for _ in 0..2_000 {
        cluster.round_where(|_| false);
        cluster.pass(Duration::from_millis(1));
    }
    assert!(cluster.run_until(20_000, |c| (1..4).all(|i| c.commands(i).len() == 1)));
}

#[test]
fn a_partitioned_replica_comes_back() {
    let mut cluster = Cluster::new(4);
    let cut = |e: &common::Envelope| e.from != id(0) && e.to != id(0);
    for i in 1..4 {
        cluster.request(i, 1);
    }
    assert!(cluster.run_where(5_000, cut, |c| (1..4).all(|i| c.commands(i).len() == 1)));
    assert_eq!(cluster.committed(0).0, 0);
    assert!(cluster.run_until(2_000, |c| c.commands(0).len() == 1), "the old primary catches up");
    cluster.request(1, 2);
    assert!(cluster.run_until(500, |c| (0..4).all(|i| c.commands(i).len() == 2)));
}
