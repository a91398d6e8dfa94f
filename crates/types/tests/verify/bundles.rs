//! Clients' bundles, and proposals that carry them.

use bytes::Bytes;
use quorate_types::certificate::SignedHeader;
use quorate_types::message::{Justify, Propose};
use quorate_types::{
    Batch, Bundle, Checked, Digest, Genesis, Justification, PublicKey, Rejection, RequestNumber, Scheme,
    SecretKey, SessionId, Statement, Time, Unverified, Verified, VerifyKey,
};
use std::sync::Arc;

use crate::common::{Cluster, SCHEMES, broken, digest};

/// The neutral element: a signature by this key proves nothing.
const WEAK: [u8; 32] = {
    let mut identity = [0; 32];
    identity[0] = 1;
    identity
};

fn check_bundle(cluster: &Cluster, raw: Bytes) -> Result<(), Rejection> {
    cluster.check(Unverified::Bundle(raw.clone())).map(|checked| {
        assert!(matches!(checked, Checked::Bundle(bundle) if *bundle.raw() == raw));
    })
}

/// A proposal of view 0 with these bundles, honestly signed.
fn propose(cluster: &Cluster, bundles: Vec<Bundle>) -> Propose {
    let batch = Batch::new(bundles);
    let mut header = cluster.header(0, 1, cluster.membership.genesis_block());
    header.batch = batch.digest();
    Propose { header: cluster.signed(header), justify: Justify::None, batch: batch.raw().clone() }
}

/// What became of the batch of a proposal whose header is good, as a proposal and as a block.
fn check_batch(cluster: &Cluster, bundles: Vec<Bundle>) -> Result<(), Rejection> {
    let propose = propose(cluster, bundles);
    let fetched = cluster.check(Unverified::Block(propose.header, propose.batch.clone()));
    let Ok(Checked::Block(header, as_block)) = fetched else { panic!("a good header") };
    assert_eq!(*header, propose.header);
    let checked = cluster.check(Unverified::Proposal(Box::new(propose)));
    let Ok(Checked::Proposal(_, Justification::None, as_proposal)) = checked else { panic!("a good header") };
    assert_eq!(as_block, as_proposal);
    as_proposal.map(drop)
}

fn sign_as(cluster: &Cluster, key: &SecretKey, claimed: PublicKey) -> Bundle {
    let session = SessionId { client: claimed, birth: Time(1), nonce: 1 };
    let requests = [(RequestNumber(1), Bytes::from_static(b"add 5"))];
    Bundle::sign(&cluster.membership.cluster(), key, session, &requests)
}

/// The same bundle with other bytes in place of its signature.
fn with_signature(bundle: &Bundle, signature: &[u8; 64]) -> Bundle {
    let body = &bundle.raw()[..bundle.raw().len() - 64];
    Bundle::parse([body, signature].concat().into()).expect("its form is good")
}

#[test]
fn good_bundles_and_batches_are_verified() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let bundle = cluster.bundle(&[b"add 5", b""]);
        assert_eq!(check_bundle(&cluster, bundle.raw().clone()), Ok(()));
        assert_eq!(check_batch(&cluster, vec![]), Ok(()));
        assert_eq!(check_batch(&cluster, vec![bundle.clone(), cluster.bundle(&[b"add 2"])]), Ok(()));
        let verified = cluster.check(Unverified::Bundle(bundle.raw().clone()));
        let Ok(Checked::Bundle(verified)) = verified else { panic!("a good bundle") };
        let batch = Verified::of_bundles(vec![verified]);
        assert_eq!(*batch, Batch::new(vec![bundle]));
    }
}

