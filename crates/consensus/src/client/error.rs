//! Why does a submission have no reply, and what may its caller do now?

use quorate_types::message::Outcome;
use quorate_types::{ReplicaId, RequestNumber, SessionId};
use std::fmt;

/// Names a request for ever: retrying it is safe, also from another process with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RequestId {
    /// The session.
    pub session: SessionId,
    /// The number in it.
    pub number: RequestNumber,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.session, self.number)
    }
}

/// Why a submission has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// It had and will have no effect.
    Rejected(Why),
    /// It may have run or may yet; retrying under this id is safe.
    Unknown(RequestId),
    /// Nothing was sent: too few replicas answer, or, if enough do, earlier requests of this client
    /// still wait.
    NoQuorum {
        /// How many replicas answered.
        reached: usize,
        /// How many are needed.
        needed: usize,
        /// Those that did not answer on their present connection, or have none.
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
    /// Refused before anything was sent: a retry under a number that this session has not given
    /// out yet.
    NeverSubmitted,
    /// Refused before anything was sent: [`super::QUEUE_MAX`] submissions wait already.
    QueueFull,
    /// The outcome that W replicas report.
    Outcome(Outcome),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(why) => write!(f, "the request had and will have no effect: {why}"),
            Self::Unknown(id) => write!(
                f,
                "it is not known whether request {id} ran or will run; retry it under this id, which never \
                 runs it twice"
            ),
            Self::NoQuorum { reached, needed, .. } if reached >= needed => write!(
                f,
                "nothing was sent: {reached} replicas answer and {needed} are needed, but earlier requests of \
                 this client still wait; see what the cluster waits for with `quorate why`, then submit again"
            ),
            Self::NoQuorum { reached, needed, missing } => {
                write!(
                    f,
                    "nothing was sent: {reached} replicas answer and {needed} are needed; check replica"
                )?;
                for (position, replica) in missing.iter().enumerate() {
                    write!(f, "{} {replica}", if position == 0 { "" } else { "," })?;
                }
                f.write_str(" and the way to it, then submit again")
            }
        }
    }
}

impl std::error::Error for ClientError {}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => {
                "the command is larger than `command_bytes_max` in the cluster's genesis; split it into \
                 smaller ones"
            }
            Self::ForeignSession => "the id belongs to another client's key; retry it with that key",
            Self::NeverSubmitted => {
                "this client has not submitted anything under this id; submit the command instead of \
                 retrying it"
            }
            Self::QueueFull => {
                "too many submissions of this client wait; wait for some of them before submitting more"
            }
            Self::Outcome(Outcome::Malformed) => {
                "the state machine does not understand the command; check that client and replicas run the \
                 same version"
            }
            Self::Outcome(Outcome::Panicked) => {
                "the state machine panicked on the command, on every replica alike, and went on without it; mend \
                 the state machine or send another command"
            }
            Self::Outcome(Outcome::SessionExpired) => {
                "its session was not opened in time; submit the command again as a new request"
            }
            Self::Outcome(_) => "replicas refused it; submit the command again as a new request",
        })
    }
}
