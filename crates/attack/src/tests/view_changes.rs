//! Forged and hiding view changes.

use quorate_types::certificate::ViewChange;
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{Height, Rejection, Time, Unverified, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R3, Stage, status};
use crate::*;

/// The one view change that all others hear in place of a true one with certificate and claim.
fn told(adversary: impl Adversary + 'static, seed: u64) -> (Stage, ViewChange, Arc<ViewChange>) {
    let mut stage = Stage::new(4, adversary, seed);
    let blocks = stage.cluster.chain(View(0), 3);
    let certificate = stage.cluster.certificate(&blocks[0].header.header);
    let truth = stage.cluster.view_change(R0, View(1), certificate, &blocks[1..]);
    stage.cluster.verifier().check(Unverified::ViewChange(Arc::new(truth.clone()))).unwrap();
    let sent = stage.broadcast(Message::ViewChange(Arc::new(truth.clone())));
    assert_eq!(sent.len(), 3);
    let mut told = sent.into_iter().map(|(_, message)| match message {
        Message::ViewChange(view_change) => view_change,
        other => panic!("{other:?}"),
    });
    let first = told.next().unwrap();
    assert!(told.all(|other| other == first), "one statement for all is no evidence");
    (stage, truth, first)
}

fn refusal(stage: &Stage, told: &Arc<ViewChange>) -> Option<Rejection> {
    stage.cluster.verifier().check(Unverified::ViewChange(Arc::clone(told))).err()
}

#[test]
fn hidden_view_changes_are_valid_and_short_of_the_truth() {
    let mut hidden = BTreeSet::new();
    for seed in 0..20 {
        let (stage, truth, told) = told(hide_view_change(), seed);
        assert_eq!(refusal(&stage, &told), None);
        assert!(told.claim.is_empty());
        assert!(told.high_qc.rank() <= truth.high_qc.rank());
        hidden.insert(told.high_qc.rank());
        assert!(stage.byzantine.fired > 0);
    }
    assert_eq!(hidden.len(), 2, "the genesis certificate and the genuine one without its claim");
}

#[test]
fn the_hider_asks_as_soon_as_anybody_does() {
    let mut stage = Stage::new(4, hide_view_change(), 1);
    let asked = stage.cluster.view_change(R1, View(1), stage.cluster.genesis_certificate(), &[]);
    let (is_heard, sent) = stage.receive(R1, Message::ViewChange(Arc::new(asked.clone())));
    assert!(is_heard);
    assert_eq!(sent.len(), 3);
    let Message::ViewChange(told) = &sent[0].1 else { panic!("{sent:?}") };
    assert_eq!((told.replica, told.new_view, refusal(&stage, told)), (R0, View(1), None));
    let (_, sent) = stage.receive(R1, Message::ViewChange(Arc::new(asked)));
    assert!(sent.is_empty(), "once");
}

#[test]
fn each_forgery_is_refused_by_name_or_only_short_of_the_truth() {
    let cases = [
        (Forgery::InventedCertificate, Some(Rejection::BadSignature)),
        (Forgery::PaddedCertificate, Some(Rejection::BadCertificate)),
        (Forgery::ShortenedClaim, None),
        // The traitor was primary of view 0, so the header is its own.
        (Forgery::ForeignHeader, None),
        (Forgery::DistantView, None),
    ];
    for (forgery, expected) in cases {
        let (stage, truth, told) = told(forge_view_change().only(forgery), 1);
        assert_eq!(refusal(&stage, &told), expected, "{forgery:?}");
        assert_ne!(*told, truth);
        assert_eq!(stage.byzantine.fired, 3);
    }
}

#[test]
fn a_header_of_a_view_that_another_led_is_refused() {
    let mut stage = Stage::new(4, forge_view_change().only(Forgery::ForeignHeader), 1);
    let blocks = stage.cluster.chain(View(3), 2);
    let certificate = stage.cluster.certificate(&blocks[0].header.header);
    let truth = stage.cluster.view_change(R0, View(4), certificate, &blocks[1..]);
    let sent = stage.send(R3, Message::ViewChange(Arc::new(truth)));
    let Message::ViewChange(told) = &sent[0].1 else { panic!("{sent:?}") };
    assert_eq!(refusal(&stage, told), Some(Rejection::BadSignature));
}

