//! What replicas say to each other, and what they and clients say to each other.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::certificate::{
    CheckpointCertificate, QuorumCertificate, SignedHeader, ViewChange, ViewChangeCertificate,
};
use crate::limited::Limited;
use crate::statement::{CheckpointStatement, VoteStatement};
use crate::wire::{Frame, from_canonical};
use crate::{
    Digest, Epoch, Evidence, Height, Rejection, ReplicaId, RequestNumber, Signature, StateHead, Time, View,
};

/// Most headers in one answer to [`Fetch::Chain`].
pub const CHAIN_MAX: usize = 64;
/// Most blocks asked for in one [`Fetch::Blocks`].
pub const FETCH_BLOCKS_MAX: usize = 16;
/// Most chunks asked for in one [`Fetch::Chunks`].
pub const FETCH_CHUNKS_MAX: usize = 64;
/// Most results in one [`Reply`].
pub const REPLY_RESULTS_MAX: usize = 4096;
/// Most bytes of one request's reply.
pub const REPLY_BYTES_MAX: usize = 1 << 20;

/// What a block's first proposal proves about its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Justify {
    /// Nothing: the block extends a certificate that the voter has.
    None,
    /// On the first block of a view: why it extends this parent.
    ViewChange(Arc<ViewChangeCertificate>),
    /// A certificate of this view, on its second block and from time to time after.
    Quorum(Arc<QuorumCertificate>),
}

/// The primary proposes a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propose {
    /// The signed header.
    pub header: SignedHeader,
    /// Its justification.
    pub justify: Justify,
    /// The raw batch; travels as the frame's payload.
    #[serde(skip)]
    pub batch: Bytes,
}

/// A replica votes for a block and for all its ancestors in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// What it voted for.
    pub vote: VoteStatement,
    /// The voter's signature on `vote`.
    pub signature: Signature,
    /// How far the voter executed. Not signed.
    pub executed: Height,
    /// The result root of that block, so that divergence is seen early. Not signed.
    pub result_root: Digest,
}

/// A replica holds a quorum certificate for the block. Not signed: only the channel counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The block that is certified.
    pub vote: VoteStatement,
}

/// A replica vouches for the state after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointVote {
    /// What it vouches for.
    pub checkpoint: CheckpointStatement,
    /// Who.
    pub replica: ReplicaId,
    /// Its signature.
    pub signature: Signature,
}

/// Where a replica stands. Sent from time to time and on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The epoch.
    pub epoch: Epoch,
    /// The view it entered.
    pub view: View,
    /// The highest view it asked for.
    pub asked: View,
    /// The highest committed block.
    pub committed: (Height, Digest),
    /// The stable checkpoint's height.
    pub stable: Height,
    /// The height above which it can serve the blocks that it committed.
    pub base: Height,
    /// View and height of the last vote.
    pub last_vote: (View, Height),
    /// Whether it lost its disk and waits for a certificate (rule D3).
    pub is_recovering: bool,
    /// Names the sender's start: a number that it drew anew when it started, to be echoed.
    pub start: u64,
    /// The sender's clock, to be echoed.
    pub clock: Time,
    /// What the receiver told last.
    pub echo: Option<Echo>,
    /// What the receiver signed last, as far as the sender saw, if the receiver's statuses say less (rule D3).
    pub seen: Option<Seen>,
}

/// What a replica heard last of the one that it speaks to: shows that it knows of that one's start, and measures
/// round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The start that was told.
    pub start: u64,
    /// The clock that was told.
    pub clock: Time,
    /// How long ago that came, in nanoseconds.
    pub held: u64,
}

/// The last statements of one replica that another one saw. They carry that replica's own signatures, so
/// nobody can make it believe that it forgot something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its last vote.
    pub vote: Option<(VoteStatement, Signature)>,
    /// The highest view that it asked for: the view, the digest of certificate and claim, the signature.
    pub view_change: Option<(View, Digest, Signature)>,
}

/// A replica that lost its disk wishes for a view change (rule D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The epoch.
    pub epoch: Epoch,
    /// The view it wishes for.
    pub view: View,
    /// Who wishes.
    pub replica: ReplicaId,
    /// Its signature.
    pub signature: Signature,
}

