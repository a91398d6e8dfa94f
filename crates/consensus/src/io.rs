//! The whole boundary of the replica's machine: what goes in and what comes out.

use bytes::Bytes;
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{
    Authenticated, Checked, ChunkId, Digest, Evidence, Height, PublicKey, Rejection, ReplicaId,
    RequestNumber, SessionId, StateHead, Time, Unverified, Verified, View,
};
use std::sync::Arc;

use crate::record::Record;
use crate::session::SessionImage;

/// Whose doing something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Another replica, or this one for its own work.
    Replica(ReplicaId),
    /// A client.
    Client(PublicKey),
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Input {
    /// A replica's message arrived.
    Message(Authenticated<Message>),
    /// A client's bundle arrived over a connection that authenticated the client's key.
    Request(PublicKey, Bytes),
    /// A connection with this peer stands.
    Connected(Peer),
    /// The connection with this peer ended.
    Disconnected(Peer),
    /// Everything up to this sequence number of [`Action::Persist`] is durable.
    Persisted(u64),
    /// A verification ended.
    Verified(Peer, Result<Checked, Rejection>),
    /// The state machine executed a block; one outcome for each command, in order.
    Executed(Height, Vec<quorate_types::message::Outcome>),
    /// The snapshot asked for by [`Action::TakeSnapshot`] is durable; the head of its state.
    Snapshot(Arc<StateHead>),
    /// What [`Action::LookInto`] found: the chunks of this page that the disk does not hold, or `None` if it
    /// does not hold the page itself.
    Looked(ChunkId, Option<Vec<ChunkId>>),
    /// [`Action::Install`] is done: the snapshot is durable, the application was restored from it, and these
    /// are the bytes of its session table.
    Installed(Arc<StateHead>, Bytes),
    /// A chunk that [`Action::ReadChunks`] asked for, for this replica; its digest alone if the disk does not
    /// hold it.
    Chunk(ReplicaId, Result<Bytes, Digest>),
    /// The time that [`crate::Replica::poll_timeout`] named has come.
    Timeout,
}

/// What a replica wants done. The driver performs actions in the order in which they come;
/// what must wait for a [`Action::Persist`] comes only after its [`Input::Persisted`].
#[derive(Clone, Debug)]
pub enum Action {
    /// Append the record to the log, sync, then give [`Input::Persisted`] with this number. One
    /// sync may cover any number of records.
    Persist(u64, Record),
    /// Send the message.
    Send(Recipients, Message),
    /// Check signatures, on any thread, then give [`Input::Verified`] with the same peer.
    Verify(Peer, Unverified),
    /// Execute the commands in order, then give [`Input::Executed`]. Executions may queue.
    Execute(Execution),
    /// Freeze the application after the last block that was handed out by [`Action::Execute`], write it
    /// and the session table, and give [`Input::Snapshot`] once they are durable.
    TakeSnapshot(Box<SnapshotOrder>),
    /// Begin to gather the chunks of this state, or go on where that was left off. What was gathered for
    /// another state stays for as long as it may be of use.
    BeginTransfer(Arc<StateHead>, SignedHeader),
    /// Say with [`Input::Looked`] which chunks of this page of the state are missing.
    LookInto(ChunkId),
    /// Keep a chunk of the state that is gathered. Nothing is said of it.
    StoreChunk(ChunkId, Bytes),
    /// The state that is gathered is of no use any more: forget it.
    AbandonTransfer,
    /// All chunks are there: make the snapshot durable, restore the application from it, and give
    /// [`Input::Installed`]. What was handed out by [`Action::Execute`] before is void.
    Install(Arc<StateHead>),
    /// Read these chunks for a peer and give an [`Input::Chunk`] for each.
    ReadChunks(ReplicaId, Vec<Digest>),
    /// Nobody needs the records below this number and the snapshots below this height any more.
    Truncate(u64, Height),
    /// Keep the certificate of this checkpoint beside its snapshot.
    Certified(Arc<CheckpointCertificate>),
    /// Tell a client, if it is connected.
    Reply(PublicKey, ReplicaMessage),
    /// Proof that a replica misbehaved: store it and show it.
    Report(Verified<Arc<Evidence>>),
    /// A peer's message was refused: count it.
    Reject(Peer, Rejection),
    /// Something worth counting or logging happened.
    Event(Event),
    /// Stop serving: continuing would do harm.
    Halt(Halt),
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every other replica.
    All,
    /// One replica.
    One(ReplicaId),
}

