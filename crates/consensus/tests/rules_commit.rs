//! When blocks are committed: rules C1 to C5, each shown by what would go wrong without it.

mod common;
use common::{Cluster, Made, id};
use quorate_consensus::{Peer, Record};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Justify, Message};
use quorate_types::{Rejection, View};
use std::time::Duration;

/// [C1] A replica that has not seen the certificate of a view does not know which block is its
/// first one; votes alone commit nothing there.
#[test]
fn c1_votes_do_not_commit_the_first_block_of_a_view_whose_certificate_was_not_seen() {
    let mut cluster = Cluster::new(4);
    cluster.enter(3, 1, &[0, 1, 2]);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    cluster.deliver(1, 3, first.bare());
    for voter in 0..3 {
        let vote = cluster.vote(voter, 1, first.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.committed(3).0, 0);
    let second = cluster.block(1, first.id(), &[2]);
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2]);
    cluster.deliver(1, 3, second.propose(justify));
    for voter in 0..3 {
        let vote = cluster.vote(voter, 1, second.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.committed(3).0, 2, "a block above the certified one commits both");
}

/// [C1] A quorum that is no fast quorum commits nothing by votes.
#[test]
fn c1_a_fast_quorum_is_needed() {
    let mut cluster = Cluster::new(7);
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(0, 6, block.bare());
    for voter in 0..4 {
        let vote = cluster.vote(voter, 0, block.id());
        cluster.deliver(voter, 6, vote);
    }
    assert_eq!(cluster.committed(6).0, 0, "with the own vote five of six");
    let vote = cluster.vote(4, 0, block.id());
    cluster.deliver(4, 6, vote.clone());
    assert_eq!(cluster.committed(6).0, 1);
    // One voter counts once.
    let mut cluster = Cluster::new(4);
    cluster.deliver(0, 3, block_of(&cluster).bare());
    let vote = cluster.vote(0, 0, block_of(&cluster).id());
    for _ in 0..5 {
        cluster.deliver(0, 3, vote.clone());
    }
    assert_eq!(cluster.committed(3).0, 0);
}

fn block_of(cluster: &Cluster) -> Made {
    cluster.block(0, cluster.genesis_id(), &[1])
}

/// [C1] A vote for a block counts for its ancestors, and votes for another chain do not count.
#[test]
fn c1_votes_count_for_ancestors_and_for_nothing_else() {
    let mut cluster = Cluster::new(4);
    let first = block_of(&cluster);
    let other = cluster.block(0, cluster.genesis_id(), &[9]);
    let second = cluster.block(0, first.id(), &[2]);
    cluster.deliver(0, 3, first.bare());
    cluster.deliver(0, 3, second.bare());
    for (voter, block) in [(0, &other), (1, &other), (2, &second)] {
        let vote = cluster.vote(voter, 0, block.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.committed(3).0, 0);
    let vote = cluster.vote(0, 0, second.id());
    cluster.deliver(0, 3, vote);
    assert_eq!(cluster.committed(3).0, 2, "replicas 0, 2 and 3 acknowledge height 2");
}

/// [C1] Votes of one view prove nothing in another.
#[test]
fn c1_votes_of_other_views_do_not_count() {
    let mut cluster = Cluster::new(4);
    let first = block_of(&cluster);
    cluster.deliver(0, 3, first.bare());
    for voter in 0..3 {
        let vote = cluster.vote(voter, 1, first.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.committed(3).0, 0, "a later view");
    let early = cluster.vote(0, 0, first.id());
    cluster.deliver(0, 3, early);
    cluster.enter(3, 1, &[0, 1, 2]);
    let late = cluster.vote(1, 0, first.id());
    cluster.deliver(1, 3, late);
    assert_eq!(cluster.committed(3).0, 0, "an earlier view");
}

/// [C1] What was acknowledged in one view is not acknowledged in the next.
#[test]
fn c1_a_new_view_counts_from_nothing() {
    let mut cluster = Cluster::new(4);
    let mut chain: Vec<Made> = Vec::new();
    cluster.hosts[3].is_syncing = false;
    for number in 1..=3 {
        let parent = chain.last().map_or(cluster.genesis_id(), Made::id);
        chain.push(cluster.block(0, parent, &[number]));
        cluster.deliver(0, 3, chain[chain.len() - 1].bare());
    }
    for voter in [0, 1] {
        let vote = cluster.vote(voter, 0, chain[2].id());
        cluster.deliver(voter, 3, vote);
    }
    cluster.enter(3, 1, &[0, 1, 2]);
    cluster.hosts[3].is_syncing = true;
    cluster.drain(3);
    let first = cluster.block(1, cluster.genesis_id(), &[7]);
    let second = cluster.block(1, first.id(), &[8]);
    let tc = cluster.empty_tc(1, &[0, 1, 2]);
    cluster.deliver(1, 3, first.propose(Justify::ViewChange(tc)));
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2]);
    cluster.deliver(1, 3, second.propose(justify));
    assert_eq!(cluster.voted(3).last(), Some(&second.id()));
    assert_eq!(cluster.committed(3).0, 0, "its own vote is the only one");
}

