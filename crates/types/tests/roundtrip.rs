//! Has every value one encoding, and is everything else refused by name?

mod common;

use bytes::Bytes;
use common::{Cluster, digest, samples, strategies};
use proptest::prelude::*;
use quorate_types::certificate::CLAIM_MAX;
use quorate_types::limited::Limited;
use quorate_types::message::{
    CHAIN_MAX, ClientMessage, Data, FETCH_BLOCKS_MAX, Fetch, Message, Outcome, REPLY_BYTES_MAX,
    REPLY_RESULTS_MAX, ReplicaMessage, Reply, Status,
};
use quorate_types::quorum::REPLICAS_MAX;
use quorate_types::wire::{HEAD_BYTES_MAX, canonical, from_canonical};
use quorate_types::{
    BUNDLE_OVERHEAD_MAX, BUNDLE_REQUESTS_MAX, Batch, Bundle, Frame, Height, PublicKey, Rejection,
    RequestNumber, Scheme, SessionId, Time, View,
};
use serde::Deserialize as _;

proptest! {
    #[test]
    fn messages_round_trip(message in strategies::message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn client_messages_round_trip(message in strategies::client_message()) {
        prop_assert_eq!(ClientMessage::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn replica_messages_round_trip(message in strategies::replica_message()) {
        prop_assert_eq!(ReplicaMessage::decode(&message.encode()), Ok(message));
    }

    /// No byte of a message can be replaced by a longer form of itself.
    #[test]
    fn no_value_has_a_second_encoding(message in strategies::message(), place in any::<prop::sample::Index>()) {
        let frame = message.encode();
        let head = stretched(&frame.head, place.index(frame.head.len()));
        let decoded = Message::decode(&Frame { head, payload: frame.payload });
        prop_assert_ne!(decoded, Ok(message));
    }

    #[test]
    fn an_overlong_number_is_not_canonical(number in any::<u64>(), shift in 0_u32..64) {
        let head = Message::Fetch(Fetch::Chain(Height(number >> shift))).encode().head;
        let stretched = stretched(&head, head.len() - 1);
        prop_assert_eq!(decode_head(&stretched), Err(Rejection::NotCanonical));
    }

    #[test]
    fn a_changed_byte_gives_another_message_or_none(
        message in strategies::message(),
        place in any::<prop::sample::Index>(),
        other in any::<u8>(),
    ) {
        let frame = message.encode();
        let mut head = frame.head.to_vec();
        let place = place.index(head.len());
        prop_assume!(head[place] != other);
        head[place] = other;
        let decoded = Message::decode(&Frame { head: head.into(), payload: frame.payload });
        prop_assert_ne!(decoded, Ok(message));
    }
}

/// Every sample of every kind between replicas and with clients, as its frame and its decoder.
type Decoder = fn(&Frame) -> Result<(), Rejection>;

fn every_frame() -> Vec<(Frame, Decoder)> {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let message: Decoder = |frame| Message::decode(frame).map(drop);
    let client: Decoder = |frame| ClientMessage::decode(frame).map(drop);
    let replica: Decoder = |frame| ReplicaMessage::decode(frame).map(drop);
    let messages = samples::messages(&cluster).into_iter().map(|value| (value.encode(), message));
    let clients = samples::client_messages(&cluster).into_iter().map(|(_, value)| (value.encode(), client));
    let replicas = samples::replica_messages().into_iter().map(|(_, value)| (value.encode(), replica));
    messages.chain(clients).chain(replicas).collect()
}

#[test]
fn every_truncation_is_refused() {
    for (frame, decode) in every_frame() {
        assert_eq!(decode(&frame), Ok(()));
        for end in 0..frame.head.len() {
            let cut = Frame { head: frame.head.slice(..end), payload: frame.payload.clone() };
            assert_eq!(decode(&cut), Err(Rejection::Truncated), "cut after {end} bytes");
        }
    }
}

#[test]
fn any_trailing_byte_is_refused() {
    for (frame, decode) in every_frame() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let head = [&frame.head[..], &[byte]].concat();
            let longer = Frame { head: head.into(), payload: frame.payload.clone() };
            assert_eq!(decode(&longer), Err(Rejection::TrailingBytes));
        }
    }
}

#[test]
fn unknown_kinds_are_refused() {
    let kinds: [(usize, Decoder); 3] = [
        (Message::KINDS.len(), |frame| Message::decode(frame).map(drop)),
        (2, |frame| ClientMessage::decode(frame).map(drop)),
        (3, |frame| ReplicaMessage::decode(frame).map(drop)),
    ];
    for (known, decode) in kinds {
        for tag in 0..=255_u8 {
            let head = Bytes::from([&[tag][..], &[0; 512]].concat());
            let is_unknown = decode(&Frame { head, ..Frame::default() }) == Err(Rejection::UnknownKind);
            assert_eq!(is_unknown, usize::from(tag) >= known, "tag {tag}");
        }
        assert_eq!(decode(&Frame::default()), Err(Rejection::Truncated));
    }
}

#[test]
fn a_payload_is_refused_where_none_belongs() {
    for (mut frame, decode) in every_frame() {
        if frame.payload.is_empty() {
            frame.payload = samples::STRAY;
            let has_payload = decode(&frame).is_ok();
            assert!(!has_payload);
            assert_eq!(decode(&frame), Err(Rejection::UnexpectedPayload));
        }
    }
}

#[test]
fn flags_and_options_have_two_encodings() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let status = samples::messages(&cluster).into_iter().find(|m| samples::name(m) == "status/no-echo");
    let Some(Message::Status(calm)) = status else { panic!("a status") };
    let recovering = Message::Status(Status { is_recovering: true, ..calm }).encode().head;
    let head = Message::Status(calm).encode().head;
    let flag = head.iter().zip(&recovering).position(|(a, b)| a != b).expect("the flag is encoded");
    for place in [flag, head.len() - 1] {
        let mut changed = head.to_vec();
        changed[place] = 2;
        assert_eq!(decode_head(&changed), Err(Rejection::Malformed));
    }
}

