//! Does a replica that lost its disk go on from a snapshot that somebody else certified, and promise nothing
//! before it may (rule D3)?

mod common;
use common::{Cluster, id};
use quorate_consensus::{Account, Record, Recovered, Summary};
use quorate_types::message::Message;
use quorate_types::{Digest, Height};
use std::sync::Arc;

fn run(cluster: &mut Cluster, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        cluster.request(0, number);
        assert!(cluster.run_until(100, |c| c.hosts[0].replica.status().committed.0 >= number));
    }
    cluster.run_until(20, |_| false);
}

/// What a survivor hands over: its newest snapshot with the certificate, and nothing of what it signed.
fn restored(cluster: &Cluster, survivor: usize) -> (Recovered, common::Disk) {
    let host = &cluster.hosts[survivor];
    let certificate = host.certified.last().expect("a checkpoint is stable").clone();
    let (header, _) = host.disk.snapshots[&certificate.checkpoint.height];
    let genesis = cluster.membership.genesis_block();
    let summary = Summary::restored(header, certificate, genesis).expect("they belong together");
    let records = vec![Record::Summary(Box::new(summary))];
    let snapshot = host.disk.newest(Recovered::restorable(&records));
    assert!(snapshot.is_some(), "the log leads on from it");
    (Recovered { first: 0, records, snapshot }, host.disk.clone())
}

/// [D3] One of four: it goes on from the snapshot, promises nothing, and is let in after a view change.
#[test]
fn a_restored_replica_goes_on_from_the_snapshot_and_is_let_in() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=9);
    let (recovered, disk) = restored(&cluster, 1);
    cluster.restart_on(3, recovered, disk);
    let status = cluster.hosts[3].replica.status();
    assert_eq!((status.committed, status.executed), (Height(8), Height(8)));
    assert!(status.is_recovering && cluster.hosts[3].halted.is_none());
    cluster.promises.clear();
    let is_in = |c: &Cluster| !c.hosts[3].replica.status().is_recovering;
    let mut number = 10;
    while !is_in(&cluster) {
        assert!(cluster.promises.iter().all(|(from, _)| *from != id(3)), "it promises nothing before");
        assert!(number < 100, "it is never let in");
        (0..4).for_each(|i| cluster.request(i, number));
        cluster.run_until(50, |c| is_in(c));
        number += 1;
    }
    // It is needed for every quorum now.
    cluster.stop(2);
    for number in number..number + 4 {
        (0..4).filter(|i| *i != 2).for_each(|i| cluster.request(i, number));
    }
    let goal = cluster.committed(3).0 + 1;
    assert!(
        cluster.run_until(30_000, |c| c.committed(3).0 >= goal),
        "{:?}",
        cluster.hosts[3].replica.status()
    );
    assert!(cluster.hosts.iter().all(|host| host.halted.is_none()));
}

/// [D3] Two of four: only two others are left to report, and Q are needed. They stay silent for ever: an
/// operator must decide.
#[test]
fn more_than_f_restored_replicas_never_take_part() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=9);
    for lost in [2, 3] {
        let (recovered, disk) = restored(&cluster, 1);
        cluster.restart_on(lost, recovered, disk);
    }
    cluster.promises.clear();
    (0..4).for_each(|i| cluster.request(i, 10));
    for _ in 0..60 {
        cluster.pass(std::time::Duration::from_secs(120));
        cluster.round();
        cluster.round();
    }
    for lost in [2, 3] {
        assert!(cluster.hosts[lost].replica.status().is_recovering);
        assert!(cluster.promises.iter().all(|(from, _)| *from != id(lost)));
    }
    assert!(cluster.hosts.iter().all(|host| host.halted.is_none()), "and nobody does harm");
    assert!((0..4).all(|i| cluster.committed(i).0 <= 9));
}

#[test]
fn header_and_certificate_must_be_about_one_block() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=9);
    let host = &cluster.hosts[1];
    let certificate = host.certified.last().expect("a checkpoint is stable").clone();
    let (header, _) = host.disk.snapshots[&certificate.checkpoint.height];
    let genesis = cluster.membership.genesis_block();
    for change in 0..3 {
        let mut other = (*certificate).clone();
        match change {
            0 => other.checkpoint.height = Height(4),
            1 => other.checkpoint.block = Digest::of_bytes(b"another"),
            _ => other.checkpoint.epoch.0 += 1,
        }
        assert_eq!(Summary::restored(header, Arc::new(other), genesis), None);
    }
}

/// An account says of a log what a replica that starts on it says of itself.
#[test]
fn an_account_agrees_with_the_replica_that_reads_the_log() {
    let mut cluster = Cluster::without_history(4);
    run(&mut cluster, 1..=50);
    let of = |records: &[Record]| {
        let mut account = Account::default();
        records.iter().for_each(|record| account.add(record));
        account.finish()
    };
    for host in &cluster.hosts {
        let (account, status) = (of(&host.log), host.replica.status());
        assert_eq!((account.committed, account.stable), (status.committed, status.stable));
        assert_eq!((account.entered, account.asked), (status.view, status.asked));
        assert_eq!((account.recovering, account.diverged), (None, None));
        assert!(
            account.summary.is_some_and(|base| base > Height(0)),
            "a summary stands above what was cut: {account:?}"
        );
        let voted = host.log.iter().rev().find_map(|record| match record {
            Record::Vote(vote) => Some((vote.vote.view, vote.vote.height, vote.vote.digest)),
            _ => None,
        });
        assert_eq!(account.last_vote, voted);
    }
    assert_eq!(of(&[]).recovering, Some(None), "an empty log is a lost disk");
    assert_eq!(of(&[Record::Init]).recovering, None);
    let back = of(&[Record::Init, Record::RolledBack]);
    assert!(back.is_rolled_back && back.recovering == Some(None));
    assert_eq!(of(&[Record::Init, Record::Diverged(Height(7))]).diverged, Some(Height(7)));
    let is_vote = |message: &Message| matches!(message, Message::Vote(_));
    assert!(cluster.promises.iter().any(|(_, message)| is_vote(message)));
}