/// [C2] A prepared block that is not committed within the grace gets a certificate, and its holders
/// send commit votes; a vote with a bad signature is left out and counted against its sender.
#[test]
fn c2_only_verified_votes_make_a_certificate() {
    let mut cluster = Cluster::new(7);
    let block = block_of(&cluster);
    cluster.deliver(0, 6, block.bare());
    for voter in 0..3 {
        let vote = cluster.vote(voter, 0, block.id());
        cluster.deliver(voter, 6, vote);
    }
    let Message::Vote(mut bad) = cluster.vote(3, 0, block.id()) else { unreachable!() };
    bad.signature.0[0] ^= 1;
    cluster.deliver(3, 6, Message::Vote(bad));
    cluster.wire.clear();
    cluster.pass(Duration::from_millis(3));
    let is_commit = |m: &Message| matches!(m, Message::Commit(_));
    assert_eq!(cluster.count_sent(6, is_commit), 0, "four good votes and a bad one");
    assert_eq!(cluster.hosts[6].rejections, [(Peer::Replica(id(3)), Rejection::BadSignature)]);
    let vote = cluster.vote(3, 0, block.id());
    cluster.deliver(3, 6, vote);
    cluster.pass(Duration::from_millis(3));
    assert_eq!(cluster.count_sent(6, is_commit), 6);
    assert!(cluster.hosts[6].log.iter().any(|record| matches!(record, Record::HighQc(_))));
}

/// [C2] No commit vote leaves once a view change for a higher view was made.
#[test]
fn c2_no_commit_vote_after_a_view_change() {
    let mut cluster = Cluster::new(4);
    cluster.enter(3, 1, &[0, 1, 2]);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    let other = cluster.block(1, cluster.genesis_id(), &[2]);
    cluster.deliver(1, 3, first.bare());
    cluster.deliver(1, 3, other.bare());
    assert_eq!(cluster.hosts[3].replica.status().asked, View(2));
    let second = cluster.block(1, first.id(), &[3]);
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2]);
    cluster.deliver(1, 3, second.propose(justify));
    assert_eq!(cluster.count_sent(3, |m| matches!(m, Message::Commit(_))), 0);
}

