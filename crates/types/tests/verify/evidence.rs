//! Proof of misbehaviour: accepted only for two statements that no honest replica signs.

use quorate_types::{Checked, Evidence, Rejection, ReplicaId, Statement, Time, Unverified, View};
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
