//! Proof of misbehaviour: accepted only for two statements that no honest replica signs.

use quorate_types::{
    Checked, Digest, Evidence, EvidenceError, EvidenceFile, Rejection, ReplicaId, Statement, Time,
    Unverified, View, wire,
};
use serde_json::Value;
use std::sync::Arc;

use crate::common::{Cluster, SCHEMES, broken, digest, samples};

fn check(cluster: &Cluster, evidence: Evidence) -> Result<(), Rejection> {
    cluster.check(Unverified::Evidence(Arc::new(evidence))).map(|checked| {
        assert!(matches!(checked, Checked::Evidence(_)));
    })
}

fn proof(cluster: &Cluster, replica: u16, first: Statement, second: Statement) -> Evidence {
    let signed = |statement| (statement, cluster.sign(replica, &statement));
    Evidence { replica: ReplicaId(replica), first: signed(first), second: signed(second) }
}

#[test]
fn two_contents_for_one_slot_convict() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for evidence in samples::evidence(&cluster) {
            let wanted = match evidence.first.0 {
                // Two wishes for one view are equal; clients are not replicas.
                Statement::Wish { .. } | Statement::Bundle(_) => Err(Rejection::NotEvidence),
                _ => Ok(()),
            };
            assert_eq!(check(&cluster, evidence.clone()), wanted, "{evidence}");
            let swapped = Evidence { first: evidence.second, second: evidence.first, ..evidence };
            assert_eq!(check(&cluster, swapped), wanted);
        }
    }
}

#[test]
fn one_statement_twice_convicts_nobody() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for (name, statement) in samples::statements(&cluster) {
            let twice = proof(&cluster, 0, statement, statement);
            assert_eq!(check(&cluster, twice), Err(Rejection::NotEvidence), "{name}");
        }
    }
}

#[test]
fn statements_for_different_slots_convict_nobody() {
    let cluster = Cluster::new(quorate_types::Scheme::Ed25519, 4);
    let block = cluster.header(0, 1, digest(0));
    let vote = cluster.vote(0, 1);
    let checkpoint = cluster.checkpoint(1024);
    let view_change =
        |view| Statement::ViewChange { epoch: vote.epoch, view: View(view), content: digest(view) };
    let wish = |view| Statement::Wish { epoch: vote.epoch, view: View(view) };
    let pairs = [
        (Statement::Block(block), Statement::Block(cluster.header(0, 2, digest(0)))),
        (Statement::Block(block), Statement::Block(cluster.header(4, 1, digest(0)))),
        (Statement::Vote(vote), Statement::Vote(cluster.vote(0, 2))),
        (Statement::Vote(vote), Statement::Vote(cluster.vote(1, 1))),
        (Statement::Checkpoint(checkpoint), Statement::Checkpoint(cluster.checkpoint(2048))),
        (view_change(1), view_change(2)),
        (wish(1), wish(2)),
        (Statement::Block(block), Statement::Vote(vote)),
        (view_change(1), wish(1)),
    ];
    for (first, second) in pairs {
        assert_eq!(check(&cluster, proof(&cluster, 0, first, second)), Err(Rejection::NotEvidence));
    }
}

/// Both statements must be of this epoch: those of another are not this membership's to judge.
#[test]
fn statements_of_another_epoch_or_cluster_convict_nobody() {
    for scheme in SCHEMES {
        let (cluster, other) = (Cluster::new(scheme, 4), Cluster::named("other", scheme, 4));
        for evidence in samples::evidence(&other).into_iter().take(4) {
            let wanted = match evidence.first.0 {
                Statement::Block(_) => Rejection::WrongCluster,
                _ => Rejection::BadSignature,
            };
            assert_eq!(check(&cluster, evidence), Err(wanted));
        }
        let mut vote = cluster.vote(0, 1);
        vote.epoch = vote.epoch.next();
        let first = Statement::Vote(vote);
        let late = proof(&cluster, 0, first, samples::rival(first));
        assert_eq!(check(&cluster, late), Err(Rejection::WrongEpoch));
    }
}

#[test]
fn both_signatures_must_be_the_accused_ones() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for good in samples::evidence(&cluster).into_iter().take(4) {
            let mut first = good.clone();
            first.first.1 = broken(first.first.1);
            assert_eq!(check(&cluster, first), Err(Rejection::BadSignature));
            let mut second = good.clone();
            second.second.1 = broken(second.second.1);
            assert_eq!(check(&cluster, second), Err(Rejection::BadSignature));
            let mut swapped = good.clone();
            std::mem::swap(&mut swapped.first.1, &mut swapped.second.1);
            assert_eq!(check(&cluster, swapped), Err(Rejection::BadSignature));
            let mut framed = good.clone();
            framed.second.1 = cluster.sign(1, &framed.second.0);
            assert_eq!(check(&cluster, framed), Err(Rejection::BadSignature));
        }
    }
}

#[test]
fn only_a_member_and_only_the_primary_can_be_accused() {
    let cluster = Cluster::new(quorate_types::Scheme::Ed25519, 4);
    for stranger in [4, u16::MAX] {
        let vote = Statement::Vote(cluster.vote(0, 1));
        let mut evidence = proof(&cluster, 0, vote, samples::rival(vote));
        evidence.replica = ReplicaId(stranger);
        assert_eq!(check(&cluster, evidence), Err(Rejection::UnknownSigner));
    }
    // A backup that signs headers says nothing that counts.
    let block = Statement::Block(cluster.header(0, 1, digest(0)));
    let backup = proof(&cluster, 1, block, samples::rival(block));
    assert_eq!(check(&cluster, backup), Err(Rejection::WrongPrimary));
}