#[test]
fn a_bad_bundle_spoils_its_batch_but_not_the_header() {
    for scheme in SCHEMES {
        let (cluster, other) = (Cluster::new(scheme, 4), Cluster::named("other", scheme, 4));
        let good = cluster.bundle(&[b"add 5"]);
        let bad = [
            with_signature(&good, &broken(good.signature()).0),
            with_signature(&good, &cluster.sign(0, &Statement::Bundle(good.id())).0),
            with_signature(
                &good,
                &Statement::Vote(cluster.vote(0, 1)).sign(&cluster.client(), &cluster.membership.cluster()).0,
            ),
            with_signature(&good, &cluster.bundle(&[b"add 6"]).signature().0),
            sign_as(&cluster, &cluster.keys[1], cluster.client().public()),
            other.bundle(&[b"add 5"]),
        ];
        for bundle in bad {
            assert_eq!(check_bundle(&cluster, bundle.raw().clone()), Err(Rejection::BadSignature));
            for place in 0..3 {
                let mut bundles = vec![good.clone(), cluster.bundle(&[b"add 2"])];
                bundles.insert(place, bundle.clone());
                assert_eq!(check_batch(&cluster, bundles), Err(Rejection::BadBatch));
            }
        }
    }
}

#[test]
fn a_client_with_a_weak_key_is_refused() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    // With the neutral element as key, S = 0 and R = the neutral element satisfy the equation for
    // every message.
    let mut forged = [0; 64];
    forged[..32].copy_from_slice(&WEAK);
    let bundle = with_signature(&sign_as(&cluster, &cluster.client(), PublicKey(WEAK)), &forged);
    assert_eq!(check_bundle(&cluster, bundle.raw().clone()), Err(Rejection::WeakKey));
    assert_eq!(check_batch(&cluster, vec![cluster.bundle(&[b"add 5"]), bundle]), Err(Rejection::BadBatch));
    // Of 32 bytes about every second is no point at all.
    let is_refused = |key: &PublicKey| VerifyKey::new(Scheme::Ed25519, key).is_err();
    let no_point = (2..=255).map(|byte| PublicKey([byte; 32])).find(is_refused);
    let bundle = sign_as(&cluster, &cluster.client(), no_point.expect("such bytes"));
    assert_eq!(check_bundle(&cluster, bundle.raw().clone()), Err(Rejection::WeakKey));
    assert_eq!(check_batch(&cluster, vec![bundle]), Err(Rejection::BadBatch));
}

#[test]
fn every_point_of_small_order_is_refused_as_a_key() {
    let points = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for point in points {
        let key = PublicKey(quorate_types::hex::decode(point).expect("hexadecimal"));
        let refused = VerifyKey::new(Scheme::Ed25519, &key).expect_err("small order");
        assert_eq!(refused, quorate_types::KeyError::Weak, "{point}");
        let mut genesis: Genesis = Cluster::new(Scheme::Ed25519, 4).genesis;
        genesis.replicas[3].key = key;
        assert!(genesis.membership().is_err());
    }
}

#[test]
fn a_large_command_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let limit = cluster.genesis.protocol.command_bytes_max as usize;
        let of = |length: usize| cluster.bundle(&[b"add 5", Vec::leak(vec![7; length])]);
        assert_eq!(check_bundle(&cluster, of(limit).raw().clone()), Ok(()));
        assert_eq!(check_batch(&cluster, vec![of(limit)]), Ok(()));
        assert_eq!(check_bundle(&cluster, of(limit + 1).raw().clone()), Err(Rejection::Oversized));
        assert_eq!(check_batch(&cluster, vec![of(limit + 1)]), Err(Rejection::BadBatch));
    }
}

/// Each command is small enough, but no batch could hold them together.
#[test]
fn a_bundle_larger_than_a_batch_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let limit = cluster.genesis.protocol.batch_bytes_max as usize;
        let of = |last: usize| {
            let full: &'static [u8] = Vec::leak(vec![7; 1024]);
            cluster.bundle(&[full, full, full, Vec::leak(vec![7; last])])
        };
        let last = 1024 - (of(1024).batch_bytes() - limit);
        assert_eq!(of(last).batch_bytes(), limit);
        assert_eq!(check_bundle(&cluster, of(last).raw().clone()), Ok(()));
        assert_eq!(check_batch(&cluster, vec![of(last)]), Ok(()));
        assert_eq!(check_bundle(&cluster, of(last + 1).raw().clone()), Err(Rejection::Oversized));
    }
}

