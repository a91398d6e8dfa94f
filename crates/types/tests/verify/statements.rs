//! One statement of one replica: cluster, epoch, signer, primary, signature.

use curve25519_dalek::Scalar;
use ed25519_dalek::Verifier as _;
use quorate_types::certificate::SignedHeader;
use quorate_types::message::{CheckpointVote, Wish};
use quorate_types::{
    Checked, Epoch, Rejection, ReplicaId, Scheme, Signature, Statement, Unverified, Verified, View,
};
use sha2::{Digest as _, Sha512};

use crate::common::{Cluster, SCHEMES, broken, digest, samples};

fn check_header(cluster: &Cluster, header: SignedHeader) -> Result<Checked, Rejection> {
    cluster.check(Unverified::Headers(vec![header]))
}

fn check(cluster: &Cluster, signer: u16, statement: &Statement, signed: &Signature) -> Result<(), Rejection> {
    cluster.membership.check_statement(ReplicaId(signer), statement, signed)
}

/// The statement in another epoch, if it has one.
fn in_epoch(mut statement: Statement, number: u64) -> Statement {
    match &mut statement {
        Statement::Block(header) => header.epoch = Epoch(number),
        Statement::Vote(vote) => vote.epoch = Epoch(number),
        Statement::Checkpoint(checkpoint) => checkpoint.epoch = Epoch(number),
        Statement::ViewChange { epoch, .. } | Statement::Wish { epoch, .. } => *epoch = Epoch(number),
        Statement::Bundle(_) => {}
    }
    statement
}

#[test]
fn a_good_header_is_verified() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let headers: Vec<_> =
            (0..9).map(|view| cluster.signed(cluster.header(view, 1, digest(view)))).collect();
        let Ok(Checked::Headers(verified)) = cluster.check(Unverified::Headers(headers.clone())) else {
            panic!("good headers")
        };
        assert!(verified.iter().map(|header| **header).eq(headers));
    }
}

#[test]
fn one_bad_header_refuses_all() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let good = cluster.signed(cluster.header(0, 1, digest(0)));
    let bad = SignedHeader { signature: broken(good.signature), ..good };
    assert_eq!(cluster.check(Unverified::Headers(vec![good, bad])).err(), Some(Rejection::BadSignature));
}

#[test]
fn a_header_of_another_cluster_is_refused() {
    for scheme in SCHEMES {
        let (cluster, other) = (Cluster::new(scheme, 4), Cluster::named("other", scheme, 4));
        let foreign = other.signed(other.header(0, 1, digest(0)));
        assert_eq!(check_header(&cluster, foreign).err(), Some(Rejection::WrongCluster));
        // Signed for the other cluster, but with this one's name in it.
        let header = cluster.header(0, 1, digest(0));
        let signature = Statement::Block(header).sign(&cluster.keys[0], &other.membership.cluster());
        let renamed = SignedHeader { header, signature };
        assert_eq!(check_header(&cluster, renamed).err(), Some(Rejection::BadSignature));
    }
}

#[test]
fn a_header_by_another_than_the_primary_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for (view, signer) in [(0, 1), (1, 0), (6, 3), (u64::MAX, 0)] {
            let header = cluster.header(view, 1, digest(0));
            let signed = SignedHeader::sign(header, &cluster.keys[signer]);
            assert_eq!(check_header(&cluster, signed).err(), Some(Rejection::BadSignature));
        }
        let header = Statement::Block(cluster.header(6, 1, digest(0)));
        let signed = cluster.sign(3, &header);
        assert_eq!(check(&cluster, 3, &header, &signed), Err(Rejection::WrongPrimary));
    }
}

#[test]
fn the_greatest_views_and_heights_have_a_primary() {
    for scheme in SCHEMES {
        for n in [4, 7, 128] {
            let cluster = Cluster::new(scheme, n);
            let header = cluster.signed(cluster.header(u64::MAX, u64::MAX, digest(0)));
            assert!(check_header(&cluster, header).is_ok());
            let primary = cluster.membership.primary(View(u64::MAX));
            assert_eq!(u64::from(primary.0), u64::MAX % u64::from(n));
        }
    }
}

#[test]
fn another_epoch_is_refused_for_every_kind() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        for (name, statement) in samples::statements(&cluster) {
            let wanted = match statement {
                Statement::Bundle(_) => Err(Rejection::UnknownSigner),
                _ => Err(Rejection::WrongEpoch),
            };
            for epoch in [1, u64::MAX] {
                let moved = in_epoch(statement, epoch);
                assert_eq!(check(&cluster, 0, &moved, &cluster.sign(0, &moved)), wanted, "{name}");
                // A signature of this epoch is none for another, and the other way round.
                let signed = cluster.sign(0, &moved);
                assert!(check(&cluster, 0, &statement, &signed).is_err(), "{name}");
            }
        }
    }
}

#[test]
fn another_cluster_is_refused_for_every_kind() {
    for scheme in SCHEMES {
        let (cluster, other) = (Cluster::new(scheme, 4), Cluster::named("other", scheme, 4));
        for (name, statement) in samples::statements(&cluster) {
            let foreign = other.sign(0, &statement);
            let wanted = match statement {
                Statement::Bundle(_) => Rejection::UnknownSigner,
                _ => Rejection::BadSignature,
            };
            assert_eq!(check(&cluster, 0, &statement, &foreign), Err(wanted), "{name}");
        }
    }
}

