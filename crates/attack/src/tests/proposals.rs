//! The attacks of primaries: what they show in place of the blocks that their machines made.

use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Justify, Message, Propose};
use quorate_types::{Batch, Checked, Digest, Height, Rejection, Statement, Time, Unverified, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::contract::first_block;
use super::stage::{R0, R1, R2, R3, Stage, commit, status};
use crate::*;

/// The blocks that a machine made in view 0, and what all others are shown in their place.
fn shown(adversary: impl Into<Box<dyn Adversary>>, seed: u64) -> (Stage, Vec<(Propose, Propose)>) {
    let mut stage = Stage::new(4, adversary, seed);
    let mut pairs = Vec::new();
    for block in stage.cluster.chain(View(0), 8) {
        let sent = stage.broadcast(Message::Propose(block.clone()));
        let all: Vec<Propose> = sent.into_iter().map(|(_, message)| proposal(message)).collect();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|one| *one == all[0]), "all see the same");
        pairs.push((block, all[0].clone()));
    }
    (stage, pairs)
}

fn proposal(message: Message) -> Propose {
    if let Message::Propose(propose) = message { propose } else { panic!("{message:?}") }
}

/// How a replica judges a proposal: whom it blames for sending it, and the primary for its batch.
fn judge(stage: &Stage, propose: &Propose) -> Result<Result<(), Rejection>, Rejection> {
    match stage.cluster.verifier().check(Unverified::Proposal(Box::new(propose.clone())))? {
        Checked::Proposal(_, _, batch) => Ok(batch.map(drop)),
        other => panic!("{other:?}"),
    }
}

/// The judgements of the blocks that were changed, over twenty seeds.
fn judgements(attack: Attack) -> BTreeSet<Result<Result<(), Rejection>, Rejection>> {
    let mut all = BTreeSet::new();
    for seed in 0..20 {
        let (stage, pairs) = shown(attack, seed);
        let changed: Vec<_> = pairs.iter().filter(|(truth, told)| truth != told).collect();
        assert_eq!(stage.byzantine.fired as usize, changed.len() * 3, "{attack}");
        all.extend(changed.iter().map(|(_, told)| judge(&stage, told)));
    }
    all
}

#[test]
fn batches_are_refused_by_name_or_change_nothing_that_is_wrong() {
    let readable = [Ok(Ok(()))];
    assert_eq!(judgements(Attack::MismatchBatches), [Err(Rejection::WrongBatch)].into());
    assert_eq!(judgements(Attack::ForgeRequests), [Ok(Err(Rejection::BadBatch))].into());
    let refused = judgements(Attack::OversizeBatches);
    assert!(refused.contains(&Err(Rejection::Oversized)) && refused.contains(&Err(Rejection::Truncated)));
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    for attack in [Attack::RepeatRequests, Attack::EmptyBatches, Attack::ShuffleBatches] {
        assert_eq!(judgements(attack), readable.into(), "{attack}");
    }
    // Whether place and time are in order is the machine's to say.
    for attack in [Attack::LieAboutTime, Attack::ProposeHugeHeights, Attack::SkipParents] {
        assert_eq!(judgements(attack), readable.into(), "{attack}");
    }
}

fn bundles(propose: &Propose) -> Vec<Digest> {
    let batch = Batch::parse(propose.batch.clone()).unwrap();
    batch.bundles().iter().map(quorate_types::Bundle::id).collect()
}

#[test]
fn requests_are_repeated_left_out_and_turned_round() {
    let (_, pairs) = shown(repeat_requests(), 1);
    for (truth, told) in &pairs {
        let told = bundles(told);
        assert!(bundles(truth).iter().all(|id| told.iter().filter(|other| *other == id).count() == 2));
    }
    let earlier = bundles(&pairs[0].0);
    assert!(pairs[1..].iter().any(|(_, told)| bundles(told).iter().any(|id| earlier.contains(id))));
    assert!(shown(empty_batches(), 1).1.iter().all(|(_, told)| told.batch.is_empty()));
    for (truth, told) in &shown(shuffle_batches(), 1).1 {
        assert!(bundles(truth).iter().rev().eq(&bundles(told)));
    }
}

#[test]
fn times_heights_and_parents_are_wrong() {
    let (mut times, mut heights, mut parents) = (BTreeSet::new(), BTreeSet::new(), 0);
    for seed in 0..20 {
        for (truth, told) in shown(lie_about_time(), seed).1 {
            times.insert(told.header.header.time.0.cmp(&truth.header.header.time.0));
            assert!(truth.header.header.time != told.header.header.time || seed > 0);
        }
        heights
            .extend(shown(propose_huge_heights(), seed).1.iter().map(|(_, told)| told.header.header.height));
        for (truth, told) in shown(skip_parents(), seed).1 {
            parents += usize::from(truth.header.header.parent != told.header.header.parent);
        }
    }
    assert!(times.len() > 1 && heights.contains(&Height(u64::MAX)) && heights.len() > 20 && parents > 20);
}

