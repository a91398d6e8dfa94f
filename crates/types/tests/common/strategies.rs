//! Arbitrary messages of valid shape. Their signatures are random bytes: here only form counts.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_types::certificate::{
    CheckpointCertificate, QuorumCertificate, Signatures, SignedHeader, ViewChange, ViewChangeCertificate,
};
use quorate_types::limited::Limited;
use quorate_types::message::{
    CheckpointVote, ClientMessage, Commit, Data, Echo, Fetch, Justify, Message, Outcome, Propose,
    ReplicaMessage, Reply, Seen, Status, ViewProof, Vote, Wish,
};
use quorate_types::state::Content;
use quorate_types::{
    CheckpointStatement, ChunkId, Digest, Epoch, Evidence, Header, Height, Rejection, ReplicaId,
    RequestNumber, Signature, StateHead, Statement, Time, View, VoteStatement,
};
use std::sync::Arc;

/// Numbers of every encoded length, the greatest included.
fn number() -> impl Strategy<Value = u64> + Clone {
    (any::<u64>(), 0..=64_u32).prop_map(|(value, shift)| value.checked_shr(shift).unwrap_or(u64::MAX))
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn signature() -> impl Strategy<Value = Signature> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(r, s)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        Signature(bytes)
    })
}

fn replica() -> impl Strategy<Value = ReplicaId> {
    any::<u16>().prop_map(ReplicaId)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    number().prop_map(Epoch)
}

fn view() -> impl Strategy<Value = View> {
    number().prop_map(View)
}

fn height() -> impl Strategy<Value = Height> {
    number().prop_map(Height)
}

fn time() -> impl Strategy<Value = Time> {
    number().prop_map(Time)
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

/// A list of at most a few elements, so that cases stay small; limits have tests of their own.
fn few<T: std::fmt::Debug, const MAX: usize>(
    item: impl Strategy<Value = T>,
) -> impl Strategy<Value = Limited<T, MAX>> {
    vec(item, 0..4).prop_map(Limited::take)
}

fn header() -> impl Strategy<Value = SignedHeader> {
    let place = (digest(), epoch(), view(), height());
    (place, digest(), digest(), time(), signature()).prop_map(|(place, parent, batch, time, signature)| {
        let (cluster, epoch, view, height) = place;
        SignedHeader { header: Header { cluster, epoch, view, height, parent, batch, time }, signature }
    })
}

fn vote() -> impl Strategy<Value = VoteStatement> {
    (epoch(), view(), height(), digest()).prop_map(|(epoch, view, height, digest)| VoteStatement {
        epoch,
        view,
        height,
        digest,
    })
}

fn checkpoint() -> impl Strategy<Value = CheckpointStatement> {
    (epoch(), height(), digest(), digest()).prop_map(|(epoch, height, block, state_root)| {
        CheckpointStatement { epoch, height, block, state_root }
    })
}

fn signatures() -> impl Strategy<Value = Signatures> {
    few((replica(), signature()))
}

fn qc() -> impl Strategy<Value = QuorumCertificate> {
    (vote(), signatures()).prop_map(|(vote, signatures)| QuorumCertificate { vote, signatures })
}

fn view_change() -> impl Strategy<Value = ViewChange> {
    (epoch(), view(), replica(), qc(), few(header()), signature()).prop_map(
        |(epoch, new_view, replica, high_qc, claim, signature)| ViewChange {
            epoch,
            new_view,
            replica,
            high_qc,
            claim,
            signature,
        },
    )
}

fn tc() -> impl Strategy<Value = ViewChangeCertificate> {
    few(view_change()).prop_map(|view_changes| ViewChangeCertificate { view_changes })
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        header().prop_map(|signed| Statement::Block(signed.header)),
        vote().prop_map(Statement::Vote),
        (epoch(), view(), digest()).prop_map(|(epoch, view, content)| Statement::ViewChange {
            epoch,
            view,
            content
        }),
        checkpoint().prop_map(Statement::Checkpoint),
        (epoch(), view()).prop_map(|(epoch, view)| Statement::Wish { epoch, view }),
        digest().prop_map(Statement::Bundle),
    ]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (replica(), (statement(), signature()), (statement(), signature()))
        .prop_map(|(replica, first, second)| Evidence { replica, first, second })
}

fn seen() -> impl Strategy<Value = Option<Seen>> {
    let vote = proptest::option::of((vote(), signature()));
    let view_change = proptest::option::of((view(), digest(), signature()));
    proptest::option::of((vote, view_change).prop_map(|(vote, view_change)| Seen { vote, view_change }))
}

fn chunk() -> impl Strategy<Value = ChunkId> {
    (digest(), any::<u32>()).prop_map(|(digest, bytes)| ChunkId { digest, bytes })
}

fn content() -> impl Strategy<Value = Content> {
    (number(), number(), few(chunk())).prop_map(|(bytes, chunks, pages)| Content { bytes, chunks, pages })
}

