//! What tells the check about a machine that is not deterministic? The first command that shows it.

use quorate_types::Digest;
use std::fmt;
use std::io;

use crate::{CodecError, Outcome, RestoreError};

/// How two runs over the same commands came apart. Commands count from 0.
#[derive(Debug, thiserror::Error)]
pub enum Divergence {
    /// One command got two replies.
    #[error("command {index} got different replies: {first:?}, and in {run} {second:?}")]
    Reply {
        /// The command.
        index: usize,
        /// In the run without interruption.
        first: Outcome,
        /// Which run it was compared with.
        run: Run,
        /// In that one.
        second: Outcome,
    },
    /// The states differ.
    #[error("the state roots differ {moment}: {first}, and in {run} {second}")]
    Root {
        /// When they were compared.
        moment: Moment,
        /// In the run without interruption.
        first: Digest,
        /// Which run it was compared with.
        run: Run,
        /// In that one.
        second: Digest,
    },
    /// Both runs reject a command of the machine's own type: its encoding is not canonical, or its
    /// reply is too large.
    #[error("command {index} is rejected: {outcome:?}")]
    Rejected {
        /// The command.
        index: usize,
        /// Why.
        outcome: Outcome,
    },
    /// The machine panics on a command. In a cluster that rejects the command, and costs every replica
    /// executing again everything since the last snapshot.
    #[error("the machine panics on command {index}: {message}")]
    Panicked {
        /// The command.
        index: usize,
        /// The panic's message.
        message: String,
    },
    /// In the other process, something fails that did not fail in this one.
    #[error("{moment}, only the run in another process fails: {message}")]
    FailedThere {
        /// After what it should have shown a root.
        moment: Moment,
        /// What happened instead.
        message: String,
    },
    /// There was no run in another process, so what differs only between processes was not looked for.
    #[error(
        "within this process nothing differs, but another one could not take part: {reason}; where it cannot, \
         call check_in_this_process"
    )]
    NoOtherProcess {
        /// Why not.
        reason: String,
    },
    /// A command cannot be encoded.
    #[error("command {index}: {source}")]
    NotEncodable {
        /// The command.
        index: usize,
        /// Why.
        source: CodecError,
    },
    /// The machine does not read back what it wrote.
    #[error("before command {index}: {source}")]
    Restore {
        /// The command that would have been next.
        index: usize,
        /// Why.
        source: RestoreError,
    },
    /// The state cannot be written.
    #[error("{moment}, the state cannot be written: {source}")]
    Write {
        /// When it was tried.
        moment: Moment,
        /// Why.
        source: io::Error,
    },
}

/// The run with which the first one was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The one that is restored from a snapshot half-way, and whose roots are computed from all bytes.
    Restored,
    /// The one in another process.
    OtherProcess,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restored => "the run with a restore",
            Self::OtherProcess => "another process",
        })
    }
}

/// When two states were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first command.
    Start,
    /// After a command.
    Applied {
        /// The command.
        index: usize,
    },
    /// After one run was restored from its snapshot.
    Restored {
        /// The command that would have been next.
        index: usize,
    },
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("before the first command"),
            Self::Applied { index } => write!(f, "after command {index}"),
            Self::Restored { index } => write!(f, "after restoring a snapshot before command {index}"),
        }
    }
}