#[test]
fn a_large_batch_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let bundle = cluster.bundle(&[&[7; 1000]]);
        let fitting = cluster.genesis.protocol.batch_bytes_max as usize / bundle.batch_bytes();
        assert_eq!(check_batch(&cluster, vec![bundle.clone(); fitting]), Ok(()));
        let propose = propose(&cluster, vec![bundle; fitting + 1]);
        let fetched = Unverified::Block(propose.header, propose.batch.clone());
        assert_eq!(cluster.check(fetched).err(), Some(Rejection::Oversized));
        let proposed = Unverified::Proposal(Box::new(propose));
        assert_eq!(cluster.check(proposed).err(), Some(Rejection::Oversized));
    }
}

#[test]
fn a_batch_that_the_header_does_not_name_is_refused() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let (one, two) = (cluster.bundle(&[b"one"]), cluster.bundle(&[b"two"]));
        let good = propose(&cluster, vec![one.clone(), two.clone()]);
        let resigned = with_signature(&one, &[9; 64]);
        let others = [
            vec![],
            vec![one.clone()],
            vec![two.clone(), one.clone()],
            vec![one, two.clone(), two.clone()],
            vec![resigned, two],
        ];
        for other in others {
            let batch = Batch::new(other).raw().clone();
            let fetched = Unverified::Block(good.header, batch.clone());
            assert_eq!(cluster.check(fetched).err(), Some(Rejection::WrongBatch));
            let proposed = Unverified::Proposal(Box::new(Propose { batch, ..good.clone() }));
            assert_eq!(cluster.check(proposed).err(), Some(Rejection::WrongBatch));
        }
        let cut = good.batch.slice(..good.batch.len() - 1);
        let fetched = Unverified::Block(good.header, cut);
        assert_eq!(cluster.check(fetched).err(), Some(Rejection::Truncated));
    }
}

#[test]
fn a_proposal_is_refused_for_its_header_or_its_justification() {
    for scheme in SCHEMES {
        let cluster = Cluster::new(scheme, 4);
        let good = propose(&cluster, vec![cluster.bundle(&[b"one"])]);
        let check = |propose: Propose| match cluster.check(Unverified::Proposal(Box::new(propose))) {
            Ok(Checked::Proposal(_, justification, batch)) => Ok((justification, batch.is_ok())),
            Ok(_) => panic!("a proposal is checked as one"),
            Err(refused) => Err(refused),
        };
        let bad_header = SignedHeader { signature: broken(good.header.signature), ..good.header };
        let refused = check(Propose { header: bad_header, ..good.clone() });
        assert_eq!(refused.err(), Some(Rejection::BadSignature));
        let fetched = cluster.check(Unverified::Block(bad_header, good.batch.clone()));
        assert_eq!(fetched.err(), Some(Rejection::BadSignature));

        let qc = cluster.qc(cluster.vote(0, 1));
        let with_qc = Justify::Quorum(Arc::new(qc.clone()));
        let accepted = check(Propose { justify: with_qc, ..good.clone() });
        assert!(matches!(accepted, Ok((Justification::Quorum(found), true)) if **found == qc));
        let mut forged = qc;
        forged.vote.digest = digest(9);
        let with_qc = Justify::Quorum(Arc::new(forged));
        let refused = check(Propose { justify: with_qc, ..good.clone() });
        assert_eq!(refused.err(), Some(Rejection::BadSignature));

        let with_tc = Justify::ViewChange(Arc::new(cluster.tc(1)));
        let accepted = check(Propose { justify: with_tc, ..good.clone() });
        assert!(matches!(accepted, Ok((Justification::ViewChange(_), true))));
        let with_tc = Justify::ViewChange(Arc::default());
        let refused = check(Propose { justify: with_tc, ..good });
        assert_eq!(refused.err(), Some(Rejection::BadCertificate));
    }
}

/// One byte of a command changes the bundle's digest and so the block's.
#[test]
fn the_digest_of_a_batch_covers_every_byte() {
    let cluster = Cluster::new(Scheme::Simulated, 4);
    let raw = Batch::new(vec![cluster.bundle(&[b"one"]), cluster.bundle(&[b"two"])]).raw().clone();
    let digest = Batch::parse(raw.clone()).expect("a good batch").digest();
    for place in 0..raw.len() {
        let mut changed = raw.to_vec();
        changed[place] ^= 1;
        let other = Batch::parse(changed.into()).map(|batch| batch.digest());
        assert_ne!(other, Ok::<Digest, Rejection>(digest));
    }
}
