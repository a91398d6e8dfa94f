//! View changes and their certificates: claims are one chain above their quorum certificate.

use quorate_types::certificate::{SignedHeader, ViewChange, ViewChangeCertificate};
use quorate_types::limited::Limited;
use quorate_types::message::ViewProof;
use quorate_types::{
    Checked, Epoch, Height, Justification, Rejection, ReplicaId, Unverified, View, VoteStatement,
};
use std::sync::Arc;

use crate::common::{Cluster, SCHEMES, broken, certificate, digest};

fn check(cluster: &Cluster, view_change: ViewChange) -> Result<(), Rejection> {
    cluster.check(Unverified::ViewChange(Arc::new(view_change))).map(|checked| {
        assert!(matches!(checked, Checked::ViewChange(_)));
    })
}

fn check_tc(cluster: &Cluster, tc: ViewChangeCertificate) -> Result<(), Rejection> {
    cluster.check(Unverified::View(ViewProof::ViewChange(Arc::new(tc)))).map(|checked| {
        assert!(matches!(checked, Checked::View(Justification::ViewChange(_))));
    })
}

/// A view change to view 6 by replica 2: a certificate of view 5 and a claim of three blocks.
fn good(cluster: &Cluster) -> ViewChange {
    let qc = cluster.qc(cluster.vote(5, 40));
    let claim = cluster.chain(&qc.vote, 5, 3);
    cluster.view_change(2, 6, qc, claim)
}

/// The same with one change to the claim, signed by its replica.
fn with_claim(cluster: &Cluster, change: &dyn Fn(&mut Vec<SignedHeader>)) -> Result<(), Rejection> {
    let mut view_change = good(cluster);
    let mut claim = view_change.claim.clone().into_vec();
    change(&mut claim);
    view_change.claim = Limited::new(claim).unwrap();
    check(cluster, cluster.resigned(view_change))
}

#[test]
fn claims_of_every_length_are_verified() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for count in [0, 1, 64] {
            let qc = cluster.qc(cluster.vote(5, 40));
            let claim = cluster.chain(&qc.vote, 5, count);
            assert_eq!(check(&cluster, cluster.view_change(2, 6, qc, claim)), Ok(()));
        }
        let genesis = cluster.genesis_qc();
        let claim = cluster.chain(&genesis.vote, 0, 2);
        assert_eq!(check(&cluster, cluster.view_change(0, 1, genesis.clone(), claim.clone())), Ok(()));
        assert_eq!(check(&cluster, cluster.view_change(0, u64::MAX, genesis, claim)), Ok(()));
    }
}

#[test]
fn a_claim_with_a_gap_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let refused = Err(Rejection::BadClaim);
        assert_eq!(with_claim(&cluster, &|_| {}), Ok(()));
        // Not from directly above the certificate; not without a hole; not in disorder.
        assert_eq!(
            with_claim(&cluster, &|claim| claim.retain(|signed| signed.header.height != Height(41))),
            refused
        );
        assert_eq!(
            with_claim(&cluster, &|claim| claim.retain(|signed| signed.header.height != Height(42))),
            refused
        );
        assert_eq!(with_claim(&cluster, &|claim| claim.swap(1, 2)), refused);
        assert_eq!(with_claim(&cluster, &|claim| claim.push(claim[2])), refused);
        // A shorter claim is one too.
        assert_eq!(with_claim(&cluster, &|claim| claim.truncate(2)), Ok(()));
    }
}

#[test]
fn a_claim_of_another_view_height_or_parent_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let refused = Err(Rejection::BadClaim);
        for place in 0..3 {
            let change = |change: &dyn Fn(&mut quorate_types::Header)| {
                with_claim(&cluster, &|claim| {
                    // The last block, so that no later one notices.
                    claim.truncate(place + 1);
                    change(&mut claim[place].header);
                    claim[place] = cluster.signed(claim[place].header);
                })
            };
            assert_eq!(change(&|_| {}), Ok(()));
            assert_eq!(change(&|header| header.view = View(1)), refused, "an older view");
            assert_eq!(change(&|header| header.view = View(9)), refused, "the same primary later");
            assert_eq!(change(&|header| header.height = header.height.next()), refused);
            assert_eq!(change(&|header| header.height = header.height.minus(1)), refused);
            assert_eq!(change(&|header| header.parent = digest(0)), refused);
        }
    }
}

