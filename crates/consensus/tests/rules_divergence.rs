//! What happens to a replica whose state is wrong, and how it becomes right again: rule K2.

mod common;
use common::{Cluster, Envelope, id};
use quorate_consensus::{Event, Halt, Record};
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{Digest, Height};

/// The replica whose state is wrong.
const WRONG: usize = 2;

fn no_checkpoint_votes(e: &Envelope) -> bool {
    !matches!(e.message, Message::CheckpointVote(_) | Message::Data(Data::Checkpoint(_)))
}

fn run_where(cluster: &mut Cluster, numbers: std::ops::RangeInclusive<u64>, passes: fn(&Envelope) -> bool) {
    for number in numbers {
        cluster.request(0, number);
        let is_done = |c: &Cluster| [0, 1, 3].iter().all(|i| c.committed(*i) >= Height(number));
        assert!(cluster.run_where(200, passes, is_done), "request {number}");
    }
}

/// Replica 2 was wrong from block 3 on and stopped at checkpoint 4; the others have six blocks.
fn diverged() -> Cluster {
    let mut cluster = Cluster::new(4);
    run_where(&mut cluster, 1..=2, |_| true);
    cluster.run_until(5, |_| false);
    cluster.hosts[WRONG].root = Digest::of_bytes(b"a bit flipped");
    run_where(&mut cluster, 3..=6, |_| true);
    cluster.run_until(5, |_| false);
    assert!(matches!(cluster.hosts[WRONG].halted, Some(Halt::Diverged { height: Height(4), .. })));
    cluster
}

fn is_repaired(cluster: &Cluster) -> bool {
    cluster.hosts[WRONG].events.iter().any(|event| matches!(event, Event::Installed(..)))
        && cluster.hosts[WRONG].root == cluster.hosts[0].root
        && cluster.committed(WRONG) == cluster.committed(0)
}

/// [K2] That the state is wrong is on disk before the replica stops; when it starts again it fetches the state of
/// the others, below what it committed, and goes on from there as one of them.
#[test]
fn k2_a_diverged_replica_repairs_itself_after_a_restart() {
    let mut cluster = diverged();
    assert!(cluster.hosts[WRONG].log.contains(&Record::Diverged(Height(4))));
    cluster.restart(WRONG);
    let no_states = |e: &Envelope| !matches!(e.message, Message::Data(Data::State { .. }));
    assert!(cluster.run_where(1_000, no_states, |c| c.committed(WRONG) == Height(6)));
    assert!(cluster.run_until(1_000, is_repaired), "by a state that is older than what it committed");
    cluster.promises.clear();
    run_where(&mut cluster, 7..=8, |_| true);
    cluster.run_until(20, |_| false);
    let root_of = |of: usize| {
        cluster.promises.iter().find_map(|(from, message)| match message {
            Message::CheckpointVote(vote) if *from == id(of) => Some(vote.checkpoint),
            _ => None,
        })
    };
    assert!(root_of(WRONG).is_some());
    assert_eq!(root_of(WRONG), root_of(0));
    assert!(cluster.hosts[WRONG].halted.is_none());
    cluster.assert_one_history(&[]);
    // It is over: another start changes nothing.
    cluster.restart(WRONG);
    cluster.hosts[WRONG].events.clear();
    run_where(&mut cluster, 9..=10, |_| true);
    cluster.run_until(300, |_| false);
    assert_eq!(cluster.hosts[WRONG].root, cluster.hosts[0].root);
    assert!(!cluster.hosts[WRONG].events.iter().any(|event| matches!(event, Event::Fetching(_))));
}

/// [K2] Until then it orders with the others, but it executes nothing, vouches for no state and shows none.
#[test]
fn k2_a_wrong_state_is_not_used() {
    let mut cluster = diverged();
    cluster.restart(WRONG);
    cluster.promises.clear();
    let executed = cluster.hosts[WRONG].replica.status().executed;
    let no_states = |e: &Envelope| !matches!(e.message, Message::Data(Data::State { .. }));
    run_where(&mut cluster, 7..=14, no_states);
    assert!(cluster.run_where(500, no_states, |c| c.committed(WRONG) == Height(14)));
    let said = |is_it: fn(&Message) -> bool| {
        cluster.promises.iter().any(|(from, message)| *from == id(WRONG) && is_it(message))
    };
    assert!(said(|message| matches!(message, Message::Vote(_))));
    assert!(!said(|message| matches!(message, Message::CheckpointVote(_))));
    assert_eq!(cluster.hosts[WRONG].replica.status().executed, executed);
    cluster.wire.clear();
    for height in 1..=14 {
        cluster.deliver(0, WRONG, Message::Fetch(Fetch::State(Height(height))));
    }
    assert_eq!(cluster.count_sent(WRONG, |m| matches!(m, Message::Data(Data::State { .. }))), 0);
    assert!(cluster.run_until(1_000, is_repaired), "once it gets one");
}