// Lists.

#[test]
fn a_list_over_its_limit_is_refused() {
    fn check<T: serde::Serialize + serde::de::DeserializeOwned + Clone, const MAX: usize>(item: T) {
        let full = canonical(&vec![item.clone(); MAX]);
        assert!(from_canonical::<Limited<T, MAX>>(&full).is_ok());
        let over = canonical(&vec![item; MAX + 1]);
        assert_eq!(from_canonical::<Limited<T, MAX>>(&over).err(), Some(Rejection::Malformed));
    }
    let cluster = Cluster::new(Scheme::Simulated, 4);
    let header = cluster.signed(cluster.header(0, 1, digest(1)));
    check::<_, CLAIM_MAX>(header);
    check::<_, CHAIN_MAX>(header);
    check::<_, FETCH_BLOCKS_MAX>((Height(1), digest(1)));
    check::<_, REPLICAS_MAX>(1_u16);
    check::<_, REPLICAS_MAX>(cluster.view_change(0, 1, cluster.genesis_qc(), vec![header]));
    check::<_, REPLY_RESULTS_MAX>((RequestNumber(1), Height(1), Outcome::Malformed));
    check::<_, BUNDLE_REQUESTS_MAX>((RequestNumber(1), String::new()));
    assert!(Limited::<u8, 2>::new(vec![1, 2, 3]).is_none());
    assert_eq!(Limited::<u8, 2>::take([1, 2, 3]).into_vec(), [1, 2]);
}

