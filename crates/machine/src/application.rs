//! How do simulator and node run a state machine whose types they do not know?

use quorate_types::message::{Outcome, REPLY_BYTES_MAX};
use serde::Serialize;
use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{CodecError, Context, Frozen, RestoreError, StateMachine, decode, encode};

/// A state machine without its types: bytes in, bytes out.
///
/// Deterministic like the machine inside: equal commands in equal order give equal outcomes and
/// equal roots on every replica, whatever the bytes are. Only the user's own code can panic, which
/// includes a reply that its own `Serialize` refuses; run it under [`catch`](crate::catch).
pub trait Application: Any + Send {
    /// Executes one command: [`Outcome::Executed`] with the encoded reply, [`Outcome::Malformed`]
    /// with no effect if the bytes are no canonical command, or [`Outcome::ReplyTooLarge`]. In the last
    /// case **the command was executed**, and only its reply of more than [`REPLY_BYTES_MAX`] bytes
    /// is withheld. No other outcome.
    fn apply(&mut self, command: &[u8], context: &Context) -> Outcome;

    /// Answers a query from the present state, with the same outcomes as [`Application::apply`].
    fn query(&self, query: &[u8]) -> Outcome;

    /// Holds the present state; see [`Snapshot::freeze`](crate::Snapshot::freeze).
    fn freeze(&mut self) -> Box<dyn Frozen>;

    /// Replaces the state by one that was written before. On an error the present state stays.
    ///
    /// # Errors
    /// [`RestoreError`] if the source fails or holds no whole state.
    fn restore(&mut self, source: &mut dyn io::Read) -> Result<(), RestoreError>;
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
            Ok(command) => outcome_of(&self.0.apply(command, context)),
            Err(_) => Outcome::Malformed,
        }
    }

    fn query(&self, query: &[u8]) -> Outcome {
        match decode(query) {
            Ok(query) => outcome_of(&self.0.query(query)),
            Err(_) => Outcome::Malformed,
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

fn outcome_of<T: Serialize>(reply: &T) -> Outcome {
    match encode(reply, REPLY_BYTES_MAX) {
        Ok(bytes) => Outcome::Executed(bytes),
        Err(CodecError::TooLarge { .. }) => Outcome::ReplyTooLarge,
        Err(error) => panic!("the reply has no bytes: {error}"),
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
