//! The attacks on single messages: votes, certificates, checkpoints, replies and their timing.

use quorate_types::limited::Limited;
use quorate_types::message::{
    CheckpointVote, Data, Fetch, Justify, Message, Outcome, Propose, ReplicaMessage, Reply,
};
use quorate_types::{Digest, Epoch, Height, RequestNumber, Statement, Time, Unverified, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R2, R3, Stage, commit, status};
use crate::*;

/// A proposal, a vote, a commit vote and a status of each of three blocks in view 0.
fn traffic(stage: &Stage) -> Vec<Message> {
    let mut messages = Vec::new();
    for block in stage.cluster.chain(View(0), 3) {
        let header = block.header.header;
        messages.push(Message::Propose(block));
        messages.push(Message::Vote(stage.cluster.vote(R0, &header)));
        messages.push(commit(&header));
        messages.push(status(&header));
    }
    messages
}

#[test]
fn the_silent_say_nothing() {
    let mut stage = Stage::new(4, silent(), 1);
    for message in traffic(&stage) {
        assert!(stage.broadcast(message).is_empty());
    }
    let welcome = ReplicaMessage::Welcome { epoch: Epoch(0), clock: Time(5), view: View(0) };
    assert!(stage.reply(welcome).is_empty());
    assert_eq!(stage.byzantine.fired, 37);
}

#[test]
fn delayed_messages_come_just_below_the_timer() {
    let mut stage = Stage::new(4, delay(), 1);
    let timeout = quorate_consensus::Timing::default().view_timeout_min;
    let messages = traffic(&stage);
    for message in &messages {
        assert!(stage.broadcast(message.clone()).is_empty());
    }
    assert!(stage.timeout(Time(0).after(timeout * 8 / 10)).is_empty());
    assert_eq!(stage.timeout(Time(0).after(timeout)).len(), messages.len() * 3);
}

#[test]
fn selective_senders_have_an_audience_of_the_named_size() {
    for (audience, size) in [(Audience::Quorum, 4), (Audience::Faulty, 2), (Audience::One, 1)] {
        let mut stage = Stage::new(7, selective_send().to(audience), 1);
        let messages = traffic(&stage);
        let mut heard = BTreeSet::new();
        for message in &messages {
            heard.extend(stage.broadcast(message.clone()).into_iter().map(|(to, _)| to));
        }
        assert_eq!(heard.len(), size, "{audience:?}");
        assert_eq!(stage.byzantine.fired as usize, messages.len() * (6 - size));
    }
}

#[test]
fn the_audience_changes_with_the_view() {
    let mut stage = Stage::new(7, selective_send(), 1);
    let message = traffic(&stage).remove(0);
    let mut audiences = BTreeSet::new();
    for view in 0..20 {
        stage.status.view = View(view);
        let heard: Vec<_> = stage.broadcast(message.clone()).into_iter().map(|(to, _)| to).collect();
        audiences.insert(heard);
    }
    assert!(audiences.len() > 5);
}