/// The commands of one block that the session table lets run.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The height of the block.
    pub height: Height,
    /// The block.
    pub block: Digest,
    /// The agreed time of the block.
    pub time: Time,
    /// The commands in their order.
    pub commands: Vec<Command>,
}

/// What a snapshot consists of besides the application's state.
#[derive(Clone, Debug)]
pub struct SnapshotOrder {
    /// The header of the block after which it is taken.
    pub header: SignedHeader,
    /// That block's result root.
    pub result_root: Digest,
    /// The session table after it.
    pub sessions: SessionImage,
}

/// One command with its issuer.
#[derive(Clone, Debug)]
pub struct Command {
    /// The session that issued it.
    pub session: SessionId,
    /// Its number in the session.
    pub number: RequestNumber,
    /// The command.
    pub command: Bytes,
}

/// By which rule a block was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommitRule {
    /// A fast quorum of votes (C1).
    Fast,
    /// A quorum of commit votes (C3).
    Slow,
    /// A weak quorum says that it committed it (C5).
    Proof,
    /// The replica's own log, on restart.
    Log,
}

/// Why a replica asked for a view change (X1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The view timer ran out.
    Timer,
    /// The primary signed two blocks for one height.
    Equivocation,
    /// A known request stayed unproposed, or the agreed time lags.
    Fairness,
    /// W replicas asked for higher views.
    Others,
    /// A replica that lost its disk wished for it.
    Wish,
}

/// Something worth counting or logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This block and all its ancestors are committed.
    Committed {
        /// Its height.
        height: Height,
        /// The block.
        digest: Digest,
        /// The view in which it was proposed.
        view: View,
        /// By which rule.
        rule: CommitRule,
    },
    /// A view change was asked for.
    ViewChange {
        /// The view asked for.
        view: View,
        /// Why.
        cause: Cause,
    },
    /// A view was entered.
    Entered(View),
    /// The checkpoint at this height is stable; its root.
    Stable(Height, Digest),
    /// A verified quorum certificate became known.
    Certified {
        /// Its view.
        view: View,
        /// The height of its block.
        height: Height,
        /// Its block.
        digest: Digest,
    },
    /// The replica knows that it lost its disk and waits (rule D3).
    Recovering,
    /// The replica takes part again after D3.
    Recovered(View),
    /// The state after this block is being fetched from others (rule K3).
    Fetching(Height),
    /// The state after this block was fetched and installed; its root.
    Installed(Height, Digest),
}

/// Why a replica stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The certified state root differs from the own one: this replica's state is wrong (K2).
    Diverged {
        /// The height of the checkpoint or block.
        height: Height,
        /// The own root.
        own: Digest,
        /// The root that the others have.
        others: Digest,
    },
    /// No root can reach a quorum: the application is not deterministic (K2).
    NotDeterministic {
        /// The height of the checkpoint.
        height: Height,
        /// The own root.
        own: Digest,
    },
    /// Two committed blocks of one height were proven: more than f replicas are faulty.
    Forked {
        /// The height up to which this replica committed.
        height: Height,
        /// Its block there.
        own: Digest,
    },
    /// The log contradicts itself; nothing is guessed (D4).
    BadLog(&'static str),
    /// The session table of a snapshot cannot be read.
    BadSnapshot(Height),
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Diverged { height, own, others } => write!(
                f,
                "the state after height {height} has root {own} here and {others} at the other replicas; \
                 compare the machines, then start this replica again, and it fetches the state of the others"
            ),
            Self::NotDeterministic { height, own } => write!(
                f,
                "no quorum agrees on the state after height {height} (here {own}): the state machine is not \
                 deterministic; run `quorate::testkit::check_determinism` on it"
            ),
            Self::Forked { height, own } => write!(
                f,
                "other replicas committed a chain that does not contain block {own} of height {height}: more than \
                 f replicas are faulty; compare the evidence of all replicas before starting any of them again"
            ),
            Self::BadSnapshot(height) => {
                write!(
                    f,
                    "the session table in the snapshot of height {height} cannot be read; restore this replica's directory"
                )
            }
            Self::BadLog(what) => {
                write!(f, "the log contradicts itself: {what}; restore this replica's directory")
            }
        }
    }
}
