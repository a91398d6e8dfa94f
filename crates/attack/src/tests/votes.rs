//! The attacks by votes: too many, too early, hidden, repeated, beside the truth.

use quorate_types::message::{Message, ReplicaMessage, Reply, Vote};
use quorate_types::{Height, Rejection, ReplicaId, Statement, Time, View};
use std::collections::{BTreeMap, BTreeSet};

use super::stage::{R0, R1, R2, R3, Stage, commit, status};
use crate::*;

fn votes(sent: &[(ReplicaId, Message)]) -> Vec<Vote> {
    sent.iter()
        .filter_map(|(_, message)| if let Message::Vote(vote) = message { Some(*vote) } else { None })
        .collect()
}

/// Votes of replica 0 for the blocks of view 0.
fn own_votes(stage: &Stage, count: u64) -> Vec<Message> {
    let blocks = stage.cluster.chain(View(0), count);
    blocks.iter().map(|block| Message::Vote(stage.cluster.vote(R0, &block.header.header))).collect()
}

#[test]
fn floods_are_validly_signed_and_of_the_present_view() {
    let mut stage = Stage::new(4, flood_votes().rate(50), 1);
    let own = own_votes(&stage, 1).remove(0);
    let sent = stage.send(R1, own);
    let all = votes(&sent);
    assert_eq!((all.len(), stage.byzantine.fired), (51, 50));
    assert!(sent.iter().any(|(_, message)| matches!(message, Message::Commit(_))));
    for vote in &all {
        assert_eq!(vote.vote.view, View(0));
        let statement = Statement::Vote(vote.vote);
        stage.cluster.membership.check_statement(R0, &statement, &vote.signature).unwrap();
    }
    let heights: BTreeSet<Height> = all.iter().map(|vote| vote.vote.height).collect();
    assert!(heights.len() > 40);
}

#[test]
fn what_is_counted_is_repeated_and_nothing_else() {
    let mut stage = Stage::new(4, repeat_votes().times(5), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0);
    for counted in [own_votes(&stage, 1).remove(0), commit(&block.header.header)] {
        let sent = stage.send(R1, counted.clone());
        assert!(sent.len() == 5 && sent.iter().all(|(_, message)| *message == counted));
    }
    assert_eq!(stage.send(R1, Message::Propose(block)).len(), 1);
    assert_eq!(stage.byzantine.fired, 8);
}