/// A replica asks another for something that it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fetch {
    /// The header of the block at this height with this digest.
    Header(Height, Digest),
    /// The blocks at these heights with these digests, each in a message of its own.
    Blocks(Limited<(Height, Digest), FETCH_BLOCKS_MAX>),
    /// The headers of committed blocks directly above this height (rule C5).
    Chain(Height),
    /// A proof that a view above this one was entered.
    View(View),
    /// A status, at once.
    Status,
    /// The head of the state after the block at this height (rule K3).
    State(Height),
    /// Chunks of states, pages among them, each in a message of its own.
    Chunks(Limited<Digest, FETCH_CHUNKS_MAX>),
}

/// Why a replica is in its view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewProof {
    /// A quorum voted in it.
    Quorum(Arc<QuorumCertificate>),
    /// A quorum asked for it.
    ViewChange(Arc<ViewChangeCertificate>),
}

impl ViewProof {
    /// The view that is proved.
    #[must_use]
    pub fn view(&self) -> View {
        match self {
            Self::Quorum(certificate) => certificate.vote.view,
            Self::ViewChange(certificate) => certificate.view(),
        }
    }
}

/// An answer to a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// One header.
    Header(SignedHeader),
    /// One block.
    Block {
        /// Its header.
        header: SignedHeader,
        /// Its raw batch; travels as the frame's payload.
        #[serde(skip)]
        batch: Bytes,
    },
    /// Headers that the sender committed, in rising order without gaps. Saying so is a statement
    /// about each of them (rule C5).
    Chain(Limited<SignedHeader, CHAIN_MAX>),
    /// A proof of the sender's view.
    View(ViewProof),
    /// The newest checkpoint certificate.
    Checkpoint(Arc<CheckpointCertificate>),
    /// The head of a state and the header of the block after which it is.
    State {
        /// The block's header.
        header: SignedHeader,
        /// The head.
        head: Arc<StateHead>,
    },
    /// One chunk; its bytes travel as the frame's payload.
    Chunk(#[serde(skip)] Bytes),
    /// Chunks that were asked for and that the sender does not have (any more).
    Absent(Limited<Digest, FETCH_CHUNKS_MAX>),
}

/// A message between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// See [`Propose`].
    Propose(Propose),
    /// See [`Vote`].
    Vote(Vote),
    /// See [`Commit`].
    Commit(Commit),
    /// See [`ViewChange`].
    ViewChange(Arc<ViewChange>),
    /// See [`CheckpointVote`].
    CheckpointVote(CheckpointVote),
    /// See [`Status`].
    Status(Status),
    /// See [`Wish`].
    Wish(Wish),
    /// See [`Evidence`].
    Evidence(Arc<Evidence>),
    /// See [`Fetch`].
    Fetch(Fetch),
    /// See [`Data`].
    Data(Data),
    /// A backup forwards a client's bundle to the primary (rule R2). Its raw bytes travel as the
    /// frame's payload.
    Request(#[serde(skip)] Bytes),
}

impl Message {
    /// The names of all kinds, in the order of their tags.
    pub const KINDS: [&'static str; 11] = [
        "propose",
        "vote",
        "commit",
        "view-change",
        "checkpoint-vote",
        "status",
        "wish",
        "evidence",
        "fetch",
        "data",
        "request",
    ];

    /// The kind's position in [`Self::KINDS`].
    #[must_use]
    pub const fn kind(&self) -> usize {
        match self {
            Self::Propose(_) => 0,
            Self::Vote(_) => 1,
            Self::Commit(_) => 2,
            Self::ViewChange(_) => 3,
            Self::CheckpointVote(_) => 4,
            Self::Status(_) => 5,
            Self::Wish(_) => 6,
            Self::Evidence(_) => 7,
            Self::Fetch(_) => 8,
            Self::Data(_) => 9,
            Self::Request(_) => 10,
        }
    }

    /// Whether it may wait behind smaller messages: bulk data travels on a stream of its own.
    #[must_use]
    pub const fn is_bulk(&self) -> bool {
        matches!(self, Self::Data(Data::Block { .. } | Data::Chain(_) | Data::State { .. } | Data::Chunk(_)))
    }

