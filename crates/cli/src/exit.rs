//! What does the program's exit code mean? `docs/operations.md` has the table; the numbers are a contract.

use quorate::{Error, SubmitError};
use std::process::ExitCode;

/// A replica halted with a named reason: continuing would do harm, or could not go on.
pub(crate) const HALTED: u8 = 3;
/// A replica's state machine did not return from a command when it was to stop.
pub(crate) const STILL_RUNNING: u8 = 4;
/// A request may have run or may yet. Retrying it is safe.
pub(crate) const UNKNOWN: u8 = 5;
/// Too few replicas answer; nothing was sent.
pub(crate) const NO_QUORUM: u8 = 6;
/// The cluster answered, and the answer is no: no such key, or another value than expected.
pub(crate) const ANSWER_IS_NO: u8 = 7;
/// Everything else: a mistake, told in one sentence. 2 is a command line that does not parse.
const MISTAKE: u8 = 1;

/// The code for an error.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    let submission = match error.downcast_ref::<Error>() {
        Some(Error::Halted { .. }) => return HALTED.into(),
        Some(Error::StillRunning { .. }) => return STILL_RUNNING.into(),
        Some(Error::Submit(error)) => Some(error),
        _ => error.downcast_ref::<SubmitError>(),
    };
    match submission {
        Some(SubmitError::Unknown { .. }) => UNKNOWN.into(),
        Some(SubmitError::NoQuorum { .. }) => NO_QUORUM.into(),
        Some(SubmitError::Rejected { .. }) | None => MISTAKE.into(),
    }
}
