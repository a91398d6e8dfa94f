//! Do any bytes make a decoder of `quorate-types` panic, or have a value that is encoded otherwise?
//!
//! What decodes is also given to the verifier, which must refuse or accept it without a panic.
//! The file is part of the fuzz targets and of the property tests of `quorate-types`.

use bytes::Bytes;
use quorate_types::message::{ClientMessage, Data, Message, ReplicaMessage};
use quorate_types::{Batch, Bundle, Frame, Genesis, Member, Scheme, SecretKey, Unverified, Verifier};
use std::sync::{Arc, OnceLock};

/// A message between replicas.
pub fn message(data: &[u8]) {
    let frame = frame(data);
    if let Ok(message) = Message::decode(&frame) {
        assert_eq!(message.encode(), frame, "one message has one encoding");
        assert!(message.kind() < Message::KINDS.len());
        if let Some(unverified) = unverified(message) {
            drop(verifier().check(unverified));
        }
    }
}

/// A message of a client.
pub fn client_message(data: &[u8]) {
    let frame = frame(data);
    if let Ok(message) = ClientMessage::decode(&frame) {
        assert_eq!(message.encode(), frame, "one message has one encoding");
    }
}

/// A message to a client.
pub fn replica_message(data: &[u8]) {
    let frame = frame(data);
    if let Ok(message) = ReplicaMessage::decode(&frame) {
        assert_eq!(message.encode(), frame, "one message has one encoding");
    }
}

/// A client's bundle of requests.
pub fn bundle(data: &[u8]) {
    let raw = Bytes::copy_from_slice(data);
    if let Ok(bundle) = Bundle::parse(raw.clone()) {
        assert_eq!(*bundle.raw(), raw);
        assert!(!bundle.requests().is_empty());
        assert_eq!(
            Batch::parse(Batch::new(vec![bundle.clone()]).raw().clone()).as_ref().map(Batch::bundles),
            Ok(&[bundle][..])
        );
    }
    drop(verifier().check(Unverified::Bundle(raw)));
}

/// The batch of a block.
pub fn batch(data: &[u8]) {
    let raw = Bytes::copy_from_slice(data);
    if let Ok(batch) = Batch::parse(raw.clone()) {
        assert_eq!(Batch::new(batch.bundles().to_vec()).raw(), &raw, "one batch has one encoding");
        assert_eq!(batch.is_empty(), raw.is_empty());
    }
}

/// A genesis file.
pub fn genesis(data: &[u8]) {
    if let Ok(genesis) = serde_json::from_slice::<Genesis>(data) {
        let json = serde_json::to_vec(&genesis).expect("a genesis is JSON");
        let again: Genesis = serde_json::from_slice(&json).expect("what was written can be read");
        assert_eq!(again.cluster_id(), genesis.cluster_id());
        if let Ok(membership) = genesis.membership() {
            assert_eq!(membership.replicas().count(), genesis.replicas.len());
        }
    }
}

/// Head and payload from one string of bytes: the first two tell how long the payload is.
pub fn frame(data: &[u8]) -> Frame {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return Frame::default() };
    let payload = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (head, payload) = rest.split_at(rest.len() - payload);
    Frame { head: Bytes::copy_from_slice(head), payload: Bytes::copy_from_slice(payload) }
}

/// What of a message is signed.
fn unverified(message: Message) -> Option<Unverified> {
    match message {
        Message::Propose(propose) => Some(Unverified::Proposal(Box::new(propose))),
        Message::Vote(vote) => {
            Some(Unverified::Votes(vote.vote, verifier_members().map(|id| (id, vote.signature)).collect()))
        }
        Message::ViewChange(view_change) => Some(Unverified::ViewChange(view_change)),
        Message::CheckpointVote(vote) => Some(Unverified::CheckpointVote(vote)),
        Message::Wish(wish) => Some(Unverified::Wish(wish)),
        Message::Evidence(evidence) => {
            assert!(!evidence.to_string().is_empty());
            Some(Unverified::Evidence(evidence))
        }
        Message::Data(Data::Header(header)) => Some(Unverified::Headers(vec![header])),
        Message::Data(Data::Block { header, batch }) => Some(Unverified::Block(header, batch)),
        Message::Data(Data::Chain(headers)) => Some(Unverified::Headers(headers.into_vec())),
        Message::Data(Data::View(proof)) => Some(Unverified::View(proof)),
        Message::Data(Data::Checkpoint(certificate)) => Some(Unverified::Checkpoint(certificate)),
        Message::Request(bundle) => Some(Unverified::Bundle(bundle)),
        Message::Data(Data::State { header, head }) => Some(Unverified::State(header, head)),
        Message::Data(Data::Chunk(bytes)) => Some(Unverified::Chunk(bytes)),
        Message::Commit(_) | Message::Status(_) | Message::Fetch(_) | Message::Data(Data::Absent(_)) => None,
    }
}

fn verifier_members() -> impl Iterator<Item = quorate_types::ReplicaId> {
    (0..5).map(quorate_types::ReplicaId)
}

/// For four replicas with fixed keys.
fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let member =
            |id: u8| Member { key: SecretKey::from_seed([id; 32]).public(), organisation: "acme".to_owned() };
        let genesis = Genesis {
            name: "fuzz".to_owned(),
            test: true,
            scheme: Scheme::Ed25519,
            replicas: (0..4).map(member).collect(),
            protocol: quorate_types::ProtocolParameters::default(),
            app_version: 1,
            start: None,
        };
        let membership = genesis.membership().expect("a genesis in order");
        Verifier::new(Arc::new(membership), genesis.protocol)
    })
}
