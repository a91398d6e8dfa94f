//! The cut waits while a peer fetches a state: rules K1 and K3.

mod common;
use common::{Cluster, LAGGARD, is_chunk};
use quorate_consensus::{Limits, Record};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message, Status};
use quorate_types::{Digest, Height, ProtocolParameters};
use std::time::Duration;

/// The replica that is asked; what it keeps is looked at.
const ASKED: usize = 1;

/// Three replicas have fifty blocks and cut their logs at 48. The fourth is away: tests speak for it.
fn cut_at_48() -> Cluster {
    let mut cluster = Cluster::without_history(4);
    cluster.stop(LAGGARD);
    cluster.run_requests(1..=50);
    cluster.run_until(5, |_| false);
    assert_eq!(kept(&cluster), [44, 48]);
    cluster
}

/// The snapshots that are kept: those of the last two cuts, and newer ones.
fn kept(cluster: &Cluster) -> Vec<u64> {
    cluster.hosts[ASKED].disk.snapshots.keys().map(|height| height.0).collect()
}

fn ask(cluster: &mut Cluster, height: u64) {
    cluster.deliver(LAGGARD, ASKED, Message::Fetch(Fetch::State(Height(height))));
}

/// The fourth replica tells how far it committed.
fn tell(cluster: &mut Cluster, height: u64) {
    let status = Status { committed: (Height(height), Digest::default()), ..cluster.status(0) };
    cluster.deliver(LAGGARD, ASKED, Message::Status(status));
}

fn run(cluster: &mut Cluster, numbers: std::ops::RangeInclusive<u64>) {
    cluster.run_requests(numbers);
    cluster.run_until(5, |_| false);
}

fn pass(cluster: &mut Cluster, seconds: u64) {
    for _ in 0..seconds * 10 {
        cluster.pass(Duration::from_millis(100));
        cluster.round();
    }
}

/// The headers above a height that the asked replica still has.
fn chain_above(cluster: &mut Cluster, height: u64) -> usize {
    cluster.wire.clear();
    cluster.deliver(LAGGARD, ASKED, Message::Fetch(Fetch::Chain(Height(height))));
    let of = |message: &Message| match message {
        Message::Data(Data::Chain(headers)) => Some(headers.len()),
        _ => None,
    };
    cluster.sent_by(ASKED).find_map(of).unwrap_or(0)
}

/// [K1] The state that a peer fetches stays, and every block above it. Checkpoints go on.
#[test]
fn k1_the_cut_waits_while_a_peer_fetches() {
    let mut cluster = cut_at_48();
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=64);
    assert_eq!(kept(&cluster), [44, 48, 52, 56, 60, 64]);
    assert_eq!(chain_above(&mut cluster, 48), 16);
    assert_eq!(cluster.hosts[ASKED].replica.status().stable, Height(64));
    assert_eq!(cluster.hosts[0].disk.snapshots.len(), 2, "nobody asked that one");
}

/// [K1] What lies below the fetched state goes as always.
#[test]
fn k1_a_cut_below_the_fetched_state_waits_for_nobody() {
    let mut cluster = cut_at_48();
    ask(&mut cluster, 56);
    run(&mut cluster, 51..=64);
    assert_eq!(kept(&cluster), [52, 56, 60, 64]);
}

/// [K1] It ends when the peer has what the next cut would take from it.
#[test]
fn k1_the_wait_ends_when_the_peer_has_arrived() {
    let mut cluster = cut_at_48();
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=60);
    tell(&mut cluster, 59);
    assert_eq!(kept(&cluster).len(), 5);
    tell(&mut cluster, 60);
    assert_eq!(kept(&cluster), [56, 60]);
}

/// [K1] It goes on while the peer is behind by more than one answer tells, or the next cut but one would overtake it.
#[test]
fn k1_the_wait_goes_on_until_the_peer_keeps_up() {
    let parameters = ProtocolParameters { checkpoint_interval: 100, window: 4096, ..Default::default() };
    let limits = Limits { history_bytes_max: 0, ..Limits::default() };
    let mut cluster = Cluster::with_limits(4, parameters, limits);
    cluster.stop(LAGGARD);
    run(&mut cluster, 1..=105);
    ask(&mut cluster, 100);
    run(&mut cluster, 106..=290);
    tell(&mut cluster, 225);
    assert_eq!(chain_above(&mut cluster, 100), 64);
    tell(&mut cluster, 226);
    assert_eq!(chain_above(&mut cluster, 100), 0);
}

/// [K1] [K2] A peer whose state is wrong has the blocks: what it committed does not show that it has the state.
#[test]
fn k1_a_repair_ends_the_wait_by_its_silence_only() {
    let mut cluster = cut_at_48();
    tell(&mut cluster, 50);
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=60);
    tell(&mut cluster, 60);
    assert_eq!(kept(&cluster).len(), 5);
    pass(&mut cluster, 31);
    assert_eq!(kept(&cluster), [56, 60]);
}