#[test]
fn every_claimed_header_is_the_primarys() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for place in 0..3 {
            let broken_at = |claim: &mut Vec<SignedHeader>| {
                claim[place].signature = broken(claim[place].signature);
            };
            assert_eq!(with_claim(&cluster, &broken_at), Err(Rejection::BadSignature));
            let by_itself = |claim: &mut Vec<SignedHeader>| {
                claim[place] = SignedHeader::sign(claim[place].header, &cluster.keys[2]);
            };
            assert_eq!(with_claim(&cluster, &by_itself), Err(Rejection::BadSignature));
        }
        let last = |change: &dyn Fn(&mut quorate_types::Header)| {
            with_claim(&cluster, &|claim| {
                change(&mut claim[2].header);
                claim[2] = cluster.signed(claim[2].header);
            })
        };
        assert_eq!(last(&|header| header.epoch = Epoch(1)), Err(Rejection::WrongEpoch));
        assert_eq!(last(&|header| header.cluster = digest(0)), Err(Rejection::WrongCluster));
    }
}

/// Numbers at their limit do not rise any further, so a claim may not stand still there.
#[test]
fn a_claim_at_the_greatest_height_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let qc = cluster.qc(cluster.vote(5, u64::MAX));
        let header = cluster.signed(cluster.header(5, u64::MAX, qc.vote.digest));
        let view_change = cluster.view_change(2, 6, qc, vec![header]);
        assert_eq!(check(&cluster, view_change), Err(Rejection::BadClaim));
    }
}

#[test]
fn the_certificate_of_a_view_change_is_checked() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let mut few = good(&cluster);
        few.high_qc.signatures = Limited::take(few.high_qc.signatures.into_vec().into_iter().take(2));
        assert_eq!(check(&cluster, cluster.resigned(few)), Err(Rejection::BadCertificate));
        let mut forged = good(&cluster);
        let mut list = forged.high_qc.signatures.clone().into_vec();
        list[1].1 = broken(list[1].1);
        forged.high_qc.signatures = Limited::take(list);
        assert_eq!(check(&cluster, cluster.resigned(forged)), Err(Rejection::BadSignature));
    }
}

#[test]
fn a_view_change_leads_above_its_certificate() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let to = |certified, view| {
            let qc = cluster.qc(cluster.vote(certified, 40));
            check(&cluster, cluster.view_change(2, view, qc, vec![]))
        };
        assert_eq!(to(5, 6), Ok(()));
        assert_eq!(to(u64::MAX - 1, u64::MAX), Ok(()));
        for (certified, view) in [(5, 5), (5, 4), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
            assert_eq!(to(certified, view), Err(Rejection::BadCertificate));
        }
        let nowhere = cluster.view_change(2, 0, cluster.genesis_qc(), vec![]);
        assert_eq!(check(&cluster, nowhere), Err(Rejection::BadCertificate));
    }
}

#[test]
fn a_view_change_has_one_epoch() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let mut late = good(&cluster);
        late.epoch = Epoch(1);
        assert_eq!(check(&cluster, cluster.resigned(late)), Err(Rejection::BadCertificate));
        let vote = VoteStatement { epoch: Epoch(1), ..cluster.vote(5, 40) };
        let mut later = cluster.view_change(2, 6, cluster.qc(vote), vec![]);
        later.epoch = Epoch(1);
        assert_eq!(check(&cluster, cluster.resigned(later)), Err(Rejection::WrongEpoch));
    }
}

#[test]
fn the_signature_covers_view_certificate_and_claim() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let change = |change: &dyn Fn(&mut ViewChange)| {
            let mut view_change = good(&cluster);
            change(&mut view_change);
            check(&cluster, view_change)
        };
        let refused = Err(Rejection::BadSignature);
        assert_eq!(change(&|_| {}), Ok(()));
        assert_eq!(change(&|vc| vc.signature = broken(vc.signature)), refused);
        assert_eq!(change(&|vc| vc.new_view = View(7)), refused);
        assert_eq!(
            change(&|vc| vc.claim = Limited::take(vc.claim.clone().into_vec().into_iter().take(2))),
            refused
        );
        assert_eq!(change(&|vc| vc.claim = Limited::default()), refused);
        let other = cluster.signatures(&quorate_types::Statement::Vote(cluster.vote(5, 40)), &[0, 1, 3]);
        assert_eq!(change(&|vc| vc.high_qc.signatures = other.clone()), refused);
        assert_eq!(change(&|vc| vc.replica = ReplicaId(1)), refused);
        assert_eq!(change(&|vc| vc.replica = ReplicaId(4)), Err(Rejection::UnknownSigner));
    }
}

// Certificates.

