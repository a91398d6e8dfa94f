//! Agreement on the state: rules K1 and K2.

mod common;
use common::{Cluster, id};
use quorate_consensus::{Event, Halt, Input};
use quorate_types::message::{Data, Message};
use quorate_types::{Digest, Height, ProtocolParameters, Rejection};
use std::time::Duration;

fn run(cluster: &mut Cluster, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        cluster.request(0, number);
        assert!(cluster.run_until(100, |c| c.hosts[0].replica.status().committed.0 >= number));
    }
}

fn stable(cluster: &Cluster, i: usize) -> u64 {
    cluster.hosts[i].replica.status().stable.0
}

/// [K1] Every `checkpoint_interval` blocks Q equal votes make a stable checkpoint.
#[test]
fn k1_checkpoints_come_at_the_interval() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=3);
    cluster.run_until(10, |_| false);
    assert!((0..4).all(|i| stable(&cluster, i) == 0));
    run(&mut cluster, 4..=9);
    cluster.run_until(10, |_| false);
    for host in &cluster.hosts {
        let heights: Vec<u64> = host
            .events
            .iter()
            .filter_map(|event| if let Event::Stable(height, _) = event { Some(height.0) } else { None })
            .collect();
        assert_eq!(heights, [4, 8]);
    }
}

/// [K1] Bytes of batches bring a checkpoint too, computed from the chain alone.
#[test]
fn k1_checkpoints_come_by_bytes() {
    let parameters = ProtocolParameters { checkpoint_bytes: 400, window: 4096, ..Default::default() };
    let mut cluster = Cluster::with(4, parameters);
    run(&mut cluster, 1..=8);
    cluster.run_until(10, |_| false);
    assert!(stable(&cluster, 0) >= 2);
    assert!((0..4).all(|i| stable(&cluster, i) == stable(&cluster, 0)));
}

/// [K1] W equal votes are not enough, and neither are Q different ones.
#[test]
fn k1_a_quorum_of_equal_votes_is_needed() {
    let mut cluster = Cluster::new(7);
    let block = cluster.block(0, cluster.genesis_id(), &[1]).id();
    let root = Digest::of_bytes(b"root");
    for i in 0..4 {
        let vote = cluster.checkpoint_vote(i, block, root);
        cluster.deliver(i, 6, vote.clone());
        cluster.deliver(i, 6, vote);
    }
    let other = cluster.checkpoint_vote(4, block, Digest::of_bytes(b"other"));
    cluster.deliver(4, 6, other);
    assert_eq!(stable(&cluster, 6), 0);
    let vote = cluster.checkpoint_vote(5, block, root);
    cluster.deliver(5, 6, vote);
    assert_eq!(stable(&cluster, 6), 1);
}

/// [K1] A vote that names another replica, or is not signed by it, does not count.
#[test]
fn k1_votes_are_checked() {
    let mut cluster = Cluster::new(4);
    let block = cluster.block(0, cluster.genesis_id(), &[1]).id();
    let root = Digest::of_bytes(b"root");
    for i in 0..3 {
        let vote = cluster.checkpoint_vote(i, block, root);
        cluster.deliver(0, 3, vote);
    }
    assert!(cluster.is_refused(3, Rejection::WrongSender));
    for i in [1, 2] {
        let Message::CheckpointVote(mut vote) = cluster.checkpoint_vote(i, block, root) else { return };
        vote.signature.0[0] ^= 1;
        cluster.deliver(i, 3, Message::CheckpointVote(vote));
    }
    assert!(cluster.is_refused(3, Rejection::BadSignature));
    assert_eq!(stable(&cluster, 3), 0);
}

/// [K1] Two checkpoint votes of one replica for one height are evidence.
#[test]
fn k1_two_votes_for_one_height_convict() {
    let mut cluster = Cluster::new(4);
    let block = cluster.block(0, cluster.genesis_id(), &[1]).id();
    for root in [b"one", b"two"] {
        let vote = cluster.checkpoint_vote(1, block, Digest::of_bytes(root));
        cluster.deliver(1, 3, vote);
    }
    assert_eq!(cluster.hosts[3].evidence.len(), 1);
    assert_eq!(cluster.hosts[3].evidence[0].replica, id(1));
}

/// [K1] A lost checkpoint vote, or the certificate, is sent again to whoever lacks it.
#[test]
fn k1_what_a_peer_lacks_is_sent_again() {
    let mut cluster = Cluster::new(4);
    for number in 1..=4 {
        cluster.request(0, number);
        for _ in 0..6 {
            cluster.round_where(|e| !matches!(e.message, Message::CheckpointVote(_)));
            cluster.pass(Duration::from_millis(1));
        }
    }
    assert!((0..4).all(|i| cluster.committed(i).0 == 4 && stable(&cluster, i) == 0));
    let no_certificate = |e: &common::Envelope| !matches!(e.message, Message::Data(Data::Checkpoint(_)));
    assert!(cluster.run_where(1_000, no_certificate, |c| (0..4).all(|i| stable(c, i) == 4)));
}