#[test]
fn what_is_shown_is_told_of_in_every_message() {
    let attacks = [Attack::LieAboutTime, Attack::EmptyBatches, Attack::ForgeRequests, Attack::SkipParents];
    for attack in attacks.into_iter().chain([Attack::ProposeHugeHeights, Attack::RepeatRequests]) {
        let (mut stage, pairs) = shown(attack, 3);
        for (truth, told) in pairs {
            let header = truth.header.header;
            let digest = told.header.header.digest();
            let vote = Message::Vote(stage.cluster.vote(R0, &header));
            let sent = stage.send(R1, vote);
            assert!(
                matches!(&sent[..], [(_, Message::Vote(vote))] if vote.vote.digest == digest),
                "{attack}"
            );
            let sent = stage.send(R2, commit(&header));
            assert!(matches!(&sent[..], [(_, Message::Commit(commit))] if commit.vote.digest == digest));
            let sent = stage.send(R3, status(&header));
            assert!(matches!(&sent[..], [(_, Message::Status(status))] if status.committed.1 == digest));
            if truth == told {
                continue;
            }
            let id = (told.header.header.height, digest);
            let (_, sent) = stage.receive(R1, Message::Fetch(Fetch::Blocks(Limited::take([id]))));
            assert!(
                matches!(&sent[..], [(_, Message::Data(Data::Block { batch, .. }))] if *batch == told.batch)
            );
            let heard = stage.cluster.vote(R1, &told.header.header);
            assert!(!stage.receive(R1, Message::Vote(heard)).0, "the machine does not know that block");
        }
    }
}

#[test]
fn a_view_begins_at_the_genesis_block_or_with_a_certificate_that_was_changed() {
    let mut stage = Stage::new(4, restart_chain(), 1);
    let first = first_block(&stage);
    let told = proposal(stage.send(R1, first).remove(0).1);
    let header = told.header.header;
    assert_eq!((header.height, header.parent), (Height(1), stage.cluster.membership.genesis_block()));
    let mut judgements = BTreeSet::new();
    for seed in 0..40 {
        let mut stage = Stage::new(4, doctor_view_changes(), seed);
        let sent = first_block(&stage);
        let told: Vec<Propose> =
            stage.broadcast(sent.clone()).into_iter().map(|(_, message)| proposal(message)).collect();
        assert!(told.iter().all(|one| *one == told[0] && Message::Propose(one.clone()) != sent));
        judgements.insert(judge(&stage, &told[0]));
    }
    let expected = [Ok(Ok(())), Err(Rejection::BadCertificate), Err(Rejection::BadSignature)];
    assert_eq!(judgements, expected.into(), "an own view change with less in it is valid");
}

#[test]
fn justifications_are_left_out_and_mixed_up() {
    let justified = |stage: &Stage| {
        let blocks = stage.cluster.chain(View(0), 3);
        let of = |place: usize| Arc::new(stage.cluster.certificate(&blocks[place].header.header));
        let with = |place: usize, justify| Propose { justify, ..blocks[place].clone() };
        [with(1, Justify::Quorum(of(0))), with(2, Justify::Quorum(of(1)))]
    };
    let mut stage = Stage::new(4, omit_justification(), 1);
    for block in justified(&stage) {
        assert_eq!(proposal(stage.send(R1, Message::Propose(block)).remove(0).1).justify, Justify::None);
    }
    let mut mixed = BTreeSet::new();
    for seed in 0..20 {
        let mut stage = Stage::new(4, mismatch_justification(), seed);
        for block in justified(&stage) {
            let told = proposal(stage.send(R1, Message::Propose(block.clone())).remove(0).1);
            let Justify::Quorum(certificate) = &told.justify else { panic!("{told:?}") };
            mixed.insert((block.header.header.height, certificate.vote.height));
            judge(&stage, &told).unwrap().unwrap();
        }
    }
    assert!(mixed.contains(&(Height(2), Height(0))) && mixed.contains(&(Height(3), Height(1))), "{mixed:?}");
}

#[test]
fn heights_are_proposed_again_behind_the_tail() {
    let mut stage = Stage::new(4, fork_tail().depth(3), 1);
    let blocks = stage.cluster.chain(View(0), 4);
    let sent: Vec<_> = blocks.iter().map(|block| stage.send(R1, Message::Propose(block.clone()))).collect();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 4]);
    let again = proposal(sent[3][1].1.clone());
    assert_eq!(judge(&stage, &again), Ok(Ok(())));
    let statement = |propose: &Propose| Statement::Block(propose.header.header);
    assert!(statement(&again).contradicts(&statement(&blocks[0])));
}