#[test]
fn a_quorum_of_view_changes_opens_a_view() {
    for scheme in SCHEMES {
        for n in [4, 7] {
            let cluster = Cluster::new(scheme, n);
            assert_eq!(check_tc(&cluster, cluster.tc(1)), Ok(()));
            assert_eq!(check_tc(&cluster, cluster.tc(u64::MAX)), Ok(()));
        }
    }
}

#[test]
fn view_change_certificates_have_exactly_q_rising_members() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let of = |signers: &[u16]| {
            let qc = cluster.genesis_qc();
            let each = signers.iter().map(|id| cluster.view_change(*id, 1, qc.clone(), vec![])).collect();
            check_tc(&cluster, certificate(each))
        };
        assert_eq!(of(&[1, 2, 3]), Ok(()));
        for signers in [&[][..], &[0, 1], &[0, 1, 2, 3], &[0, 0, 1], &[0, 1, 1], &[1, 0, 2], &[3, 2, 1]] {
            assert_eq!(of(signers), Err(Rejection::BadCertificate), "{signers:?}");
        }
        let mut tc = cluster.tc(1).view_changes.into_vec();
        tc[2].replica = ReplicaId(4);
        assert_eq!(check_tc(&cluster, certificate(tc)), Err(Rejection::UnknownSigner));
    }
}

#[test]
fn view_change_certificates_are_for_one_view_and_not_for_the_first() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for place in 0..3 {
            let mut tc = cluster.tc(1).view_changes.into_vec();
            tc[place].new_view = View(2);
            tc[place] = cluster.resigned(tc[place].clone());
            assert_eq!(check_tc(&cluster, certificate(tc)), Err(Rejection::BadCertificate));
        }
        assert_eq!(check_tc(&cluster, cluster.tc(0)), Err(Rejection::BadCertificate));
        assert_eq!(ViewChangeCertificate::default().view(), View(0));
    }
}

#[test]
fn every_view_change_of_a_certificate_is_checked() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for place in 0..3 {
            let change = |change: &dyn Fn(&mut ViewChange)| {
                let mut tc = cluster.tc(1).view_changes.into_vec();
                change(&mut tc[place]);
                check_tc(&cluster, certificate(tc))
            };
            assert_eq!(change(&|vc| vc.signature = broken(vc.signature)), Err(Rejection::BadSignature));
            assert_eq!(change(&|vc| vc.claim = Limited::default()), Err(Rejection::BadSignature));
            let unrelated = cluster.signed(cluster.header(0, 1, digest(9)));
            let claim = |vc: &mut ViewChange| {
                vc.claim = Limited::take([unrelated]);
                *vc = cluster.resigned(vc.clone());
            };
            assert_eq!(change(&claim), Err(Rejection::BadClaim));
            let ahead = |vc: &mut ViewChange| {
                let (qc, signer) = (cluster.qc(cluster.vote(1, 1)), vc.replica.0);
                *vc = cluster.view_change(signer, 1, qc, vec![]);
            };
            assert_eq!(change(&ahead), Err(Rejection::BadCertificate));
        }
    }
}

/// What one member's certificate was found good for does not make another's good.
#[test]
fn a_signature_seen_before_is_good_only_for_its_signer_and_statement() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let qc = cluster.qc(cluster.vote(5, 40));
        let claim = cluster.chain(&qc.vote, 5, 1);
        let change = |change: &dyn Fn(&mut ViewChange)| {
            let of = |id| cluster.view_change(id, 6, qc.clone(), claim.clone());
            let mut tc: Vec<_> = (0..3).map(of).collect();
            change(&mut tc[2]);
            tc[2] = cluster.resigned(tc[2].clone());
            check_tc(&cluster, certificate(tc))
        };
        let refused = Err(Rejection::BadSignature);
        assert_eq!(change(&|_| {}), Ok(()));
        let with_signatures = |vc: &mut ViewChange, change: &dyn Fn(&mut Vec<_>)| {
            let mut list = vc.high_qc.signatures.clone().into_vec();
            change(&mut list);
            vc.high_qc.signatures = Limited::take(list);
        };
        assert_eq!(change(&|vc| with_signatures(vc, &|list| list[0].1 = broken(list[0].1))), refused);
        assert_eq!(change(&|vc| with_signatures(vc, &|list| list[2].0 = ReplicaId(3))), refused);
        let moved = |vc: &mut ViewChange| {
            vc.high_qc.vote.height = Height(41);
            vc.claim = Limited::default();
        };
        assert_eq!(change(&moved), refused);
        let forged = |vc: &mut ViewChange| {
            let mut header = claim[0];
            header.header.batch = digest(9);
            vc.claim = Limited::take([header]);
        };
        assert_eq!(change(&forged), refused);
    }
}
