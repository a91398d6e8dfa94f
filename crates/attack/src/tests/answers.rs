//! The attacks on those who ask: blocks, chains, states and checkpoints that are others, none, or too many; and
//! what statuses say that is not so.

use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message, Status};
use quorate_types::{Height, Rejection, ReplicaId, StateHead, Time, Unverified, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R2, Stage, status};
use crate::*;

fn only(sent: Vec<(ReplicaId, Message)>) -> Message {
    let [(_, message)] = <[_; 1]>::try_from(sent).unwrap();
    message
}

fn told(stage: &mut Stage, truth: &Message) -> Status {
    if let Message::Status(status) = only(stage.send(R1, truth.clone())) { status } else { panic!() }
}

#[test]
fn other_blocks_are_given_or_the_wrong_batch() {
    let mut stage = Stage::new(4, answer_wrong_blocks(), 1);
    let blocks = stage.cluster.chain(View(0), 20);
    let (mut others, mut cut) = (0, 0);
    for block in &blocks {
        let truth = Data::Block { header: block.header, batch: block.batch.clone() };
        let sent = only(stage.send(R1, Message::Data(truth.clone())));
        let Message::Data(Data::Block { header, batch }) = &sent else { panic!("{sent:?}") };
        if *header == block.header {
            let checked = stage.cluster.verifier().check(Unverified::Block(*header, batch.clone()));
            assert_eq!(checked.err(), Some(Rejection::Truncated));
            cut += 1;
        } else {
            assert!(blocks.iter().any(|other| other.header == *header));
            others += 1;
        }
    }
    assert!(others > 5 && cut > 3, "{others} {cut}");
    assert_eq!(stage.byzantine.fired, 20);
}

#[test]
fn chains_are_broken_in_every_way() {
    let (mut gaps, mut orders, mut forged, mut short) = (0, 0, 0, 0);
    for seed in 0..60 {
        let mut stage = Stage::new(4, break_chains(), seed);
        let truth: Vec<_> = stage.cluster.chain(View(1), 6).iter().map(|block| block.header).collect();
        let sent = only(stage.send(R1, Message::Data(Data::Chain(Limited::take(truth.clone())))));
        let Message::Data(Data::Chain(lie)) = sent else { panic!("{sent:?}") };
        assert_ne!(*lie, *truth);
        let heights: Vec<u64> = lie.iter().map(|signed| signed.header.height.0).collect();
        let checked = stage.cluster.verifier().check(Unverified::Headers(lie.to_vec()));
        if truth.starts_with(&lie) {
            short += 1;
        } else if checked.is_err() {
            // It was not primary of view 1.
            forged += 1;
        } else if heights.is_sorted() {
            gaps += 1;
        } else {
            orders += 1;
        }
    }
    assert!(gaps > 0 && orders > 0 && forged > 0 && short > 0, "{gaps} {orders} {forged} {short}");
}

#[test]
fn questions_are_lured_and_left_open() {
    let mut stage = Stage::new(4, ignore_fetches(), 1);
    let block = stage.cluster.chain(View(0), 9).pop().unwrap().header.header;
    let Message::Status(truth) = status(&block) else { panic!() };
    let told = told(&mut stage, &Message::Status(Status { base: Height(7), ..truth }));
    assert_eq!((told.base, told.committed), (Height(0), truth.committed));
    assert!(!stage.receive(R1, Message::Fetch(Fetch::Chain(Height(0)))).0);
    assert!(stage.receive(R1, Message::Fetch(Fetch::Status)).0);
    assert_eq!(stage.byzantine.fired, 2);
}

#[test]
fn heads_have_another_root_each() {
    let mut roots = BTreeSet::new();
    for seed in 0..40 {
        let mut stage = Stage::new(4, mix_pages(), seed);
        let block = stage.cluster.chain(View(0), 3).pop().unwrap().header;
        let mut genuine = StateHead { height: Height(3), ..StateHead::default() };
        genuine.configuration = stage.cluster.membership.cluster();
        genuine.sessions.bytes = 5;
        let head = Arc::new(genuine.clone());
        let sent = only(stage.send(R1, Message::Data(Data::State { header: block, head })));
        let Message::Data(Data::State { header, head }) = sent else { panic!("{sent:?}") };
        assert_eq!(header, block);
        assert_ne!(head.root(), genuine.root());
        roots.insert(head.root());
    }
    assert_eq!(roots.len(), 7);
}