#[test]
fn others_views_are_led_with_no_right() {
    let mut stage = Stage::new(4, propose_out_of_turn(), 1);
    for block in stage.cluster.chain(View(1), 6) {
        let (is_heard, sent) = stage.receive(R1, Message::Propose(block));
        assert!(is_heard);
        assert_eq!(sent.len(), 3);
        let own = proposal(sent[0].1.clone());
        assert_eq!(judge(&stage, &own), Err(Rejection::BadSignature));
    }
}

#[test]
fn some_replicas_are_left_out_for_ever_or_for_a_view() {
    let mut stage = Stage::new(4, starve_one().victim(R2), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0);
    let header = block.header.header;
    for message in [Message::Propose(block.clone()), status(&header), commit(&header)] {
        let heard: Vec<_> = stage.broadcast(message).into_iter().map(|(to, _)| to).collect();
        assert_eq!(heard, [R1, R3]);
    }
    let ask = || Message::Fetch(Fetch::Chain(Height(0)));
    assert!(stage.receive(R1, ask()).0 && !stage.receive(R2, ask()).0);
    let mut stage = Stage::new(7, propose_to_few(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0);
    let vote = Message::Vote(stage.cluster.vote(R0, &block.header.header));
    let shown = stage.broadcast(Message::Propose(block.clone())).len();
    assert!([2, 3].contains(&shown), "f, or one fewer than a quorum with the traitor");
    assert_eq!(stage.byzantine.fired as usize, 6 - shown);
    assert_eq!(stage.broadcast(Message::Data(Data::Header(block.header))).len(), shown);
    assert_eq!(stage.broadcast(vote).len(), 6);
}

#[test]
fn a_block_is_missing_in_every_view() {
    let mut holes = BTreeSet::new();
    for seed in 0..20 {
        let mut stage = Stage::new(4, leave_hole(), seed);
        let blocks = stage.cluster.chain(View(0), 6);
        let sent = blocks.iter().map(|block| stage.broadcast(Message::Propose(block.clone())).len());
        let sent: Vec<usize> = sent.collect();
        let hole = sent.iter().position(|count| *count == 0).unwrap();
        assert_eq!(sent.iter().filter(|count| **count == 3).count(), 5);
        assert!(stage.send(R1, Message::Data(Data::Header(blocks[hole].header))).is_empty());
        holes.insert(hole);
    }
    assert_eq!(holes.len(), 4);
}

#[test]
fn a_slow_primary_paces_its_proposals_alone() {
    let mut stage = Stage::new(4, slow_primary().percent(50), 1);
    let pace = quorate_consensus::Timing::default().view_timeout_min / 2;
    for block in stage.cluster.chain(View(0), 3) {
        let vote = Message::Vote(stage.cluster.vote(R0, &block.header.header));
        assert!(stage.broadcast(Message::Propose(block)).is_empty());
        assert_eq!(stage.broadcast(vote).len(), 3);
    }
    for count in 1..=3 {
        let sent = stage.timeout(Time(0).after(pace * count));
        let heights: BTreeSet<Height> =
            sent.into_iter().map(|(_, message)| proposal(message).header.header.height).collect();
        assert_eq!(heights, [Height(u64::from(count))].into());
    }
}

#[test]
fn a_primary_says_nothing_or_abandons_its_view() {
    let mut stage = Stage::new(4, silent_primary(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0);
    let change = stage.cluster.view_change(R0, View(1), stage.cluster.genesis_certificate(), &[]);
    let change = Message::ViewChange(Arc::new(change));
    let vote = Message::Vote(stage.cluster.vote(R0, &block.header.header));
    assert!(stage.broadcast(vote.clone()).is_empty());
    assert_eq!(stage.broadcast(change).len(), 3, "it does not hold up the others");
    stage.status.view = View(1);
    assert_eq!(stage.broadcast(vote).len(), 3);
    let mut stage = Stage::new(4, abandon_own_view(), 1);
    let sent = stage.broadcast(Message::Propose(block));
    let changes: Vec<_> =
        sent.iter().filter(|(_, message)| matches!(message, Message::ViewChange(_))).collect();
    assert_eq!((sent.len(), changes.len()), (6, 3));
    let (_, Message::ViewChange(change)) = changes[0] else { panic!() };
    assert_eq!(change.new_view, View(1));
    stage.cluster.verifier().check(Unverified::ViewChange(Arc::clone(change))).unwrap();
}
