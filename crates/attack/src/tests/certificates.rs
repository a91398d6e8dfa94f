//! The attacks on signatures and certificates: each lie is refused, and by the name that says why.

use quorate_types::message::{Data, Justify, Message, ViewProof};
use quorate_types::{Height, Rejection, ReplicaId, Statement, Unverified, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R2, R3, Stage, status};
use crate::*;

/// A status, a proposal with a certificate and a view change, as they leave.
fn certified(stage: &mut Stage) -> Vec<Message> {
    let blocks = stage.cluster.chain(View(0), 2);
    let certificate = stage.cluster.certificate(&blocks[0].header.header);
    let change = stage.cluster.view_change(R0, View(1), certificate.clone(), &[]);
    let mut proposed = blocks[1].clone();
    proposed.justify = Justify::Quorum(Arc::new(certificate));
    let truth =
        [Message::Propose(proposed), Message::ViewChange(Arc::new(change)), status(&blocks[0].header.header)];
    let sent = truth.iter().flat_map(|message| stage.send(R1, message.clone()));
    sent.map(|(_, message)| message).filter(|message| !truth.contains(message)).collect()
}

fn refusal(stage: &Stage, message: &Message) -> Option<Rejection> {
    let value = match message.clone() {
        Message::Propose(propose) => Unverified::Proposal(Box::new(propose)),
        Message::ViewChange(change) => Unverified::ViewChange(change),
        Message::Data(Data::View(proof)) => Unverified::View(proof),
        Message::Data(Data::Checkpoint(certificate)) => Unverified::Checkpoint(certificate),
        Message::CheckpointVote(vote) => Unverified::CheckpointVote(vote),
        Message::Wish(wish) => Unverified::Wish(wish),
        Message::Evidence(evidence) => Unverified::Evidence(evidence),
        Message::Request(bundle) => Unverified::Bundle(bundle),
        Message::Vote(vote) => {
            let statement = Statement::Vote(vote.vote);
            return stage.cluster.membership.check_statement(R0, &statement, &vote.signature).err();
        }
        other => panic!("{other:?}"),
    };
    stage.cluster.verifier().check(value).err()
}

#[test]
fn every_certificate_is_refused_by_name() {
    let cases = [
        (Attack::PadCertificates, vec![Rejection::BadCertificate]),
        (Attack::NameForeignSigners, vec![Rejection::UnknownSigner]),
        (Attack::SpoilCertificates, vec![Rejection::BadSignature]),
        (Attack::TransplantCertificates, vec![Rejection::BadSignature, Rejection::WrongEpoch]),
    ];
    for (attack, names) in cases {
        let mut seen = BTreeSet::new();
        for seed in 0..20 {
            let mut stage = Stage::new(4, attack, seed);
            let lies = certified(&mut stage);
            assert!(lies.iter().any(|lie| matches!(lie, Message::Data(Data::View(ViewProof::Quorum(_))))));
            assert_eq!(stage.byzantine.fired as usize, lies.len(), "{attack}");
            for lie in &lies {
                let name = refusal(&stage, lie);
                assert!(name.is_some(), "{attack}: {lie:?}");
                seen.extend(name);
            }
        }
        assert_eq!(seen, names.into_iter().collect(), "{attack}");
    }
}