/// [C3] The first block of a view commits by Q commit votes, not by fewer.
#[test]
fn c3_a_quorum_of_commit_votes_commits_the_first_block() {
    let mut cluster = Cluster::new(4);
    let tc = cluster.empty_tc(1, &[0, 1, 2]);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    cluster.deliver(1, 3, first.propose(Justify::ViewChange(tc)));
    for voter in 0..3 {
        let vote = cluster.vote(voter, 1, first.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.count_sent(3, |m| matches!(m, Message::Commit(_))), 3, "it holds the certificate");
    let commit = cluster.commit(1, first.id());
    for _ in 0..3 {
        cluster.deliver(0, 3, commit.clone());
    }
    assert_eq!(cluster.committed(3).0, 0, "two of three");
    let other = cluster.block(1, cluster.genesis_id(), &[2]);
    let for_other = cluster.commit(1, other.id());
    cluster.deliver(2, 3, for_other);
    assert_eq!(cluster.committed(3).0, 0, "another block");
    cluster.deliver(1, 3, commit);
    assert_eq!(cluster.committed(3).0, 1);
}

/// [C4] Execution is in height order, ancestors first, each block once.
#[test]
fn c4_ancestors_commit_and_execute_first() {
    let mut cluster = Cluster::new(4);
    let mut chain: Vec<Made> = Vec::new();
    for number in 1..=4 {
        let parent = chain.last().map_or(cluster.genesis_id(), Made::id);
        chain.push(cluster.block(0, parent, &[number]));
    }
    for block in chain.iter().rev() {
        cluster.deliver(0, 3, block.bare());
    }
    for voter in [1, 2] {
        let vote = cluster.vote(voter, 0, chain[3].id());
        cluster.deliver(voter, 3, vote);
    }
    let heights: Vec<u64> = cluster.hosts[3].executed.iter().map(|e| e.height.0).collect();
    assert_eq!(heights, [1, 2, 3, 4]);
    assert_eq!(cluster.commands(3).len(), 4);
}

/// [C5] W replicas prove a commit to a laggard, one does not.
#[test]
fn c5_one_peers_word_proves_no_commit() {
    let mut cluster = Cluster::new(4);
    cluster.stop(3);
    for number in 1..=3 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    cluster.restart(3);
    let only = |from: usize| {
        move |e: &common::Envelope| {
            let is_word = matches!(e.message, Message::Status(_) | Message::Fetch(_) | Message::Data(_));
            is_word && (e.to != id(3) || e.from == id(from) || matches!(e.message, Message::Status(_)))
        }
    };
    assert!(!cluster.run_where(1_000, only(0), |c| c.committed(3).0 > 0));
    let word = |e: &common::Envelope| {
        matches!(e.message, Message::Status(_) | Message::Fetch(_) | Message::Data(_)) && e.from != id(2)
    };
    assert!(cluster.run_where(2_000, word, |c| c.committed(3).0 == 3), "two of them do");
    assert_eq!(cluster.hosts[3].replica.status().view, View(0));
}

/// [C5] A lie about the chain convinces nobody as long as fewer than W tell it.
#[test]
fn c5_chains_that_differ_prove_what_they_share() {
    let mut cluster = Cluster::new(4);
    cluster.stop(3);
    for number in 1..=5 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    cluster.restart(3);
    // The primary of the view can sign another chain and state that it committed it.
    let mut lie: Vec<Made> = Vec::new();
    for _ in 0..9 {
        let parent = lie.last().map_or(cluster.genesis_id(), Made::id);
        lie.push(cluster.block(0, parent, &[7]));
    }
    for _ in 0..2_000 {
        for envelope in &mut cluster.wire {
            if envelope.from == id(0)
                && let Message::Data(Data::Chain(chain)) = &mut envelope.message
            {
                *chain = Limited::take(lie.iter().map(|made| made.signed));
            }
        }
        cluster
            .round_where(|e| matches!(e.message, Message::Status(_) | Message::Fetch(_) | Message::Data(_)));
        cluster.pass(Duration::from_millis(1));
    }
    assert_eq!(cluster.committed(3).0, 5);
    cluster.assert_one_history(&[]);
}

/// [C5] Headers with a gap, or that start elsewhere, are refused by name; so are unasked ones.
#[test]
fn c5_broken_and_unrequested_chains_are_refused() {
    let mut cluster = Cluster::new(4);
    let chain = [block_of(&cluster).signed];
    cluster.deliver(1, 3, Message::Data(Data::Chain(Limited::take(chain))));
    assert!(cluster.is_refused(3, Rejection::Unrequested));
    cluster.stop(3);
    for number in 1..=3 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    cluster.restart(3);
    let is_asked = |c: &Cluster| {
        c.wire.iter().any(|e| e.from == id(3) && matches!(e.message, Message::Fetch(Fetch::Chain(_))))
    };
    let only_status = |e: &common::Envelope| matches!(e.message, Message::Status(_));
    assert!(cluster.run_where(1_000, only_status, is_asked));
    let first = block_of(&cluster);
    let third = cluster.block(0, cluster.block(0, first.id(), &[2]).id(), &[3]);
    let gap = [first.signed, third.signed];
    cluster.deliver(1, 3, Message::Data(Data::Chain(Limited::take(gap))));
    assert!(cluster.is_refused(3, Rejection::BrokenChain));
}

/// [C2] Who committed by votes alone still sends a commit vote to those that cannot: here the sixth vote reaches
/// one replica only, and W say too little for C5.
#[test]
fn c2_who_committed_fast_helps_those_that_cannot() {
    let mut cluster = Cluster::new(7);
    cluster.stop(6);
    // Replica 5's vote reaches replica 1 alone, and then it is gone.
    cluster.request(0, 1);
    cluster.round();
    cluster.round_where(|e| e.from != id(5) || e.to == id(1));
    assert_eq!(cluster.committed(1).0, 1, "six votes");
    assert!([0, 2, 3, 4].iter().all(|i| cluster.committed(*i).0 == 0), "five votes");
    cluster.stop(5);
    let others_know = |c: &Cluster| [0, 2, 3, 4].iter().all(|i| c.committed(*i).0 == 1);
    assert!(cluster.run_until(400, others_know), "before any view timer runs out");
    assert!((0..5).all(|i| cluster.hosts[i].replica.status().asked.0 == 0));
}