/// A list that announces too much is refused before its first element is read; one that announces
/// nothing, as in JSON, when the first element too many comes.
#[test]
fn a_list_over_its_limit_is_refused_by_its_announcement_or_by_counting() {
    let unread = (0..3_u8).inspect(|_| panic!("an element was read"));
    let announced = serde::de::value::SeqDeserializer::<_, serde::de::value::Error>::new(unread);
    assert!(Limited::<u8, 2>::deserialize(announced).is_err());
    assert!(serde_json::from_str::<Limited<u8, 2>>("[1, 2]").is_ok());
    assert!(serde_json::from_str::<Limited<u8, 2>>("[1, 2, 3]").is_err());
}

#[test]
fn messages_hold_their_lists_to_their_limits() {
    // Tag, then the tag within, then the list: one over its limit, with all elements there.
    let element = [0; 256];
    let cases: [(&[u8], usize); 2] = [(&[8, 1], FETCH_BLOCKS_MAX), (&[9, 2], CHAIN_MAX)];
    for (tags, max) in cases {
        let head = [tags, &canonical(&(max + 1)), &element.repeat(max + 1)].concat();
        assert_eq!(decode_head(&head), Err(Rejection::Malformed));
    }
    let results = [&[1, 0, 0, 0][..], &canonical(&(REPLY_RESULTS_MAX + 1)), &[0; 1 << 16]].concat();
    let frame = Frame { head: results.into(), ..Frame::default() };
    assert_eq!(ReplicaMessage::decode(&frame), Err(Rejection::Malformed));
}

/// Allocating for these announced lengths would abort the test, whatever the machine's memory.
#[test]
fn an_announced_length_allocates_nothing() {
    for length in [1_usize << 60, usize::MAX / 64, usize::MAX] {
        let bomb = canonical(&length);
        let zeros = [0; 64];
        let fetch_blocks = [&[8, 1][..], &bomb, &zeros].concat();
        let chain = [&[9, 2][..], &bomb, &zeros].concat();
        let tc = [&[9, 3, 1][..], &bomb, &zeros].concat();
        for head in [fetch_blocks, chain, tc] {
            let refused = decode_head(&head).expect_err("a bomb");
            assert!([Rejection::Truncated, Rejection::Malformed].contains(&refused));
        }
        let results = [&[1, 0, 0, 0][..], &bomb, &zeros].concat();
        let reply = [&[1, 0, 0, 0, 1, 0, 0, 0][..], &bomb, &zeros].concat();
        for head in [results, reply] {
            assert!(ReplicaMessage::decode(&Frame { head: head.into(), ..Frame::default() }).is_err());
        }
        let body = [&[0; 32][..], &[0, 0], &bomb, &[0; 128]].concat();
        assert!(Bundle::parse(body.into()).is_err());
        let command = [&[0; 32][..], &[0, 0, 1, 0], &bomb, &[0; 128]].concat();
        assert!(Bundle::parse(command.into()).is_err());
    }
    assert_eq!(Batch::parse(Bytes::from_static(&[0xff; 4])), Err(Rejection::Truncated));
}

#[test]
fn a_reply_is_held_to_its_limit() {
    let of = |length: usize| {
        let results = Limited::take([(RequestNumber(1), Height(1), Outcome::Executed(vec![7; length]))]);
        let reply = Reply { birth: Time(0), nonce: 0, view: View(0), results };
        let message = ReplicaMessage::Reply(reply);
        (ReplicaMessage::decode(&message.encode()), message)
    };
    let (decoded, message) = of(REPLY_BYTES_MAX);
    assert!(decoded == Ok(message));
    assert!(of(REPLY_BYTES_MAX + 1).0 == Err(Rejection::Malformed));
}

/// The largest honest messages fit into a frame.
#[test]
fn the_largest_certificates_fit_into_a_frame() {
    let cluster = Cluster::new(Scheme::Simulated, u16::try_from(REPLICAS_MAX).unwrap());
    let qc = cluster.qc(cluster.vote(u64::MAX - 1, 1));
    let claim = cluster.chain(&qc.vote, u64::MAX - 1, CLAIM_MAX as u64);
    let of = |replica| cluster.view_change(replica, u64::MAX, qc.clone(), claim.clone());
    let tc = common::certificate(cluster.first_quorum().into_iter().map(of).collect());
    assert!(canonical(&tc).len() < HEAD_BYTES_MAX / 2);
    let chain = Message::Data(Data::Chain(Limited::take(claim)));
    assert!(chain.encode().head.len() < HEAD_BYTES_MAX);
}

