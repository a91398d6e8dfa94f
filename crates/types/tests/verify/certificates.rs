//! Quorum and checkpoint certificates: exactly Q members, in rising order, each with a good
//! signature on the statement itself.

use quorate_types::certificate::{CheckpointCertificate, QuorumCertificate, Signatures};
use quorate_types::message::ViewProof;
use quorate_types::{
    Checked, Epoch, Height, Justification, Rejection, ReplicaId, Scheme, Signature, Statement, Unverified,
    Verified, View, VoteStatement,
};
use std::sync::Arc;

use crate::common::{Cluster, SCHEMES, broken, digest, signatures};

fn check_qc(cluster: &Cluster, qc: QuorumCertificate) -> Result<(), Rejection> {
    cluster.check(Unverified::View(ViewProof::Quorum(Arc::new(qc)))).map(|checked| {
        assert!(matches!(checked, Checked::View(Justification::Quorum(_))));
    })
}

fn check_checkpoint(cluster: &Cluster, certificate: CheckpointCertificate) -> Result<(), Rejection> {
    cluster.check(Unverified::Checkpoint(Arc::new(certificate))).map(|checked| {
        assert!(matches!(checked, Checked::Checkpoint(_)));
    })
}

/// Puts each list of signatures into a quorum certificate and into a checkpoint certificate.
fn check_both(cluster: &Cluster, wanted: Result<(), Rejection>, list: &dyn Fn(&Statement) -> Signatures) {
    let vote = cluster.vote(3, 7);
    let qc = QuorumCertificate { vote, signatures: list(&Statement::Vote(vote)) };
    assert_eq!(check_qc(cluster, qc), wanted);
    let checkpoint = cluster.checkpoint(1024);
    let signatures = list(&Statement::Checkpoint(checkpoint));
    assert_eq!(check_checkpoint(cluster, CheckpointCertificate { checkpoint, signatures }), wanted);
}

#[test]
fn any_quorum_makes_a_certificate() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for signers in [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]] {
            check_both(&cluster, Ok(()), &|statement| cluster.signatures(statement, &signers));
        }
    }
}

#[test]
fn too_few_and_too_many_signers_are_refused() {
    for scheme in SCHEMES {
        for n in [4, 7] {
            let cluster = Cluster::new(scheme, n);
            let everyone: Vec<u16> = (0..n).collect();
            for count in 0..=usize::from(n) {
                let wanted = if count == cluster.quorum() { Ok(()) } else { Err(Rejection::BadCertificate) };
                check_both(&cluster, wanted, &|statement| cluster.signatures(statement, &everyone[..count]));
            }
        }
    }
}

#[test]
fn repeated_and_unordered_signers_are_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for signers in [[0, 0, 1], [0, 1, 1], [2, 2, 2], [1, 0, 2], [0, 2, 1], [3, 2, 1]] {
            check_both(&cluster, Err(Rejection::BadCertificate), &|statement| {
                cluster.signatures(statement, &signers)
            });
        }
    }
}

#[test]
fn signers_outside_the_membership_are_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for stranger in [4, 1000, u16::MAX] {
            check_both(&cluster, Err(Rejection::UnknownSigner), &|statement| {
                let mut list = cluster.signatures(statement, &[0, 1, 2]).into_vec();
                list[2].0 = ReplicaId(stranger);
                signatures(list)
            });
        }
    }
}

#[test]
fn every_signature_of_a_certificate_is_checked() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for place in 0..3 {
            check_both(&cluster, Err(Rejection::BadSignature), &|statement| {
                let mut list = cluster.signatures(statement, &[0, 1, 2]).into_vec();
                list[place].1 = broken(list[place].1);
                signatures(list)
            });
        }
        // Two members with each other's signatures; one signature under two names.
        check_both(&cluster, Err(Rejection::BadSignature), &|statement| {
            let mut list = cluster.signatures(statement, &[0, 1, 2]).into_vec();
            (list[0].1, list[1].1) = (list[1].1, list[0].1);
            signatures(list)
        });
        check_both(&cluster, Err(Rejection::BadSignature), &|statement| {
            let mut list = cluster.signatures(statement, &[0, 1, 2]).into_vec();
            list[1].1 = list[0].1;
            signatures(list)
        });
    }
}

#[test]
fn signatures_on_another_statement_make_no_certificate() {
    for scheme in SCHEMES {
        let (cluster, other) = (Cluster::new(scheme, 4), Cluster::named("other", scheme, 4));
        let good = cluster.qc(cluster.vote(3, 7));
        let mut moved = [good.clone(), good.clone(), good.clone()];
        moved[0].vote.view = View(2);
        moved[1].vote.height = Height(8);
        moved[2].vote.digest = digest(8);
        for qc in moved {
            assert_eq!(check_qc(&cluster, qc), Err(Rejection::BadSignature));
        }
        assert_eq!(check_qc(&other, good), Err(Rejection::BadSignature));
        // Votes as a checkpoint's signatures and the other way round.
        let vote = Statement::Vote(cluster.vote(3, 7));
        let checkpoint = cluster.checkpoint(1024);
        let signatures = cluster.signatures(&vote, &[0, 1, 2]);
        let crossed = CheckpointCertificate { checkpoint, signatures };
        assert_eq!(check_checkpoint(&cluster, crossed), Err(Rejection::BadSignature));
        let signatures = cluster.signatures(&Statement::Checkpoint(checkpoint), &[0, 1, 2]);
        let crossed = QuorumCertificate { vote: cluster.vote(3, 7), signatures };
        assert_eq!(check_qc(&cluster, crossed), Err(Rejection::BadSignature));
    }
}

