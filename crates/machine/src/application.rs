//! How do simulator and node run a state machine whose types they do not know?

use bytes::{BufMut as _, Bytes, BytesMut};
use quorate_types::Rejection;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{CodecError, Context, Frozen, REPLY_BYTES_MAX, RestoreError, StateMachine, decode, encode};

/// A state machine without its types: bytes in, bytes out.
///
/// Deterministic like the machine inside: equal commands in equal order give equal outcomes and
/// equal roots on every replica, whatever the bytes are. Only the user's own code can panic.
pub trait Application: Any + Send {
    /// Executes one command. One that does not decode executes as nothing.
    fn apply(&mut self, command: &[u8], context: &Context) -> Outcome;

    /// Answers a query from the present state.
    fn query(&self, query: &[u8]) -> Outcome;

    /// Holds the present state; see [`Snapshot::freeze`](crate::Snapshot::freeze).
    fn freeze(&mut self) -> Box<dyn Frozen>;

    /// Replaces the state by one that was written before. On an error the present state stays.
    ///
    /// # Errors
    /// [`RestoreError`] if the source fails or holds no whole state.
    fn restore(&mut self, source: &mut dyn io::Read) -> Result<(), RestoreError>;
}

/// What executing a command or query gave: the same on every correct replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The encoded reply or answer.
    Reply(Bytes),
    /// There is no reply, and this is why.
    Rejected(Rejected),
}

/// Why a command or query has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Rejected {
    /// The bytes are no canonical encoding of the machine's command or query. Nothing was executed.
    #[error("the bytes are no canonical encoding of a command or query; nothing was executed")]
    Malformed,
    /// The reply is larger than [`REPLY_BYTES_MAX`]. The command **was executed**.
    #[error("executed, but the reply is larger than {REPLY_BYTES_MAX} bytes")]
    ReplyTooLarge,
    /// The reply's type cannot be encoded. The command **was executed**.
    #[error("executed, but the reply cannot be encoded")]
    ReplyNotEncodable,
}

/// A user's state machine as an [`Application`].
#[derive(Clone, Debug, Default)]
pub struct Typed<S>(pub S);

impl<S: StateMachine> Typed<S> {
    /// The machine inside an application; `None` if it is of another type. For tests that look at
    /// a replica's state.
    #[must_use]
    pub fn machine_in(application: &dyn Application) -> Option<&S> {
        (application as &dyn Any).downcast_ref::<Self>().map(|typed| &typed.0)
    }
}

impl<S: StateMachine> Application for Typed<S> {
    fn apply(&mut self, command: &[u8], context: &Context) -> Outcome {
        match decode(command) {
            Ok(command) => Outcome::of(&self.0.apply(command, context)),
            Err(_) => Outcome::Rejected(Rejected::Malformed),
        }
    }

    fn query(&self, query: &[u8]) -> Outcome {
        match decode(query) {
            Ok(query) => Outcome::of(&self.0.query(query)),
            Err(_) => Outcome::Rejected(Rejected::Malformed),
        }
    }

    fn freeze(&mut self) -> Box<dyn Frozen> {
        self.0.freeze()
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> Result<(), RestoreError> {
        self.0 = S::restore(source)?;
        Ok(())
    }
}

impl Outcome {
    fn of<T: Serialize>(reply: &T) -> Self {
        match encode(reply, REPLY_BYTES_MAX) {
            Ok(bytes) => Self::Reply(bytes),
            Err(CodecError::TooLarge { .. }) => Self::Rejected(Rejected::ReplyTooLarge),
            Err(_) => Self::Rejected(Rejected::ReplyNotEncodable),
        }
    }

    /// The outcome as one canonical byte string: what replicas compare, cache and send.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Reply(reply) => {
                let mut bytes = BytesMut::with_capacity(1 + reply.len());
                bytes.put_u8(TAG_REPLY);
                bytes.put_slice(reply);
                bytes.freeze()
            }
            Self::Rejected(rejected) => Bytes::from(vec![TAG_REJECTED, rejected.code()]),
        }
    }

    /// Reads an outcome. The reply shares the memory of `bytes`; whether it decodes is not checked here.
    ///
    /// # Errors
    /// [`Rejection::Truncated`], [`Rejection::Oversized`], [`Rejection::TrailingBytes`] or
    /// [`Rejection::Malformed`].
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, Rejection> {
        match bytes[..] {
            [TAG_REPLY, ref reply @ ..] if reply.len() > REPLY_BYTES_MAX => Err(Rejection::Oversized),
            [TAG_REPLY, ..] => Ok(Self::Reply(bytes.slice(1..))),
            [TAG_REJECTED, code] => Rejected::from_code(code).map(Self::Rejected).ok_or(Rejection::Malformed),
            [TAG_REJECTED, _, ..] => Err(Rejection::TrailingBytes),
            [] | [TAG_REJECTED] => Err(Rejection::Truncated),
            _ => Err(Rejection::Malformed),
        }
    }
}

impl Rejected {
    const ALL: [Self; 3] = [Self::Malformed, Self::ReplyTooLarge, Self::ReplyNotEncodable];

    const fn code(self) -> u8 {
        match self {
            Self::Malformed => 0,
            Self::ReplyTooLarge => 1,
            Self::ReplyNotEncodable => 2,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|rejected| rejected.code() == code)
    }
}

/// Makes applications in their initial state: one per replica, and one more at each restart.
#[derive(Clone)]
pub struct ApplicationFactory(Arc<dyn Fn() -> Box<dyn Application> + Send + Sync>);

impl ApplicationFactory {
    /// From what makes a state machine in its initial state, often `Default::default`. It must
    /// make the same state each time and on every replica.
    #[must_use]
    pub fn new<S: StateMachine>(make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || Box::new(Typed(make()))))
    }

    /// An application in its initial state.
    #[must_use]
    pub fn make(&self) -> Box<dyn Application> {
        (self.0)()
    }
}

impl fmt::Debug for ApplicationFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplicationFactory")
    }
}

const TAG_REPLY: u8 = 0;
const TAG_REJECTED: u8 = 1;