    /// The canonical frame.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let payload = match self {
            Self::Propose(propose) => propose.batch.clone(),
            Self::Data(Data::Block { batch, .. } | Data::Chunk(batch)) => batch.clone(),
            Self::Request(bundle) => bundle.clone(),
            _ => Bytes::new(),
        };
        Frame { head: crate::wire::canonical(self).into(), payload }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`Rejection::UnknownKind`], [`Rejection::UnexpectedPayload`] or a decoding error.
    pub fn decode(frame: &Frame) -> Result<Self, Rejection> {
        check_kind(&frame.head, Self::KINDS.len())?;
        let mut message: Self = from_canonical(&frame.head)?;
        let place = match &mut message {
            Self::Propose(propose) => Some(&mut propose.batch),
            Self::Data(Data::Block { batch, .. } | Data::Chunk(batch)) => Some(batch),
            Self::Request(bundle) => Some(bundle),
            _ => None,
        };
        put_payload(place, &frame.payload)?;
        Ok(message)
    }
}

/// A message from a client to a replica. The client's identity is its connection's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientMessage {
    /// Execute the requests of this bundle; its raw bytes travel as the frame's payload.
    Request(#[serde(skip)] Bytes),
    /// Tell the clock and the view again.
    Hello,
}

impl ClientMessage {
    const KINDS: usize = 2;

    /// The canonical frame.
    #[must_use]
    pub fn encode(&self) -> Frame {
        let payload = if let Self::Request(bundle) = self { bundle.clone() } else { Bytes::new() };
        Frame { head: crate::wire::canonical(self).into(), payload }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn decode(frame: &Frame) -> Result<Self, Rejection> {
        check_kind(&frame.head, Self::KINDS)?;
        let mut message: Self = from_canonical(&frame.head)?;
        let place = if let Self::Request(bundle) = &mut message { Some(bundle) } else { None };
        put_payload(place, &frame.payload)?;
        Ok(message)
    }
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was executed; the state machine's reply, at most [`REPLY_BYTES_MAX`] long.
    Executed(#[serde(with = "crate::limited::reply_bytes")] Vec<u8>),
    /// It was ordered and had no effect: the command has no meaning to the state machine.
    Malformed,
    /// It was executed, but the reply is larger than [`REPLY_BYTES_MAX`] and is withheld.
    ReplyTooLarge,
    /// It was ordered and had no effect: its session is unknown and may not be opened any more.
    SessionExpired,
    /// It was ordered and had no effect: no session could be opened.
    SessionsFull,
    /// Its number lies below the session's window: it ran or was skipped long ago.
    Forgotten,
    /// It was ordered and had no effect: the state machine panicked on it, on every replica alike.
    Panicked,
}

/// The results of one client's requests in one block, or of repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The birth of the session.
    pub birth: Time,
    /// The nonce of the session.
    pub nonce: u64,
    /// The view in which the replica is, a hint for the primary.
    pub view: View,
    /// Number, height of the block and outcome of each request.
    pub results: Limited<(RequestNumber, Height, Outcome), REPLY_RESULTS_MAX>,
}

/// A message from a replica to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaMessage {
    /// The replica's clock and view, on connecting and on [`ClientMessage::Hello`].
    Welcome {
        /// The epoch.
        epoch: Epoch,
        /// The replica's wall clock.
        clock: Time,
        /// The view in which it is.
        view: View,
    },
    /// Results.
    Reply(Reply),
    /// A hint that the bundle was not taken, with the reason. Nothing is lost by asking again
    /// under the same numbers.
    Refused {
        /// The bundle's digest.
        bundle: Digest,
        /// Why.
        why: Rejection,
    },
}

impl ReplicaMessage {
    const KINDS: usize = 3;

    /// The canonical frame.
    #[must_use]
    pub fn encode(&self) -> Frame {
        Frame { head: crate::wire::canonical(self).into(), payload: Bytes::new() }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// As [`Message::decode`].
    pub fn decode(frame: &Frame) -> Result<Self, Rejection> {
        check_kind(&frame.head, Self::KINDS)?;
        let message = from_canonical(&frame.head)?;
        put_payload(None, &frame.payload)?;
        Ok(message)
    }
}

/// A kind's tag is one byte, as there are fewer than 128.
fn check_kind(head: &[u8], kinds: usize) -> Result<(), Rejection> {
    match head.first() {
        None => Err(Rejection::Truncated),
        Some(tag) if usize::from(*tag) >= kinds => Err(Rejection::UnknownKind),
        Some(_) => Ok(()),
    }
}

fn put_payload(place: Option<&mut Bytes>, payload: &Bytes) -> Result<(), Rejection> {
    match place {
        Some(place) => *place = payload.clone(),
        None if !payload.is_empty() => return Err(Rejection::UnexpectedPayload),
        None => {}
    }
    Ok(())
}