fn state_head() -> impl Strategy<Value = StateHead> {
    (digest(), height(), digest(), content(), content()).prop_map(
        |(configuration, height, result_root, sessions, application)| StateHead {
            configuration,
            height,
            result_root,
            sessions,
            application,
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    let places = (epoch(), view(), view(), (height(), digest()), height(), (view(), height()));
    let echo = (number(), time(), number()).prop_map(|(start, clock, held)| Echo { start, clock, held });
    let rest = (height(), any::<bool>(), number(), time(), proptest::option::of(echo), seen());
    (places, rest).prop_map(
        |(
            (epoch, view, asked, committed, stable, last_vote),
            (base, is_recovering, start, clock, echo, seen),
        )| {
            Status {
                epoch,
                view,
                asked,
                committed,
                stable,
                last_vote,
                is_recovering,
                start,
                clock,
                echo,
                base,
                seen,
            }
        },
    )
}

fn propose() -> impl Strategy<Value = Propose> {
    let justify = prop_oneof![
        Just(Justify::None),
        tc().prop_map(|tc| Justify::ViewChange(Arc::new(tc))),
        qc().prop_map(|qc| Justify::Quorum(Arc::new(qc))),
    ];
    (header(), justify, payload()).prop_map(|(header, justify, batch)| Propose { header, justify, batch })
}

fn fetch() -> impl Strategy<Value = Fetch> {
    prop_oneof![
        (height(), digest()).prop_map(|(height, digest)| Fetch::Header(height, digest)),
        few((height(), digest())).prop_map(Fetch::Blocks),
        height().prop_map(Fetch::Chain),
        view().prop_map(Fetch::View),
        Just(Fetch::Status),
        height().prop_map(Fetch::State),
        few(digest()).prop_map(Fetch::Chunks),
    ]
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        header().prop_map(Data::Header),
        (header(), payload()).prop_map(|(header, batch)| Data::Block { header, batch }),
        few(header()).prop_map(Data::Chain),
        qc().prop_map(|qc| Data::View(ViewProof::Quorum(Arc::new(qc)))),
        tc().prop_map(|tc| Data::View(ViewProof::ViewChange(Arc::new(tc)))),
        (checkpoint(), signatures()).prop_map(|(checkpoint, signatures)| Data::Checkpoint(Arc::new(
            CheckpointCertificate { checkpoint, signatures }
        ))),
        (header(), state_head()).prop_map(|(header, head)| Data::State { header, head: Arc::new(head) }),
        payload().prop_map(Data::Chunk),
        few(digest()).prop_map(Data::Absent),
    ]
}

/// Any message between replicas.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let votes = prop_oneof![
        (vote(), signature(), height(), digest()).prop_map(|(vote, signature, executed, result_root)| {
            Message::Vote(Vote { vote, signature, executed, result_root })
        }),
        vote().prop_map(|vote| Message::Commit(Commit { vote })),
        (checkpoint(), replica(), signature()).prop_map(|(checkpoint, replica, signature)| {
            Message::CheckpointVote(CheckpointVote { checkpoint, replica, signature })
        }),
        (epoch(), view(), replica(), signature()).prop_map(|(epoch, view, replica, signature)| {
            Message::Wish(Wish { epoch, view, replica, signature })
        }),
    ];
    prop_oneof![
        propose().prop_map(Message::Propose),
        votes,
        view_change().prop_map(|view_change| Message::ViewChange(Arc::new(view_change))),
        status().prop_map(Message::Status),
        evidence().prop_map(|evidence| Message::Evidence(Arc::new(evidence))),
        fetch().prop_map(Message::Fetch),
        data().prop_map(Message::Data),
        payload().prop_map(Message::Request),
    ]
}

/// Any message of a client.
pub(crate) fn client_message() -> impl Strategy<Value = ClientMessage> {
    prop_oneof![payload().prop_map(ClientMessage::Request), Just(ClientMessage::Hello)]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(Outcome::Executed),
        Just(Outcome::Malformed),
        Just(Outcome::ReplyTooLarge),
        Just(Outcome::SessionExpired),
        Just(Outcome::SessionsFull),
        Just(Outcome::Forgotten),
        Just(Outcome::Panicked),
    ]
}

/// Any message to a client.
pub(crate) fn replica_message() -> impl Strategy<Value = ReplicaMessage> {
    let results = few((number().prop_map(RequestNumber), height(), outcome()));
    prop_oneof![
        (epoch(), time(), view()).prop_map(|(epoch, clock, view)| ReplicaMessage::Welcome {
            epoch,
            clock,
            view
        }),
        (time(), number(), view(), results)
            .prop_map(|(birth, nonce, view, results)| Reply { birth, nonce, view, results })
            .prop_map(ReplicaMessage::Reply),
        (digest(), proptest::sample::select(Rejection::ALL))
            .prop_map(|(bundle, why)| ReplicaMessage::Refused { bundle, why }),
    ]
}