#[test]
fn one_witness_sees_the_votes_of_a_view() {
    let mut stage = Stage::new(4, hide_votes(), 1);
    let mut witnesses: BTreeMap<View, BTreeSet<ReplicaId>> = BTreeMap::new();
    for view in 0..20 {
        for block in stage.cluster.chain(View(view), 3) {
            let header = block.header.header;
            let vote = Message::Vote(stage.cluster.vote(R0, &header));
            let sent = [stage.broadcast(vote), stage.broadcast(commit(&header))].concat();
            assert_eq!(sent.len(), 2);
            witnesses.entry(View(view)).or_default().extend(sent.iter().map(|(to, _)| *to));
            assert_eq!(stage.broadcast(Message::Propose(block)).len(), 3);
        }
    }
    assert!(witnesses.values().all(|seen| seen.len() == 1));
    assert_eq!(witnesses.values().flatten().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn commit_votes_come_too_early_and_for_two_blocks() {
    let mut stage = Stage::new(4, commit_early(), 1);
    let block = stage.cluster.chain(View(1), 1).remove(0);
    let (is_heard, sent) = stage.receive(R1, Message::Propose(block.clone()));
    let expected = commit(&block.header.header);
    assert!(is_heard && sent.len() == 3 && sent.iter().all(|(_, message)| *message == expected));
    let own = stage.cluster.chain(View(0), 1).remove(0);
    assert_eq!(stage.send(R1, Message::Propose(own.clone()))[1].1, commit(&own.header.header));
    let mut stage = Stage::new(4, equivocate_commits(), 1);
    let (mut truths, mut lies) = (0, 0);
    for block in stage.cluster.chain(View(0), 30) {
        let truth = commit(&block.header.header);
        let sent = stage.broadcast(truth.clone());
        assert_eq!(sent.iter().map(|(to, _)| *to).collect::<BTreeSet<_>>(), [R1, R2, R3].into());
        truths += sent.iter().filter(|(_, message)| *message == truth).count();
        lies += sent.iter().filter(|(_, message)| *message != truth).count();
    }
    assert!(truths > 20 && lies > 20);
    assert_eq!(stage.byzantine.fired as usize, lies);
}

#[test]
fn results_differ_beside_one_and_the_same_vote() {
    let mut stage = Stage::new(4, lie_about_executed(), 1);
    let (mut heights, mut roots) = (BTreeSet::new(), BTreeSet::new());
    for own in own_votes(&stage, 30) {
        let Message::Vote(truth) = own else { panic!() };
        for vote in votes(&stage.broadcast(own)) {
            assert_eq!((vote.vote, vote.signature), (truth.vote, truth.signature));
            heights.insert(vote.executed.cmp(&truth.executed));
            roots.insert(vote.result_root);
        }
    }
    assert!(heights.len() == 3 && roots.len() == 4, "another lie for each replica, and the truth");
}

#[test]
fn a_voter_abandons_its_view_and_votes_on() {
    let mut stage = Stage::new(4, vote_and_abandon().percent(100), 1);
    let mut own = own_votes(&stage, 2).into_iter();
    let sent = stage.send(R1, own.next().unwrap());
    let asked = sent.iter().filter_map(|(_, message)| {
        if let Message::ViewChange(change) = message {
            Some((change.new_view, change.claim.len()))
        } else {
            None
        }
    });
    assert_eq!(asked.collect::<Vec<_>>(), [(View(1), 0); 3]);
    let sent = stage.send(R1, own.next().unwrap());
    assert!(matches!(&sent[..], [(_, Message::Vote(_))]));
    assert_eq!(stage.byzantine.fired, 2);
}

#[test]
fn handfuls_come_last_first() {
    let mut stage = Stage::new(4, reverse_order(), 1);
    let own = own_votes(&stage, 10);
    let sent: Vec<Message> =
        own.iter().flat_map(|vote| stage.send(R1, vote.clone())).map(|(_, message)| message).collect();
    assert!(sent.iter().eq(own[..8].iter().rev()));
    let rest: Vec<Message> =
        stage.timeout(Time(1_000_000_000)).into_iter().map(|(_, message)| message).collect();
    assert!(rest.iter().eq(own[8..].iter().rev()));
    assert_eq!(stage.byzantine.fired, 2);
    assert!(stage.timeout(Time(2_000_000_000)).is_empty());
}

#[test]
fn a_parrot_repeats_statements_to_all_and_questions_to_nobody() {
    let mut stage = Stage::new(4, parrot().percent(100), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let vote = Message::Vote(stage.cluster.vote(R2, &block));
    let (is_heard, sent) = stage.receive(R2, vote.clone());
    assert!(is_heard && sent.len() == 3 && sent.iter().all(|(_, message)| *message == vote));
    assert!(stage.receive(R2, status(&block)).1.is_empty());
    assert_eq!(stage.byzantine.fired, 1);
}

#[test]
fn clients_are_refused_for_one_reason_after_the_other() {
    let mut stage = Stage::new(4, refuse_clients(), 1);
    let reply = Reply { birth: Time(1), nonce: 2, view: View(0), results: Default::default() };
    let mut reasons = BTreeSet::new();
    for _ in 0..Rejection::ALL.len() {
        let told = stage.reply(ReplicaMessage::Reply(reply.clone()));
        let [ReplicaMessage::Refused { why, .. }] = &told[..] else { panic!("{told:?}") };
        reasons.insert(*why);
    }
    assert_eq!(reasons.len(), Rejection::ALL.len());
    let welcome = ReplicaMessage::Welcome { epoch: quorate_types::Epoch(0), clock: Time(5), view: View(0) };
    assert_eq!(stage.reply(welcome.clone()), [welcome]);
    let mut stage = Stage::new(4, drop_forwards(), 1);
    let request = Message::Request(stage.cluster.batch(1, 1).bundles()[0].raw().clone());
    assert!(stage.send(R1, request.clone()).is_empty() && !stage.receive(R1, request).0);
}