#[test]
fn the_forger_asks_unasked() {
    let mut stage = Stage::new(4, forge_view_change(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0);
    stage.broadcast(Message::Propose(block));
    let second = Time(1_000_000_000);
    let sent = stage.timeout(second);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|(_, message)| matches!(message, Message::ViewChange(_))));
    assert!(stage.timeout(second).is_empty(), "the next time is later");
}

#[test]
fn invented_claims_are_long_valid_and_served() {
    let (mut stage, truth, told) = told(claim_invented_blocks(), 1);
    assert_eq!(refusal(&stage, &told), None, "the traitor led view 0 and may sign what it likes for it");
    assert_eq!(told.high_qc, truth.high_qc);
    assert_eq!(told.claim.len() as u64, 1 + truth.high_qc.vote.height.0);
    assert!(told.claim.iter().all(|header| !truth.claim.contains(header)));
    let last = told.claim.last().unwrap();
    let id = (last.header.height, last.header.digest());
    let (_, sent) = stage.receive(R1, Message::Fetch(Fetch::Blocks(Limited::take([id]))));
    let [(_, Message::Data(Data::Block { header, batch }))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(header, last);
    stage.cluster.verifier().check(Unverified::Block(*header, batch.clone())).unwrap();
}

#[test]
fn each_replica_hears_another_valid_view_change() {
    let mut heard = BTreeSet::new();
    for seed in 0..20 {
        let mut stage = Stage::new(4, equivocate_view_changes(), seed);
        let blocks = stage.cluster.chain(View(0), 3);
        let certificate = stage.cluster.certificate(&blocks[0].header.header);
        let truth = stage.cluster.view_change(R0, View(1), certificate, &blocks[1..]);
        let sent = stage.broadcast(Message::ViewChange(Arc::new(truth.clone())));
        let mut lies = 0;
        for (_, message) in &sent {
            let Message::ViewChange(told) = message else { panic!("{message:?}") };
            assert_eq!(refusal(&stage, told), None);
            lies += usize::from(**told != truth);
            heard.insert((told.high_qc.rank(), told.claim.len()));
        }
        assert!(lies > 0 && sent.len() > lies);
        assert_eq!(stage.byzantine.fired as usize, lies);
    }
    assert_eq!(heard.len(), 3, "all, the certificate alone, nothing");
}

#[test]
fn views_are_raced_through() {
    let mut stage = Stage::new(4, race_views(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    stage.send(R1, status(&block));
    let mut views = BTreeSet::new();
    for period in 0..3 {
        for (_, message) in stage.timeout(Time(period * 1_000_000_000)) {
            let Message::ViewChange(change) = message else { panic!("{message:?}") };
            assert_eq!(refusal(&stage, &change), None);
            views.insert(change.new_view);
        }
    }
    assert!(views.into_iter().eq((1..=48).map(View)));
}

#[test]
fn some_are_left_in_the_past() {
    let mut stage = Stage::new(4, split_views(), 1);
    (stage.status.view, stage.status.asked) = (View(3), View(3));
    let block = stage.cluster.chain(View(3), 1).remove(0).header.header;
    let change = stage.cluster.view_change(R0, View(3), stage.cluster.genesis_certificate(), &[]);
    let heard = stage.broadcast(Message::ViewChange(Arc::new(change)));
    assert_eq!(heard.len(), 1);
    let told: Vec<View> = stage
        .broadcast(status(&block))
        .into_iter()
        .map(|(_, message)| if let Message::Status(told) = message { told.view } else { panic!() })
        .collect();
    assert_eq!(told.iter().filter(|view| **view == View(2)).count(), 2);
    assert_eq!((stage.byzantine.fired, block.height), (4, Height(1)));
}
