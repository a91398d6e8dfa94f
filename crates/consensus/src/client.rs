//! The client's machine (rules R1, R2): pure, like the replica's.

use bytes::Bytes;
use quorate_types::message::{ClientMessage, Outcome, ReplicaMessage};
use quorate_types::{
    Authenticated, ClusterId, Epoch, Height, ProtocolParameters, Quorums, Rejection, ReplicaId,
    RequestNumber, SecretKey, SessionId, Time,
};
use std::time::Duration;

/// Names a submission to the driver that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a request for ever: retrying it is safe, also from another process with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RequestId {
    /// The session.
    pub session: SessionId,
    /// The number in it.
    pub number: RequestNumber,
}

/// Identity and settings of one client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client's key.
    pub key: SecretKey,
    /// The cluster.
    pub cluster: ClusterId,
    /// The epoch.
    pub epoch: Epoch,
    /// The cluster's thresholds.
    pub quorums: Quorums,
    /// Tells apart sessions of one key born at one time; drawn at random by the driver.
    pub nonce: u64,
    /// The parameters of genesis.
    pub parameters: ProtocolParameters,
    /// Before a request goes to all replicas; grows with measured round trips.
    pub retry_min: Duration,
    /// After which the answer is [`ClientError::Unknown`].
    pub deadline: Duration,
    /// Most requests in flight, at most 64.
    pub window: usize,
    /// Most requests under one signature, at most 64.
    pub bundle_max: usize,
}

/// What happens to a client.
#[derive(Clone, Debug)]
pub enum ClientInput {
    /// Submit a command under a new number.
    Submit(Ticket, Bytes),
    /// Submit again what was submitted under this id before.
    Retry(Ticket, RequestId, Bytes),
    /// Nobody waits for this submission any more; the session stays healthy.
    Cancel(Ticket),
    /// A connection with this replica stands.
    Connected(ReplicaId),
    /// The connection with this replica ended.
    Disconnected(ReplicaId),
    /// A replica's message arrived.
    Message(Authenticated<ReplicaMessage>),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// What a client wants done.
#[derive(Clone, Debug)]
pub enum ClientAction {
    /// Send to this replica.
    Send(ReplicaId, ClientMessage),
    /// A submission ended.
    Done(Ticket, Result<Completed, ClientError>),
    /// A replica's message was refused: count it.
    Reject(ReplicaId, Rejection),
}

/// W replicas report the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The request's id.
    pub id: RequestId,
    /// The height of its block.
    pub height: Height,
    /// The state machine's reply.
    pub reply: Vec<u8>,
}

/// Why a submission has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// It had and will have no effect.
    Rejected(Why),
    /// It may have run or may yet; retrying under this id is safe.
    Unknown(RequestId),
    /// Nothing was sent: too few replicas are connected.
    NoQuorum {
        /// Replicas that answered.
        reached: usize,
        /// Replicas that are needed.
        needed: usize,
        /// Those that did not answer.
        missing: Vec<ReplicaId>,
    },
}

/// Why a request had and will have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Refused before anything was sent: the command is larger than the cluster allows.
    TooLarge,
    /// Refused before anything was sent: a retry of a session of another key.
    ForeignSession,
    /// The executed outcome that W replicas report.
    Outcome(Outcome),
}