/// [K2] A wrong snapshot is not kept as a certified one.
#[test]
fn k2_no_certificate_is_kept_beside_a_wrong_snapshot() {
    let cluster = diverged();
    assert!(cluster.hosts[0].certified.iter().any(|kept| kept.checkpoint.height == Height(4)));
    assert!(cluster.hosts[WRONG].certified.is_empty());
}

/// [K2] The certificate that brings the repair is no reason to stop once more.
#[test]
fn k2_the_certificate_of_a_known_divergence_stops_nobody_again() {
    let mut cluster = Cluster::new(4);
    run_where(&mut cluster, 1..=3, |_| true);
    cluster.run_until(5, |_| false);
    cluster.hosts[WRONG].root = Digest::of_bytes(b"a bit flipped");
    run_where(&mut cluster, 4..=4, no_checkpoint_votes);
    assert!(cluster.run_where(20, no_checkpoint_votes, |c| c.committed(WRONG) == Height(4)));
    // Votes tell the result of block 4 before anybody has a certificate.
    for voter in [0, 1] {
        let block = (Height(9), Digest::of_bytes(b"a later block"));
        let Message::Vote(mut vote) = cluster.vote(voter, 0, block) else { unreachable!() };
        (vote.executed, vote.result_root) = (Height(4), Digest::of_bytes(b"another result"));
        cluster.deliver(voter, WRONG, Message::Vote(vote));
    }
    assert!(matches!(cluster.hosts[WRONG].halted, Some(Halt::Diverged { height: Height(4), .. })));
    cluster.restart(WRONG);
    assert!(cluster.run_until(1_000, is_repaired), "{:?}", cluster.hosts[WRONG].halted);
}

/// [K2] Snapshots above the block at which the state was seen to differ are wrong too: the repair lies above them.
#[test]
fn k2_a_wrong_snapshot_above_is_not_started_from() {
    let mut cluster = Cluster::new(4);
    run_where(&mut cluster, 1..=3, |_| true);
    cluster.run_until(5, |_| false);
    cluster.hosts[WRONG].root = Digest::of_bytes(b"a bit flipped");
    run_where(&mut cluster, 4..=9, no_checkpoint_votes);
    cluster.run_where(20, no_checkpoint_votes, |_| false);
    assert!(cluster.hosts[WRONG].disk.snapshots.contains_key(&Height(8)));
    let (header, head) = cluster.hosts[0].disk.snapshots[&Height(4)].clone();
    for i in [0, 1, 3] {
        let vote = cluster.checkpoint_vote(i, (Height(4), header.header.digest()), head.root());
        for to in 0..4 {
            if to != i {
                cluster.deliver(i, to, vote.clone());
            }
        }
    }
    assert!(matches!(cluster.hosts[WRONG].halted, Some(Halt::Diverged { height: Height(4), .. })));
    assert!(cluster.hosts[WRONG].log.contains(&Record::Diverged(Height(8))));
    cluster.restart(WRONG);
    cluster.run_where(500, no_checkpoint_votes, |_| false);
    assert!(!cluster.hosts[WRONG].events.iter().any(|event| matches!(event, Event::Installed(..))));
    assert!(cluster.run_until(1_000, is_repaired));
    cluster.restart(WRONG);
    run_where(&mut cluster, 10..=11, |_| true);
    cluster.run_until(200, |_| false);
    assert_eq!(cluster.hosts[WRONG].root, cluster.hosts[0].root);
}

/// [K2] A result root covers all results before it: who missed what others said of one block sees the difference
/// at a later one.
#[test]
fn k2_result_roots_are_chained() {
    let mut cluster = Cluster::new(4);
    cluster.hosts[WRONG].wrong_at = Some(Height(1));
    let unheard = |e: &Envelope| match &e.message {
        Message::Vote(vote) => e.to != id(WRONG) || vote.executed != Height(1),
        _ => true,
    };
    run_where(&mut cluster, 1..=3, unheard);
    cluster.run_where(20, unheard, |_| false);
    let Some(Halt::Diverged { height, .. }) = cluster.hosts[WRONG].halted else { panic!("it goes on") };
    assert_eq!(height, Height(2), "the first block of which it heard");
}