#[test]
fn checkpoints_are_withheld_or_come_too_early() {
    let mut stage = Stage::new(4, withhold_checkpoints(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let vote = Message::CheckpointVote(stage.cluster.checkpoint_vote(R0, &block));
    assert!(stage.broadcast(vote).is_empty());
    let Message::Status(truth) = status(&block) else { panic!() };
    assert_eq!(told(&mut stage, &Message::Status(Status { stable: Height(8), ..truth })).stable, Height(0));
    let mut stage = Stage::new(4, vouch_ahead(), 1);
    let sent = stage.send(R1, status(&block));
    let mut heights = BTreeSet::new();
    for (to, message) in &sent[1..] {
        let Message::CheckpointVote(vote) = message else { panic!("{message:?}") };
        stage.cluster.verifier().check(Unverified::CheckpointVote(*vote)).unwrap();
        heights.insert((*to, vote.checkpoint.height));
    }
    assert_eq!(heights.len(), 48);
    assert!(heights.iter().all(|(_, height)| *height > block.height));
    assert_eq!(stage.send(R1, status(&block)).len(), 1, "once for each height");
}

#[test]
fn statuses_feign_recovery_stand_still_and_lie_about_clocks() {
    let blocks = Stage::new(4, silent(), 1).cluster.chain(View(0), 30);
    let statuses: Vec<Message> = blocks.iter().map(|block| status(&block.header.header)).collect();
    let mut stage = Stage::new(4, feign_recovery(), 1);
    let feigned = statuses.iter().filter(|truth| told(&mut stage, truth).is_recovering).count();
    assert!((10..30).contains(&feigned));
    assert_eq!(stage.byzantine.fired as usize, feigned);
    let mut stage = Stage::new(4, stand_still().times(3), 1);
    for truth in &statuses {
        let sent = stage.send(R1, truth.clone());
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|(_, message)| matches!(message, Message::Status(told)
            if told.committed.0 == Height(1) && told.last_vote.1 == Height(1))));
    }
    let mut stage = Stage::new(4, lie_about_clock(), 1);
    let lies: Vec<Status> = statuses.iter().map(|truth| told(&mut stage, truth)).collect();
    let clocks: BTreeSet<Time> = lies.iter().map(|lie| lie.clock).collect();
    assert!(clocks.contains(&Time(u64::MAX)) && clocks.contains(&Time(0)));
    assert!(lies.iter().any(|lie| lie.echo.is_some_and(|echo| echo.held == u64::MAX)));
}

#[test]
fn storms_have_the_named_rate() {
    let block = Stage::new(4, silent(), 1).cluster.chain(View(0), 9).pop().unwrap().header.header;
    let mut stage = Stage::new(4, flood_statuses().rate(10), 1);
    let sent = stage.send(R1, status(&block));
    assert_eq!(sent.len(), 11, "and a question for one");
    assert!(sent[..9].iter().any(|(_, message)| *message != status(&block)));
    assert_eq!(sent[10].1, status(&block), "the truth comes last");
    let mut stage = Stage::new(4, flood_fetches().rate(60), 1);
    stage.receive(R2, Message::Vote(stage.cluster.vote(R2, &block)));
    let sent = stage.send(R1, status(&block));
    let mut kinds = BTreeSet::new();
    for (_, message) in &sent[1..] {
        let Message::Fetch(fetch) = message else { panic!("{message:?}") };
        kinds.insert(format!("{fetch:?}").split(['(', ' ']).next().map(str::to_owned));
    }
    assert_eq!((sent.len(), kinds.len()), (61, 7));
    let mut stage = Stage::new(4, flood_evidence().rate(9), 1);
    let sent = stage.send(R1, status(&block));
    let mut offences = BTreeSet::new();
    for (_, message) in &sent[1..] {
        let Message::Evidence(evidence) = message else { panic!("{message:?}") };
        evidence.check(&stage.cluster.membership).unwrap();
        assert_eq!(evidence.replica, R0);
        offences.insert((evidence.first.0.offence(), evidence.view()));
    }
    assert_eq!((sent.len(), stage.byzantine.fired), (10, 9));
    assert!(offences.len() >= 7);
}

#[test]
fn wishes_are_signed_and_without_need() {
    let mut stage = Stage::new(4, wish_falsely(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let mut views = BTreeSet::new();
    for _ in 0..20 {
        let sent = stage.send(R1, status(&block));
        let Message::Wish(wish) = sent[1].1 else { panic!("{sent:?}") };
        stage.cluster.verifier().check(Unverified::Wish(wish)).unwrap();
        assert_eq!(wish.replica, R0);
        views.insert(wish.view);
    }
    assert!(views.contains(&View(1)) && views.len() > 3);
}
