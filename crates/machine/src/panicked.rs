//! What happens when the user's code panics? Whoever called it learns what it was doing.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The user's state machine panicked. Its state may be half changed and must not be used again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state machine panicked on {on}: {message}")]
pub struct Panicked {
    /// What it was doing, as [`Context`](crate::Context) prints it: the request and the height.
    pub on: String,
    /// The panic's message.
    pub message: String,
}

/// Runs the user's code and turns its panic into an error that names what it was doing.
///
/// `on` is only printed after a panic: a [`Context`](crate::Context) for a command, or words like
/// "a query".
///
/// # Errors
/// [`Panicked`]. The machine is not to be used any more after it.
pub fn catch<T>(on: &dyn Display, run: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What the closure borrowed may be half changed; the caller drops it.
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|payload| Panicked { on: on.to_string(), message: message_of(&*payload) })
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "it gave no message".to_owned()
    }
}