#[test]
fn blocks_that_differ_in_any_field_contradict() {
    let cluster = Cluster::new(quorate_types::Scheme::Ed25519, 4);
    let block = cluster.header(0, 1, digest(0));
    let mut others = [block; 3];
    others[0].parent = digest(9);
    others[1].batch = digest(9);
    others[2].time = Time(9);
    for other in others {
        let evidence = proof(&cluster, 0, Statement::Block(block), Statement::Block(other));
        assert_eq!(evidence.view(), Some(View(0)));
        assert_eq!(check(&cluster, evidence), Ok(()));
    }
}

/// What proves something, for each attributable kind, in its three forms.
fn proofs(cluster: &Cluster) -> Vec<Evidence> {
    let all = samples::evidence(cluster).into_iter();
    let proofs: Vec<_> = all.filter(|evidence| check(cluster, evidence.clone()).is_ok()).collect();
    assert_eq!(proofs.len(), 4);
    proofs
}

#[test]
fn bytes_and_files_are_verified_with_the_genesis_alone() {
    for scheme in SCHEMES {
        let (cluster, other) = (Cluster::new(scheme, 4), Cluster::named("other", scheme, 4));
        for evidence in proofs(&cluster) {
            let bytes = wire::canonical(&evidence);
            assert_eq!(Evidence::verify_offline(&bytes, &cluster.genesis), Ok(evidence.clone()));
            assert!(Evidence::verify_offline(&bytes, &other.genesis).is_err());
            let file = EvidenceFile::new(cluster.membership.cluster(), evidence);
            let json = serde_json::to_string_pretty(&file).expect("it is plain data");
            let read: EvidenceFile = serde_json::from_str(&json).expect("it reads what it wrote");
            assert_eq!(read, file);
            assert_eq!(read.verify_offline(&cluster.genesis), Ok(()));
            let expected = other.membership.cluster();
            assert_eq!(
                read.verify_offline(&other.genesis),
                Err(EvidenceError::OtherCluster { found: file.cluster, expected })
            );
            let moved = EvidenceFile { cluster: expected, ..file.clone() };
            assert!(matches!(moved.verify_offline(&other.genesis), Err(EvidenceError::Refused(_))));
            let later = EvidenceFile { quorate_evidence: 2, ..file };
            assert_eq!(later.verify_offline(&cluster.genesis), Err(EvidenceError::Form(2)));
        }
    }
}

/// Every leaf of a proof's JSON, by its path, changed to another value of its kind.
fn with_one_leaf_changed(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(fields) => {
            let changed = fields.iter().flat_map(|(name, field)| {
                with_one_leaf_changed(field).into_iter().map(move |field| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), field);
                    Value::Object(fields)
                })
            });
            changed.collect()
        }
        Value::Array(items) => {
            let changed = items.iter().enumerate().flat_map(|(place, item)| {
                with_one_leaf_changed(item).into_iter().map(move |item| {
                    let mut items = items.clone();
                    items[place] = item;
                    Value::Array(items)
                })
            });
            changed.collect()
        }
        Value::String(text) => {
            let flipped = if text.starts_with('0') { "1" } else { "0" };
            vec![Value::String(format!("{flipped}{}", &text[1..]))]
        }
        Value::Number(number) => vec![Value::from(number.as_u64().expect("no negative ones") ^ 1)],
        _ => Vec::new(),
    }
}

#[test]
fn a_proof_with_any_field_changed_proves_nothing() {
    let cluster = Cluster::new(quorate_types::Scheme::Ed25519, 4);
    let mut count = 0;
    for evidence in proofs(&cluster) {
        let file = EvidenceFile::new(cluster.membership.cluster(), evidence);
        let json = serde_json::to_value(&file).expect("it is plain data");
        for changed in with_one_leaf_changed(&json) {
            count += 1;
            let read = serde_json::from_value::<EvidenceFile>(changed.clone());
            let is_accepted = read.is_ok_and(|read| read.verify_offline(&cluster.genesis).is_ok());
            assert!(!is_accepted, "{changed}");
        }
    }
    assert!(count > 40, "{count} fields");
}

/// Bits flipped, bytes replaced, cut off, added, doubled and exchanged.
#[test]
fn a_thousand_tampered_proofs_prove_nothing() {
    let cluster = Cluster::new(quorate_types::Scheme::Ed25519, 4);
    let mut drawn = digest(1);
    let mut draw = |end: usize| {
        drawn = Digest::of_bytes(&drawn.0);
        drawn.0.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte)) % end
    };
    let proofs: Vec<Vec<u8>> = proofs(&cluster).iter().map(wire::canonical).collect();
    for round in 0..1000 {
        let good = &proofs[round % proofs.len()];
        let mut bytes = good.clone();
        let (place, other) = (draw(bytes.len()), draw(bytes.len()));
        match draw(5) {
            0 => bytes[place] ^= 1 << draw(8),
            1 => bytes[place] = bytes[place].wrapping_add(1 + draw(255) as u8),
            2 => bytes.truncate(place),
            3 => bytes.insert(place, draw(256) as u8),
            _ => bytes.swap(place, other),
        }
        if bytes != *good {
            assert!(Evidence::verify_offline(&bytes, &cluster.genesis).is_err(), "round {round}");
        }
    }
}