/// [K1] Who was away gets the certificate.
#[test]
fn k1_a_laggard_gets_the_certificate() {
    let mut cluster = Cluster::new(4);
    cluster.stop(3);
    run(&mut cluster, 1..=5);
    cluster.restart(3);
    let no_votes = |e: &common::Envelope| !matches!(e.message, Message::CheckpointVote(_));
    assert!(cluster.run_where(1_000, no_votes, |c| stable(c, 3) == 4));
    assert!(cluster.hosts[3].halted.is_none());
}

/// [K2] A replica whose state differs from the certified one stops, and says nothing more.
#[test]
fn k2_a_diverged_replica_halts() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=2);
    cluster.run_until(5, |_| false);
    cluster.hosts[2].root = Digest::of_bytes(b"a bit flipped");
    for number in 3..=6 {
        cluster.request(0, number);
        cluster.run_until(20, |_| false);
    }
    assert!(matches!(cluster.hosts[2].halted, Some(Halt::Diverged { height: Height(4), .. })));
    assert!([0, 1, 3].iter().all(|i| cluster.hosts[*i].halted.is_none() && cluster.committed(*i).0 == 6));
    assert!(cluster.hosts[2].replica.status().is_halted);
    assert_eq!(cluster.hosts[2].replica.poll_timeout(), None);
    cluster.wire.clear();
    cluster.request(2, 9);
    cluster.give(2, Input::Timeout);
    assert_eq!(cluster.sent_by(2).count(), 0);
}

/// [K2] If no root can reach a quorum the application is not deterministic, and all halt.
#[test]
fn k2_a_nondeterministic_application_halts_all() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=3);
    cluster.run_until(5, |_| false);
    for i in 0..4 {
        cluster.hosts[i].root = Digest::of_bytes(&[u8::try_from(i / 2).unwrap()]);
    }
    cluster.request(0, 4);
    cluster.run_until(20, |_| false);
    for host in &cluster.hosts {
        assert!(matches!(host.halted, Some(Halt::NotDeterministic { height: Height(4), .. })));
    }
}

/// [K2] Whoever hears first that no root can reach a quorum tells its own before it halts, or the others
/// would never know.
#[test]
fn k2_who_halts_first_has_told_its_root() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=3);
    cluster.run_until(5, |_| false);
    for i in 0..4 {
        cluster.hosts[i].root = Digest::of_bytes(&[u8::try_from(i).unwrap()]);
    }
    // Two are slower with their snapshots and their logs: they know two other roots before they told their own.
    for slow in [2, 3] {
        cluster.hosts[slow].is_snapshotting = false;
    }
    cluster.request(0, 4);
    cluster.run_until(20, |_| false);
    for slow in [2, 3] {
        cluster.hosts[slow].is_syncing = false;
        cluster.request(slow, 5);
        for head in std::mem::take(&mut cluster.hosts[slow].snapshots_waiting) {
            cluster.give(slow, Input::Snapshot(head));
        }
        cluster.hosts[slow].is_syncing = true;
        cluster.drain(slow);
    }
    cluster.run_until(20, |_| false);
    for host in &cluster.hosts {
        assert!(matches!(host.halted, Some(Halt::NotDeterministic { height: Height(4), .. })));
    }
}

/// [K2] One liar's root halts nobody.
#[test]
fn k2_f_lies_about_the_state_halt_nobody() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=3);
    cluster.run_until(5, |_| false);
    cluster.hosts[3].root = Digest::of_bytes(b"lie");
    cluster.request(0, 4);
    cluster.run_until(20, |_| false);
    assert!((0..3).all(|i| cluster.hosts[i].halted.is_none() && stable(&cluster, i) == 4));
}

/// [K2] W voters that tell another result of a block stop a diverged replica before the checkpoint;
/// fewer do not.
#[test]
fn k2_results_are_compared_before_the_checkpoint() {
    let mut cluster = Cluster::new(4);
    run(&mut cluster, 1..=1);
    cluster.run_until(5, |_| false);
    let block = cluster.block(0, cluster.genesis_id(), &[7]);
    for (told, voter) in [(1, 1), (2, 0)] {
        let Message::Vote(mut vote) = cluster.vote(voter, 0, (Height(9), block.id().1)) else { return };
        vote.executed = Height(1);
        vote.result_root = Digest::of_bytes(b"another result");
        cluster.deliver(voter, 2, Message::Vote(vote));
        cluster.deliver(voter, 2, Message::Vote(vote));
        assert_eq!(cluster.hosts[2].halted.is_some(), told == 2);
    }
}