#[test]
fn a_signer_outside_the_membership_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let statement = Statement::Vote(cluster.vote(0, 1));
        let signed = cluster.sign(0, &statement);
        for stranger in [4, 5, u16::MAX] {
            assert_eq!(check(&cluster, stranger, &statement, &signed), Err(Rejection::UnknownSigner));
        }
    }
}

#[test]
fn clients_statements_are_none_of_a_replica() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let statement = Statement::Bundle(digest(1));
    let signed = cluster.sign(0, &statement);
    assert_eq!(check(&cluster, 0, &statement, &signed), Err(Rejection::UnknownSigner));
}

/// That no domain is the beginning of another is shown beside the golden bytes.
#[test]
fn a_signature_of_one_kind_is_none_of_another() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let statements = samples::statements(&cluster);
        for (from, first) in &statements {
            let signed = cluster.sign(0, first);
            for (to, second) in &statements {
                if !matches!(second, Statement::Bundle(_)) {
                    assert_eq!(check(&cluster, 0, second, &signed).is_ok(), from == to, "{from} as {to}");
                }
            }
        }
        // A wish's content is the beginning of a view change's.
        let vote = cluster.vote(0, 1);
        let view_change = Statement::ViewChange { epoch: vote.epoch, view: vote.view, content: vote.digest };
        let wish = Statement::Wish { epoch: vote.epoch, view: vote.view };
        let signed = cluster.sign(0, &wish);
        assert_eq!(check(&cluster, 0, &view_change, &signed), Err(Rejection::BadSignature));
    }
}

#[test]
fn any_changed_bit_of_a_signature_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let statement = Statement::Vote(cluster.vote(0, 1));
        let good = cluster.sign(2, &statement);
        assert_eq!(check(&cluster, 2, &statement, &good), Ok(()));
        for bit in 0..512 {
            let mut bad = good;
            bad.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&cluster, 2, &statement, &bad), Err(Rejection::BadSignature), "bit {bit}");
        }
        assert_eq!(check(&cluster, 1, &statement, &good), Err(Rejection::BadSignature));
    }
}

/// S + L and S verify alike in a lax check: then one signature would have two forms.
#[test]
fn a_signature_with_a_scalar_above_the_order_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let statement = Statement::Vote(cluster.vote(0, 1));
    let good = cluster.sign(0, &statement);
    let mut stretched = good;
    let mut carry = 0;
    for (byte, order) in stretched.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(check(&cluster, 0, &statement, &stretched), Err(Rejection::BadSignature));
}

/// With a commitment R of small order the signer alone decides which lax checks it passes.
#[test]
fn a_signature_with_a_weak_commitment_is_refused() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let statement = Statement::Vote(cluster.vote(0, 1));
    let message = statement.signed_bytes(&cluster.membership.cluster());
    let key = cluster.keys[0].ed25519();
    let mut signature = [0; 64];
    // R is the neutral element, so S = k * a solves S * B = R + k * A.
    signature[0] = 1;
    let mut hash = Sha512::new();
    hash.update(&signature[..32]);
    hash.update(key.verifying_key().as_bytes());
    hash.update(&message);
    let scalar = Scalar::from_bytes_mod_order_wide(&hash.finalize().into()) * key.to_scalar();
    signature[32..].copy_from_slice(scalar.as_bytes());
    let lax = key.verifying_key().verify(&message, &ed25519_dalek::Signature::from_bytes(&signature));
    assert!(lax.is_ok());
    assert_eq!(check(&cluster, 0, &statement, &Signature(signature)), Err(Rejection::BadSignature));
}

#[test]
fn checkpoint_votes_and_wishes_are_checked() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let checkpoint = cluster.checkpoint(1024);
        let signature = cluster.sign(1, &Statement::Checkpoint(checkpoint));
        let vote = CheckpointVote { checkpoint, replica: ReplicaId(1), signature };
        assert!(matches!(
            cluster.check(Unverified::CheckpointVote(vote)),
            Ok(Checked::CheckpointVote(verified)) if *verified == vote
        ));
        let refused = |vote| cluster.check(Unverified::CheckpointVote(vote)).err();
        let other = CheckpointVote { replica: ReplicaId(2), ..vote };
        assert_eq!(refused(other), Some(Rejection::BadSignature));
        let stranger = CheckpointVote { replica: ReplicaId(4), ..vote };
        assert_eq!(refused(stranger), Some(Rejection::UnknownSigner));
        let moved = CheckpointVote { checkpoint: cluster.checkpoint(1025), ..vote };
        assert_eq!(refused(moved), Some(Rejection::BadSignature));

        let statement = Statement::Wish { epoch: Epoch(0), view: View(u64::MAX) };
        let signature = cluster.sign(3, &statement);
        let wish = Wish { epoch: Epoch(0), view: View(u64::MAX), replica: ReplicaId(3), signature };
        assert!(matches!(cluster.check(Unverified::Wish(wish)), Ok(Checked::Wish(v)) if *v == wish));
        let refused = |wish| cluster.check(Unverified::Wish(wish)).err();
        assert_eq!(refused(Wish { view: View(1), ..wish }), Some(Rejection::BadSignature));
        assert_eq!(refused(Wish { epoch: Epoch(1), ..wish }), Some(Rejection::WrongEpoch));
        assert_eq!(refused(Wish { replica: ReplicaId(4), ..wish }), Some(Rejection::UnknownSigner));
    }
}

#[test]
fn an_own_header_is_what_the_verifier_would_accept() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let own = Verified::own_header(cluster.header(0, 1, digest(0)), &cluster.keys[0]);
        assert!(check_header(&cluster, own.into_inner()).is_ok());
    }
}
