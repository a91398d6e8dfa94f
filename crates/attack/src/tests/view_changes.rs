//! Forged and hiding view changes.

use quorate_types::certificate::ViewChange;
use quorate_types::message::Message;
use quorate_types::{Rejection, Time, Unverified, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R3, Stage};
use crate::{Adversary, Forgery, forge_view_change, hide_view_change};

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