#[test]
fn certificates_are_padded_with_the_traitors_alone() {
    let mut stage = Stage::new(4, pad_certificates(), 1);
    for lie in certified(&mut stage) {
        let signers: Vec<ReplicaId> = match &lie {
            Message::Propose(propose) => match &propose.justify {
                Justify::Quorum(certificate) => {
                    certificate.signatures.iter().map(|(name, _)| *name).collect()
                }
                other => panic!("{other:?}"),
            },
            Message::ViewChange(change) => change.high_qc.signatures.iter().map(|(name, _)| *name).collect(),
            Message::Data(Data::View(ViewProof::Quorum(certificate))) => {
                certificate.signatures.iter().map(|(name, _)| *name).collect()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(signers, [R0, R0, R0]);
        assert_eq!(refusal(&stage, &lie), Some(Rejection::BadCertificate));
    }
}

#[test]
fn others_names_are_taken() {
    let mut stage = Stage::new(4, impersonate(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let change = stage.cluster.view_change(R0, View(1), stage.cluster.genesis_certificate(), &[]);
    let checkpoint = Message::CheckpointVote(stage.cluster.checkpoint_vote(R0, &block));
    for truth in [Message::ViewChange(Arc::new(change)), checkpoint, status(&block)] {
        let sent = stage.send(R1, truth.clone());
        let [(_, first), (_, lie)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(*first, truth);
        let named = match lie {
            Message::ViewChange(change) => change.replica,
            Message::CheckpointVote(vote) => vote.replica,
            Message::Wish(wish) => wish.replica,
            other => panic!("{other:?}"),
        };
        assert!(named == R2 || named == R3);
        assert_eq!(refusal(&stage, lie), Some(Rejection::BadSignature));
    }
    let genuine = Message::CheckpointVote(stage.cluster.checkpoint_vote(R1, &block));
    let (is_heard, sent) = stage.receive(R1, genuine.clone());
    assert!(is_heard && sent.len() == 1 && sent[0].1 == genuine && sent[0].0 != R1);
}

#[test]
fn nobody_is_named_in_every_kind() {
    let mut stage = Stage::new(4, name_nobody(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let sent = stage.send(R1, status(&block));
    assert_eq!(sent.len(), 5);
    for (_, lie) in &sent[1..] {
        assert_eq!(refusal(&stage, lie), Some(Rejection::UnknownSigner), "{lie:?}");
    }
    assert_eq!(stage.byzantine.fired, 4);
}

#[test]
fn a_signature_means_one_thing_in_one_place() {
    for (attack, names) in [
        (Attack::CrossTypes, vec![Rejection::BadSignature]),
        (
            Attack::CrossClusters,
            vec![
                Rejection::WrongCluster,
                Rejection::WrongEpoch,
                Rejection::BadSignature,
                Rejection::BadCertificate,
            ],
        ),
    ] {
        let mut seen = BTreeSet::new();
        for seed in 0..10 {
            let mut stage = Stage::new(4, attack, seed);
            for block in stage.cluster.chain(View(0), 3) {
                let header = block.header.header;
                let change = stage.cluster.view_change(R0, View(1), stage.cluster.genesis_certificate(), &[]);
                let truth = [
                    Message::Propose(block),
                    Message::Vote(stage.cluster.vote(R0, &header)),
                    Message::CheckpointVote(stage.cluster.checkpoint_vote(R0, &header)),
                    Message::ViewChange(Arc::new(change)),
                ];
                for message in truth {
                    let sent = stage.send(R1, message.clone());
                    let lies = sent.iter().filter(|(_, sent)| *sent != message);
                    for (_, lie) in lies {
                        let name = refusal(&stage, lie);
                        assert!(name.is_some(), "{attack}: {lie:?}");
                        seen.extend(name);
                    }
                }
            }
            assert!(stage.byzantine.fired > 0);
        }
        assert_eq!(seen, names.into_iter().collect(), "{attack}");
    }
}

#[test]
fn votes_are_poisoned_and_the_honest_framed() {
    let mut stage = Stage::new(4, poison_votes().percent(100), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let truth = stage.cluster.vote(R0, &block);
    let sent = stage.send(R1, Message::Vote(truth));
    assert!(matches!(sent[0].1, Message::Vote(vote) if vote.vote == truth.vote));
    assert_eq!(refusal(&stage, &sent[0].1), Some(Rejection::BadSignature));
    let mut names = BTreeSet::new();
    let mut stage = Stage::new(4, frame_honest(), 1);
    assert_eq!(stage.send(R1, status(&block)).len(), 1, "it has nothing in hand yet");
    for block in stage.cluster.chain(View(0), 40) {
        let header = block.header.header;
        let vote = stage.cluster.vote(R2, &header);
        stage.receive(R2, Message::Vote(vote));
        let sent = stage.send(R1, status(&header));
        let Message::Evidence(evidence) = &sent[1].1 else { panic!("{sent:?}") };
        assert_eq!(evidence.replica, R2);
        names.extend(refusal(&stage, &sent[1].1));
        assert!(refusal(&stage, &sent[1].1).is_some());
    }
    assert_eq!(names, [Rejection::BadSignature, Rejection::NotEvidence].into());
}

#[test]
fn forwarded_requests_are_forged_or_known() {
    let mut stage = Stage::new(4, forge_forwards(), 1);
    let bundle = stage.cluster.batch(1, 1).bundles()[0].raw().clone();
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    stage.receive(R1, Message::Request(bundle.clone()));
    let (mut names, mut genuine) = (BTreeSet::new(), 0);
    for _ in 0..40 {
        let sent = stage.send(R1, status(&block));
        let Message::Request(forwarded) = &sent[1].1 else { panic!("{sent:?}") };
        genuine += usize::from(*forwarded == bundle);
        names.extend(refusal(&stage, &sent[1].1));
    }
    assert!(genuine > 0 && names.contains(&Rejection::BadSignature) && names.len() > 1, "{names:?}");
}

#[test]
fn the_longest_lists_are_refused_at_their_first_wrong_element() {
    let mut stage = Stage::new(4, fill_lists(), 1);
    let block = stage.cluster.chain(View(0), 1).remove(0).header.header;
    let (mut kinds, mut names) = (0, BTreeSet::new());
    for _ in 0..60 {
        let sent = stage.send(R1, status(&block));
        match &sent[1].1 {
            Message::Data(Data::Chain(headers)) => kinds |= usize::from(headers.len() == 64),
            Message::Data(Data::Absent(digests)) => kinds |= 2 * usize::from(digests.len() == 64),
            // The traitor led view 0, so that it may claim this; nobody has the blocks.
            Message::ViewChange(change) => kinds |= 4 * usize::from(change.claim.len() == 64),
            other => names.extend(refusal(&stage, other)),
        }
    }
    assert_eq!((kinds, names), (7, [Rejection::BadCertificate].into()));
    assert_eq!(Height(0), stage.status.committed);
}