/// [K1] It ends when the peer has asked for nothing for half a minute, whatever it asked for before: installing a
/// state takes time.
#[test]
fn k1_the_wait_ends_with_silence() {
    let mut cluster = cut_at_48();
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=60);
    let questions = [
        Fetch::Chunks(Limited::take([Digest::default()])),
        Fetch::Chain(Height(48)),
        Fetch::Blocks(Limited::default()),
    ];
    for question in questions {
        pass(&mut cluster, 29);
        assert_eq!(kept(&cluster).len(), 5);
        cluster.deliver(LAGGARD, ASKED, Message::Fetch(question));
    }
    pass(&mut cluster, 29);
    assert_eq!(kept(&cluster).len(), 5);
    pass(&mut cluster, 2);
    assert_eq!(kept(&cluster), [56, 60]);
}

/// [K1] It ends when four newer snapshots are kept.
#[test]
fn k1_the_wait_ends_with_the_fifth_snapshot_above() {
    let mut cluster = cut_at_48();
    for number in 51..=70 {
        ask(&mut cluster, 48);
        run(&mut cluster, number..=number);
        assert!(kept(&cluster).len() <= 6);
    }
    assert_eq!(kept(&cluster), [64, 68]);
}

/// Bytes of the blocks that a replica holds.
fn held_bytes(cluster: &Cluster) -> usize {
    let of = |record: &Record| match record {
        Record::Block { batch, .. } => 512 + batch.len(),
        _ => 0,
    };
    cluster.hosts[ASKED].log.iter().map(of).sum()
}

/// [K1] It ends when the blocks above take more bytes than the limit.
#[test]
fn k1_the_wait_ends_with_the_limit_of_bytes() {
    let mut cluster = cut_at_48();
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=54);
    let held_bytes_max = held_bytes(&cluster);
    let parameters = ProtocolParameters { checkpoint_interval: 4, window: 4096, ..Default::default() };
    let limits = Limits { history_bytes_max: 0, held_bytes_max, ..Limits::default() };
    let mut cluster = Cluster::with_limits(4, parameters, limits);
    cluster.stop(LAGGARD);
    cluster.run_requests(1..=50);
    cluster.run_until(5, |_| false);
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=54);
    assert_eq!(kept(&cluster), [44, 48, 52]);
    run(&mut cluster, 55..=55);
    assert_eq!(kept(&cluster), [48, 52]);
}

/// [K1] Whoever held up a cut does not hold up the next, whatever ended the wait and whatever it asks for.
#[test]
fn k1_nobody_holds_up_every_cut() {
    let mut cluster = cut_at_48();
    let mut lengths = Vec::new();
    for number in 51..=120 {
        for height in [44, 48, cluster.hosts[ASKED].replica.status().stable.0, u64::MAX] {
            ask(&mut cluster, height);
        }
        run(&mut cluster, number..=number);
        if number % 4 == 0 {
            lengths.push(kept(&cluster).len());
        }
    }
    // Two snapshots stay after a cut. The one at 68 was held up to the limit, the one at 72 is not, and so on.
    assert_eq!(lengths, [3, 4, 5, 6, 2, 2, 3, 4, 5, 6, 2, 2, 3, 4, 5, 6, 2, 2]);
    let mut cluster = cut_at_48();
    ask(&mut cluster, 48);
    run(&mut cluster, 51..=56);
    tell(&mut cluster, 1_000);
    assert_eq!(kept(&cluster), [52, 56]);
    tell(&mut cluster, 2);
    ask(&mut cluster, 56);
    run(&mut cluster, 57..=60);
    assert_eq!(kept(&cluster), [56, 60]);
    ask(&mut cluster, 60);
    run(&mut cluster, 61..=64);
    assert_eq!(kept(&cluster), [56, 60, 64], "the next but one");
}

/// [K1] What is gone already keeps nothing, and a height that does not exist nothing either.
#[test]
fn k1_a_wait_for_nothing_keeps_nothing() {
    for height in [0, 44, 47, u64::MAX] {
        let mut cluster = cut_at_48();
        ask(&mut cluster, height);
        run(&mut cluster, 51..=60);
        assert_eq!(kept(&cluster), [56, 60], "{height}");
    }
}

/// [K1] [K3] Who fetches more slowly than two checkpoints are apart gets the state that it began with, and the blocks
/// above it: it moves to no other state.
#[test]
fn k3_a_slow_transfer_arrives_under_load() {
    let mut cluster = Cluster::with_laggard();
    let begun = |c: &Cluster| c.hosts[LAGGARD].replica.status().transfer.is_some_and(|(held, _)| held > 0);
    assert!(cluster.run_until(2_000, begun));
    cluster.run_until(5, |_| false);
    for number in 51..=64 {
        cluster.request(0, number);
        let is_done = |c: &Cluster| c.committed(0) == Height(number);
        assert!(cluster.run_where(200, |e| !is_chunk(&e.message), is_done));
    }
    cluster.run_where(5, |e| !is_chunk(&e.message), |_| false);
    assert!(!cluster.has_caught_up());
    assert!(cluster.run_until(3_000, Cluster::has_caught_up));
    assert_eq!(cluster.installed(LAGGARD), [Height(48)]);
    assert_eq!(cluster.fetching(LAGGARD), [Height(48)]);
    cluster.run_requests(65..=80);
    cluster.run_until(200, |_| false);
    for host in &cluster.hosts {
        assert_eq!(host.disk.snapshots.keys().map(|height| height.0).collect::<Vec<_>>(), [76, 80]);
    }
    cluster.assert_one_history(&[]);
    cluster.assert_promises_kept(&[]);
}
