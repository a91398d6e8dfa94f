//! The attacks on states, checkpoints and memories: what laggards and restarted replicas are told.

use bytes::Bytes;
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message, Status, ViewProof};
use quorate_types::state::{CHUNK_BYTES_MAX, Page};
use quorate_types::{
    ChunkId, Digest, Evidence, Height, ReplicaId, StateHead, Statement, Time, Unverified, View,
};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R2, R3, Stage, participant, status};
use crate::*;

fn chunks(sent: &[(ReplicaId, Message)]) -> Vec<Bytes> {
    let of = |message: &Message| match message {
        Message::Data(Data::Chunk(bytes)) => Some(bytes.clone()),
        _ => None,
    };
    sent.iter().filter_map(|(_, message)| of(message)).collect()
}

fn chunk(number: u8) -> Bytes {
    Bytes::from(vec![number; 8])
}

fn serve(stage: &mut Stage, number: u8) -> Vec<(ReplicaId, Message)> {
    stage.send(R1, Message::Data(Data::Chunk(chunk(number))))
}

fn ask(digests: &[Digest]) -> Message {
    Message::Fetch(Fetch::Chunks(Limited::take(digests.iter().copied())))
}

fn head_of(stage: &Stage, height: u64) -> Message {
    let block = stage.cluster.chain(View(0), height).pop().unwrap();
    let head = StateHead { height: Height(height), ..StateHead::default() };
    Message::Data(Data::State { header: block.header, head: Arc::new(head) })
}

#[test]
fn corrupt_chunks_are_nobodys() {
    let mut stage = Stage::new(4, corrupt_chunk().percent(100), 1);
    let mut lengths = BTreeSet::new();
    for number in 0..50 {
        let sent = chunks(&serve(&mut stage, number));
        assert_ne!(sent, [chunk(number)]);
        lengths.insert(sent[0].len());
    }
    assert!(lengths.len() > 3 && lengths.contains(&8), "flipped and cut short");
    assert_eq!(stage.byzantine.fired, 50);
}