#[test]
fn certificates_of_another_epoch_are_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let vote = VoteStatement { epoch: Epoch(1), ..cluster.vote(3, 7) };
        assert_eq!(check_qc(&cluster, cluster.qc(vote)), Err(Rejection::WrongEpoch));
        let mut certificate = cluster.checkpoint_certificate(1024);
        certificate.checkpoint.epoch = Epoch(1);
        certificate.signatures =
            cluster.signatures(&Statement::Checkpoint(certificate.checkpoint), &[0, 1, 2]);
        assert_eq!(check_checkpoint(&cluster, certificate), Err(Rejection::WrongEpoch));
    }
}

#[test]
fn the_greatest_numbers_make_certificates_like_others() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        assert_eq!(check_qc(&cluster, cluster.qc(cluster.vote(u64::MAX, u64::MAX))), Ok(()));
        assert_eq!(check_checkpoint(&cluster, cluster.checkpoint_certificate(u64::MAX - 1)), Ok(()));
    }
}

#[test]
fn the_genesis_block_has_one_certificate() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let genesis = cluster.genesis_qc();
        assert_eq!(check_qc(&cluster, genesis.clone()), Ok(()));
        assert_eq!(**Verified::<Arc<QuorumCertificate>>::genesis(&cluster.membership), genesis);

        let with = |change: &dyn Fn(&mut QuorumCertificate)| {
            let mut qc = genesis.clone();
            change(&mut qc);
            check_qc(&cluster, qc)
        };
        let refused = Err(Rejection::BadCertificate);
        assert_eq!(with(&|qc| qc.vote.view = View(1)), refused);
        assert_eq!(with(&|qc| qc.vote.digest = digest(1)), refused);
        assert_eq!(with(&|qc| qc.vote.epoch = Epoch(1)), refused);
        assert_eq!(with(&|qc| qc.signatures = signatures(vec![(ReplicaId(0), Signature([0; 64]))])), refused);
        // Not even Q good signatures make another one, at height 0 or on a block that claims to be it.
        assert_eq!(with(&|qc| *qc = cluster.qc(qc.vote)), refused);
        let rival = VoteStatement { digest: digest(1), ..genesis.vote };
        assert_eq!(check_qc(&cluster, cluster.qc(rival)), refused);
        // Without signatures nothing above height 0 is certified.
        assert_eq!(with(&|qc| qc.vote.height = Height(1)), refused);
    }
}

// Votes of which a certificate is to be made.

type Votes = Vec<(ReplicaId, Signature)>;

fn check_votes(cluster: &Cluster, votes: Votes) -> (Option<QuorumCertificate>, Vec<u16>) {
    let vote = cluster.vote(3, 7);
    let Ok(Checked::Votes(of, certificate, bad)) = cluster.check(Unverified::Votes(vote, votes)) else {
        panic!("votes are sorted into good and bad")
    };
    assert_eq!(of, vote);
    (certificate.map(|qc| (**qc).clone()), bad.into_iter().map(|replica| replica.0).collect())
}

fn votes(cluster: &Cluster, voters: &[u16]) -> Votes {
    cluster.signatures(&Statement::Vote(cluster.vote(3, 7)), voters).into_vec()
}

#[test]
fn good_votes_make_a_certificate_that_all_accept() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for voters in [&[0, 1, 2][..], &[3, 1, 0], &[3, 2, 1, 0]] {
            let (certificate, bad) = check_votes(&cluster, votes(&cluster, voters));
            assert_eq!(check_qc(&cluster, certificate.expect("enough good votes")), Ok(()));
            assert!(bad.is_empty());
        }
    }
}

#[test]
fn bad_votes_are_named_and_do_not_count() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let mut mixed = votes(&cluster, &[0, 1, 2, 3]);
        mixed[1].1 = broken(mixed[1].1);
        let (certificate, bad) = check_votes(&cluster, mixed.clone());
        assert_eq!(check_qc(&cluster, certificate.expect("three good votes")), Ok(()));
        assert_eq!(bad, [1]);
        mixed[3].1 = mixed[2].1;
        let (certificate, bad) = check_votes(&cluster, mixed);
        assert_eq!((certificate, bad), (None, vec![1, 3]));
    }
}

#[test]
fn repeated_and_foreign_votes_do_not_count() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let (certificate, bad) = check_votes(&cluster, votes(&cluster, &[0, 1, 1, 0]));
        assert_eq!((certificate, bad), (None, vec![]));
        let mut foreign = votes(&cluster, &[0, 1, 2]);
        foreign[2].0 = ReplicaId(4);
        let (certificate, bad) = check_votes(&cluster, foreign);
        assert_eq!((certificate, bad), (None, vec![4]));
        let checkpoint = Statement::Checkpoint(cluster.checkpoint(7));
        let (certificate, bad) =
            check_votes(&cluster, cluster.signatures(&checkpoint, &[0, 1, 2]).into_vec());
        assert_eq!((certificate, bad), (None, vec![0, 1, 2]));
    }
}

#[test]
fn certificates_rank_by_view_before_height() {
    let cluster = Cluster::new(Scheme::Simulated, 4);
    let rank = |view, height| cluster.qc(cluster.vote(view, height)).rank();
    assert!(rank(2, 1) > rank(1, u64::MAX));
    assert!(rank(2, 2) > rank(2, 1));
}