#[test]
fn vote_equivocation_is_signed_and_split() {
    let mut stage = Stage::new(4, equivocate_votes().percent(100), 1);
    let (mut only_true, mut only_false, mut both) = (0, 0, 0);
    for block in stage.cluster.chain(View(0), 30) {
        let vote = stage.cluster.vote(R0, &block.header.header);
        for to in [R1, R2, R3] {
            let sent: Vec<_> = stage
                .send(to, Message::Vote(vote))
                .into_iter()
                .map(|(_, message)| if let Message::Vote(vote) = message { vote } else { panic!() })
                .collect();
            for sent in &sent {
                let statement = Statement::Vote(sent.vote);
                stage.cluster.membership.check_statement(R0, &statement, &sent.signature).unwrap();
            }
            let is_true = |sent: &quorate_types::message::Vote| sent.vote == vote.vote;
            match &sent[..] {
                [one] if is_true(one) => only_true += 1,
                [_] => only_false += 1,
                [one, two] => {
                    assert_ne!(is_true(one), is_true(two));
                    assert!(Statement::Vote(one.vote).contradicts(&Statement::Vote(two.vote)));
                    both += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(only_true > 5 && only_false > 5 && both > 5, "{only_true} {only_false} {both}");
}

#[test]
fn certificates_are_withheld() {
    let mut stage = Stage::new(4, withhold_certificates(), 1);
    let block = stage.cluster.chain(View(0), 2).remove(1);
    let certificate = Arc::new(stage.cluster.certificate(&block.header.header));
    let justify = Justify::Quorum(certificate);
    let sent = stage.broadcast(Message::Propose(Propose { justify, ..block.clone() }));
    let justified = sent.iter().filter(
        |(_, message)| matches!(message, Message::Propose(propose) if propose.justify != Justify::None),
    );
    assert_eq!((sent.len(), justified.count()), (3, 1));
    assert!(stage.broadcast(commit(&block.header.header)).is_empty());
    assert!(stage.send(R1, Message::Data(Data::Header(block.header))).is_empty());
    let vote = Message::Vote(stage.cluster.vote(R0, &block.header.header));
    assert_eq!(stage.broadcast(vote).len(), 3);
    assert_eq!(stage.byzantine.fired, 2 + 3 + 1);
}

#[test]
fn old_views_come_back_once_there_is_a_new_one() {
    let mut stage = Stage::new(4, stale_views(), 1);
    for message in traffic(&stage) {
        assert_eq!(stage.broadcast(message).len(), 3);
    }
    assert_eq!(stage.byzantine.fired, 0, "nothing is stale yet");
    let block = stage.cluster.chain(View(5), 1).remove(0);
    let vote = stage.cluster.vote(R0, &block.header.header);
    let sent = stage.send(R1, Message::Vote(vote));
    let [_, (_, old), (_, Message::Vote(signed))] = &sent[..] else { panic!("{sent:?}") };
    assert!(traffic(&stage).contains(old));
    assert!(signed.vote.view < View(5));
    let statement = Statement::Vote(signed.vote);
    stage.cluster.membership.check_statement(R0, &statement, &signed.signature).unwrap();
}

#[test]
fn the_future_is_validly_signed() {
    let mut stage = Stage::new(4, future_views().rate(200), 1);
    stage.status.view = View(6);
    let message = traffic(&stage).remove(3);
    let mut kinds = BTreeSet::new();
    for (_, message) in stage.send(R1, message.clone()).into_iter().skip(1) {
        kinds.insert(message.kind());
        let verifier = stage.cluster.verifier();
        let check = |value| verifier.check(value).map(|_| ());
        match message {
            Message::ViewChange(view_change) => {
                assert!(view_change.new_view > View(6));
                check(Unverified::ViewChange(view_change)).unwrap();
            }
            Message::Vote(vote) => {
                assert!(vote.vote.view > View(6));
                let statement = Statement::Vote(vote.vote);
                stage.cluster.membership.check_statement(R0, &statement, &vote.signature).unwrap();
            }
            Message::Propose(propose) => {
                assert!(propose.header.header.view > View(6));
                check(Unverified::Proposal(Box::new(propose))).unwrap();
            }
            Message::CheckpointVote(vote) => check(Unverified::CheckpointVote(vote)).unwrap(),
            Message::Commit(commit) => assert!(commit.vote.view > View(6)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(kinds.len(), 5);
}

#[test]
fn replays_are_what_was_said_before() {
    let mut stage = Stage::new(4, replay().percent(100), 1);
    let said = traffic(&stage);
    let vote = Message::Vote(stage.cluster.vote(R2, &stage.cluster.chain(View(0), 1)[0].header.header));
    assert!(stage.receive(R2, vote.clone()).0);
    let mut sent = Vec::new();
    for message in &said {
        sent.extend(stage.broadcast(message.clone()));
    }
    assert!(sent.len() > said.len() * 3, "some at once");
    let late = stage.timeout(Time(10_000_000_000));
    assert!(!late.is_empty(), "some later");
    sent.extend(late);
    assert_eq!(sent.len(), said.len() * 6);
    assert!(sent.iter().all(|(_, message)| said.contains(message) || *message == vote));
    assert!(sent.iter().any(|(_, message)| *message == vote), "also of others");
    let (_, answer) = stage.receive(R1, Message::Fetch(Fetch::Status));
    assert!(answer.is_empty());
}

#[test]
fn clients_hear_lies_that_agree() {
    let results = (0..4).map(|number| (RequestNumber(number), Height(9), Outcome::Executed(vec![1, 2])));
    let truth = Reply { birth: Time(1), nonce: 2, view: View(0), results: Limited::take(results) };
    let lie = |seed| {
        let mut stage = Stage::new(4, lie_to_clients(), seed);
        let told = stage.reply(ReplicaMessage::Reply(truth.clone()));
        assert_eq!(stage.byzantine.fired, 1);
        told
    };
    let told = lie(1);
    assert_eq!(told, lie(2));
    let [ReplicaMessage::Reply(reply)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((reply.birth, reply.nonce), (truth.birth, truth.nonce));
    for (lie, truth) in reply.results.iter().zip(truth.results.iter()) {
        assert_eq!(lie.0, truth.0);
        assert_ne!(lie, truth);
    }
}

#[test]
fn one_wrong_root_is_signed_for_all() {
    let mut stage = Stage::new(4, bad_checkpoint_digest(), 1);
    for block in stage.cluster.chain(View(0), 5) {
        let truth = stage.cluster.checkpoint_vote(R0, &block.header.header);
        let roots: BTreeSet<_> = checkpoint_roots(&mut stage, truth).into_iter().collect();
        assert!(roots.len() == 1 && !roots.contains(&truth.checkpoint.state_root));
    }
    let block = stage.cluster.chain(View(0), 1).remove(0);
    let vote = stage.cluster.vote(R0, &block.header.header);
    let sent = stage.send(R1, Message::Vote(vote));
    assert!(matches!(sent[0].1, Message::Vote(sent) if sent.result_root != vote.result_root));
}

#[test]
fn two_roots_are_signed_for_one_checkpoint() {
    let mut stage = Stage::new(4, checkpoint_equivocation(), 1);
    let mut both_to_one = 0;
    for block in stage.cluster.chain(View(0), 20) {
        let truth = stage.cluster.checkpoint_vote(R0, &block.header.header);
        let roots = checkpoint_roots(&mut stage, truth);
        assert_eq!(roots.iter().collect::<BTreeSet<_>>().len(), 2);
        both_to_one += usize::from(roots.len() > 3);
    }
    assert!(both_to_one > 0);
}

/// The roots that the others are told, each with a valid signature.
fn checkpoint_roots(stage: &mut Stage, truth: CheckpointVote) -> Vec<Digest> {
    let of = |message| match message {
        Message::CheckpointVote(vote) => vote,
        other => panic!("{other:?}"),
    };
    let sent: Vec<_> =
        stage.broadcast(Message::CheckpointVote(truth)).into_iter().map(|(_, message)| of(message)).collect();
    for vote in &sent {
        stage.cluster.verifier().check(Unverified::CheckpointVote(*vote)).unwrap();
    }
    sent.iter().map(|vote| vote.checkpoint.state_root).collect()
}