#[test]
fn an_invented_state_fits_itself() {
    let mut stage = Stage::new(4, self_consistent_lie(), 1);
    let truth = head_of(&stage, 3);
    let sent = stage.send(R1, truth);
    let [(_, Message::Data(Data::State { header, head }))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((head.height, header.header.height), (Height(3), Height(3)));
    let pages: Vec<Digest> = head.application.pages.iter().map(|page| page.digest).collect();
    let page = Page::decode(&chunks(&stage.receive(R1, ask(&pages)).1)[0]).unwrap();
    let listed: Vec<Digest> = page.0.iter().map(|id| id.digest).collect();
    let served = chunks(&stage.receive(R1, ask(&listed)).1);
    assert!(served.iter().map(|bytes| ChunkId::of(bytes)).eq(page.0.iter().copied()));
    assert_eq!(served.len() as u64, head.application.chunks);
}

#[test]
fn the_first_provable_checkpoint_is_shown_for_ever() {
    let mut stage = Stage::new(4, stale_snapshot(), 1);
    let blocks = stage.cluster.chain(View(0), 4);
    for block in &blocks {
        for voter in [R1, R2, R3] {
            let vote = stage.cluster.checkpoint_vote(voter, &block.header.header);
            stage.receive(voter, Message::CheckpointVote(vote));
        }
        let sent = stage.send(R1, status(&block.header.header));
        let Some((_, Message::Data(Data::Checkpoint(shown)))) = sent.get(1) else { panic!("{sent:?}") };
        assert_eq!(shown.checkpoint.height, Height(1));
        stage.cluster.verifier().check(Unverified::Checkpoint(Arc::clone(shown))).unwrap();
    }
    let heads = [2, 3].map(|height| head_of(&stage, height));
    assert_eq!(stage.send(R1, heads[0].clone())[0].1, heads[0]);
    assert_eq!(stage.send(R1, heads[1].clone())[0].1, heads[0], "the older one again");
}

#[test]
fn genuine_chunks_come_for_other_questions() {
    let mut stage = Stage::new(4, proof_index_mismatch(), 1);
    let sent: Vec<Bytes> = (0..30).flat_map(|number| chunks(&serve(&mut stage, number))).collect();
    assert_eq!(sent.len(), 30);
    let known: BTreeSet<Bytes> = (0..30).map(chunk).collect();
    assert!(sent.iter().all(|bytes| known.contains(bytes)));
    let misplaced = sent.iter().zip(0..).filter(|(bytes, number)| **bytes != chunk(*number)).count();
    assert_eq!(stage.byzantine.fired as usize, misplaced);
    assert!(misplaced > 10);
}

#[test]
fn heights_and_views_are_lied_about() {
    let block = |stage: &Stage| stage.cluster.chain(View(3), 40).pop().unwrap().header.header;
    let mut stage = Stage::new(4, height_lie(), 1);
    let mut heights = BTreeSet::new();
    for _ in 0..60 {
        let truth = status(&block(&stage));
        let sent = stage.send(R1, truth);
        let Message::Status(lie) = &sent[0].1 else { panic!("{sent:?}") };
        heights.insert(lie.committed.0);
    }
    assert!(heights.contains(&Height(u64::MAX)) && heights.contains(&Height(0)) && heights.len() > 15);
    let mut stage = Stage::new(4, view_lie(), 1);
    let mut views = BTreeSet::new();
    for _ in 0..60 {
        let truth = status(&block(&stage));
        let sent = stage.send(R1, truth);
        let Message::Status(lie) = &sent[0].1 else { panic!("{sent:?}") };
        views.insert(lie.view);
    }
    assert!(views.first() < Some(&View(3)) && views.contains(&View(u64::MAX)));
}

#[test]
fn forged_proofs_of_views_prove_nothing() {
    let mut stage = Stage::new(4, view_lie(), 1);
    let mut kinds = BTreeSet::new();
    for _ in 0..20 {
        let (_, sent) = stage.receive(R1, Message::Fetch(Fetch::View(View(2))));
        let [(R1, Message::Data(Data::View(proof)))] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(proof.view(), View(3));
        kinds.insert(matches!(proof, ViewProof::Quorum(_)));
        assert!(stage.cluster.verifier().check(Unverified::View(proof.clone())).is_err());
    }
    assert_eq!(kinds.len(), 2);
}

#[test]
fn one_question_has_no_end() {
    let mut stage = Stage::new(4, endless_chunks().rate(100), 1);
    let sent = chunks(&serve(&mut stage, 1));
    assert_eq!((sent.len(), &sent[0]), (101, &chunk(1)));
    assert!(sent[1..].contains(&chunk(1)), "repeats");
    assert!(sent.iter().any(|bytes| bytes.len() > CHUNK_BYTES_MAX));
    let is_repetitive = |bytes: &&Bytes| bytes.len() == 1 << 14 && bytes.iter().all(|byte| *byte == 0);
    assert!(sent.iter().any(|bytes| is_repetitive(&bytes)));
    assert_eq!(chunks(&stage.receive(R1, ask(&[Digest([1; 32])])).1).len(), 100);
}

#[test]
fn chunks_drip() {
    let mut stage = Stage::new(4, drip_feed(), 1);
    (0..10).for_each(|number| assert!(serve(&mut stage, number).is_empty()));
    let patience = quorate_consensus::Timing::default().fetch_timeout * 5;
    for number in 0..10 {
        let due = Time(0).after(patience * (u32::from(number) + 1));
        assert_eq!(chunks(&stage.timeout(due)), [chunk(number)], "one in each patience");
    }
}

#[test]
fn states_are_withheld_in_two_ways() {
    let mut ways = BTreeSet::new();
    for seed in 0..10 {
        let mut stage = Stage::new(4, withhold_state(), seed);
        let truth = head_of(&stage, 3);
        let has_head = !stage.send(R1, truth).is_empty();
        let asked = [Digest([1; 32]), Digest([2; 32])];
        let (is_heard, sent) = stage.receive(R1, ask(&asked));
        let absent = sent.iter().find_map(|(_, message)| match message {
            Message::Data(Data::Absent(digests)) => Some(digests.to_vec()),
            _ => None,
        });
        assert_eq!(has_head, absent.is_some());
        assert_eq!(is_heard, absent.is_none());
        assert!(absent.is_none_or(|digests| digests == asked));
        assert!(chunks(&serve(&mut stage, 1)).is_empty());
        assert!(stage.byzantine.fired > 0);
        ways.insert(has_head);
    }
    assert_eq!(ways.len(), 2);
}

#[test]
fn memories_are_invented() {
    let mut stage = Stage::new(4, lie_about_seen(), 1);
    let header = stage.cluster.chain(View(0), 3).pop().unwrap().header.header;
    let known = stage.cluster.vote(R1, &header);
    stage.receive(R1, Message::Vote(known));
    let membership = Arc::clone(&stage.cluster.membership);
    let (mut stale, mut forged) = (0, 0);
    for _ in 0..60 {
        let sent = stage.send(R1, status(&header));
        let Message::Status(Status { seen: Some(seen), .. }) = &sent[0].1 else { panic!("{sent:?}") };
        if let Some((vote, signature)) = seen.vote {
            let is_true = membership.check_statement(R1, &Statement::Vote(vote), &signature).is_ok();
            assert!(!is_true || vote == known.vote, "nobody can sign for it");
            if is_true { stale += 1 } else { forged += 1 }
        }
    }
    assert!(stale > 2 && forged > 10);
}

#[test]
fn the_forgetful_contradict_themselves() {
    let mut stage = Stage::new(4, amnesia().percent(100), 1);
    let mut offences = BTreeSet::new();
    let mut said: Vec<(Statement, quorate_types::Signature)> = Vec::new();
    let blocks = stage.cluster.chain(View(0), 12);
    for block in &blocks {
        let vote = Message::Vote(stage.cluster.vote(R0, &block.header.header));
        let certificate = stage.cluster.certificate(&block.header.header);
        let view = View(block.header.header.height.0);
        let change = stage.cluster.view_change(R0, view, certificate, &[]);
        for message in [Message::Propose(block.clone()), vote, Message::ViewChange(Arc::new(change))] {
            for (_, message) in stage.broadcast(message) {
                said.push(match message {
                    Message::Propose(propose) => {
                        (Statement::Block(propose.header.header), propose.header.signature)
                    }
                    Message::Vote(vote) => (Statement::Vote(vote.vote), vote.signature),
                    Message::ViewChange(change) => (change.statement(), change.signature),
                    other => panic!("{other:?}"),
                });
            }
        }
    }
    for (place, first) in said.iter().enumerate() {
        for second in &said[place + 1..] {
            if first.0.contradicts(&second.0) {
                let evidence = Evidence { replica: R0, first: *first, second: *second };
                evidence.check(&stage.cluster.membership).unwrap();
                offences.insert(first.0.offence());
            }
        }
    }
    assert_eq!(offences.len(), 3, "{offences:?}");
}

/// A traitor's machine does not learn from others what the traitor signed: it would believe that it lost its disk.
#[test]
fn the_machine_behind_a_traitor_keeps_its_peace() {
    let cluster = super::stage::Cluster::new(4);
    let mut participant = participant(&cluster, replay());
    let header = cluster.chain(View(0), 3).pop().unwrap().header.header;
    let (vote, Message::Status(plain)) = (cluster.vote(R0, &header), status(&header)) else { panic!() };
    let seen = quorate_types::message::Seen { vote: Some((vote.vote, vote.signature)), view_change: None };
    let told = Message::Status(Status { seen: Some(seen), ..plain });
    for from in [R1, R2, R3] {
        let message = quorate_types::Authenticated::from_channel(from, told.clone());
        participant.handle(Time(1), quorate_consensus::Input::Message(message));
    }
    assert!(participant.status().is_awake && !participant.status().is_recovering);
}