// Bundles and batches.

#[test]
fn bundles_and_batches_round_trip() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let bundles = vec![cluster.bundle(&[b"one", b"", b"three"]), cluster.bundle(&[b"four"])];
    for bundle in &bundles {
        assert_eq!(Bundle::parse(bundle.raw().clone()).as_ref(), Ok(bundle));
    }
    let batch = Batch::new(bundles);
    assert_eq!(Batch::parse(batch.raw().clone()), Ok(batch));
    assert_eq!(Batch::parse(Bytes::new()), Ok(Batch::default()));
}

#[test]
fn a_cut_or_longer_bundle_is_refused() {
    let raw = Cluster::new(Scheme::Ed25519, 4).bundle(&[b"one", b"two"]).raw().clone();
    for end in 0..raw.len() {
        assert_eq!(Bundle::parse(raw.slice(..end)), Err(Rejection::Truncated));
    }
    let longer = [&raw[..], &[0]].concat();
    assert_eq!(Bundle::parse(longer.into()), Err(Rejection::TrailingBytes));
    let empty = [&[0; 32][..], &[0, 0, 0], &[0; 64]].concat();
    assert_eq!(Bundle::parse(empty.into()), Err(Rejection::Malformed));
    let overlong = [&[0; 32][..], &[0x80, 0, 0, 1, 0, 0], &[0; 64]].concat();
    assert_eq!(Bundle::parse(overlong.into()), Err(Rejection::NotCanonical));
    let many = [&[0; 32][..], &[0, 0, 65], &[0; 2 * 65], &[0; 64]].concat();
    assert_eq!(Bundle::parse(many.into()), Err(Rejection::Malformed));
}

/// Between two bundles a batch may be cut without harm to its form: its digest tells.
#[test]
fn a_cut_batch_is_refused_or_another_batch() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let batch = Batch::new(vec![cluster.bundle(&[b"one"]), cluster.bundle(&[b"two"])]);
    let mut whole = 0;
    for end in 0..batch.raw().len() {
        match Batch::parse(batch.raw().slice(..end)) {
            Ok(shorter) => {
                assert_ne!(shorter.digest(), batch.digest());
                whole += 1;
            }
            Err(refused) => assert_eq!(refused, Rejection::Truncated),
        }
    }
    assert_eq!(whole, 2, "the empty batch and the first bundle alone");
}

#[test]
fn the_bundle_overhead_is_what_it_says() {
    let cluster = Cluster::new(Scheme::Simulated, 4);
    let session = SessionId { client: PublicKey([0xff; 32]), birth: Time(u64::MAX), nonce: u64::MAX };
    let command = Bytes::from(vec![1; 4096]);
    let requests = vec![(RequestNumber(u64::MAX), command); BUNDLE_REQUESTS_MAX];
    let bundle = Bundle::sign(&cluster.membership.cluster(), &cluster.client(), session, &requests);
    assert!(bundle.batch_bytes() - 4096 * BUNDLE_REQUESTS_MAX <= BUNDLE_OVERHEAD_MAX);
}

fn decode_head(head: &[u8]) -> Result<Message, Rejection> {
    Message::decode(&Frame { head: Bytes::copy_from_slice(head), payload: Bytes::new() })
}

/// The same bytes, but the one at `place` says that it goes on, and a zero follows.
fn stretched(bytes: &[u8], place: usize) -> Bytes {
    let mut longer = bytes.to_vec();
    longer[place] |= 0x80;
    longer.insert(place + 1, 0);
    longer.into()
}
