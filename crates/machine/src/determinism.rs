//! Would two replicas that run this machine agree? Runs it twice and compares.

use quorate_types::{Digest, Height, PublicKey, RequestNumber, Time};
use std::io;
use std::time::Duration;

use crate::{
    Application, BlockContext, CodecError, Context, Outcome, RestoreError, StateMachine, Typed, encode,
    root_of, write_to,
};

/// Runs a machine twice over the same commands and compares every reply and, after every command, the
/// state root. Half-way, the second run writes a snapshot and goes on from what a new machine
/// restored from it.
///
/// Computes two roots per command, so the cost is commands times the size of the state: hundreds
/// of commands over a small state say as much as more. It finds what differs within one process, such as the
/// order of a `HashMap`, globals, clocks and randomness, but not what differs between machines.
///
/// # Errors
/// [`Divergence`], naming the first command where the two runs differ.
pub fn check_determinism<S: StateMachine>(
    make: impl Fn() -> S,
    commands: impl IntoIterator<Item = S::Command>,
) -> Result<(), Divergence> {
    let commands = commands.into_iter().enumerate().map(|(index, command)| {
        encode(&command, usize::MAX).map_err(|source| Divergence::NotEncodable { index, source })
    });
    let commands: Vec<Vec<u8>> = commands.collect::<Result<_, _>>()?;
    let (mut first, mut second) = (Typed(make()), Typed(make()));
    compare_roots(Moment::Start, &mut first, &mut second)?;
    for (index, command) in commands.iter().enumerate() {
        if index == commands.len() / 2 {
            second = restored(&make, &mut second).map_err(|source| Divergence::Restore { index, source })?;
            compare_roots(Moment::Restored { index }, &mut first, &mut second)?;
        }
        let one = first.apply(command, &context(index));
        let other = second.apply(command, &context(index));
        if one != other {
            return Err(Divergence::Reply { index, first: one, second: other });
        }
        if !matches!(one, Outcome::Executed(_)) {
            return Err(Divergence::Rejected { index, outcome: one });
        }
        compare_roots(Moment::Applied { index }, &mut first, &mut second)?;
    }
    Ok(())
}

/// How two runs over the same commands came apart. Commands count from 0.
#[derive(Debug, thiserror::Error)]
pub enum Divergence {
    /// One command got two replies.
    #[error("command {index} got different replies: {first:?} and {second:?}")]
    Reply {
        /// The command.
        index: usize,
        /// In the run without interruption.
        first: Outcome,
        /// In the run that was restored half-way.
        second: Outcome,
    },
    /// The states differ.
    #[error("the state roots differ {moment}: {first} and {second}")]
    Root {
        /// When they were compared.
        moment: Moment,
        /// In the run without interruption.
        first: Digest,
        /// In the run that was restored half-way.
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

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("before the first command"),
            Self::Applied { index } => write!(f, "after command {index}"),
            Self::Restored { index } => write!(f, "after restoring a snapshot before command {index}"),
        }
    }
}

fn compare_roots<S: StateMachine>(
    moment: Moment,
    first: &mut Typed<S>,
    second: &mut Typed<S>,
) -> Result<(), Divergence> {
    let root =
        |run: &mut Typed<S>| root_of(run.freeze()).map_err(|source| Divergence::Write { moment, source });
    let (first, second) = (root(first)?, root(second)?);
    if first == second { Ok(()) } else { Err(Divergence::Root { moment, first, second }) }
}

fn restored<S: StateMachine>(make: &impl Fn() -> S, from: &mut Typed<S>) -> Result<Typed<S>, RestoreError> {
    let mut bytes = Vec::new();
    write_to(from.freeze(), &mut bytes)?;
    let mut fresh = Typed(make());
    fresh.restore(&mut &bytes[..])?;
    Ok(fresh)
}

/// One block per command, one second apart, all from one client.
fn context(index: usize) -> Context {
    let number = index as u64 + 1;
    let block = BlockContext {
        height: Height(number),
        time: Time(0).after(Duration::from_secs(number)),
        digest: Digest::of_parts("quorate determinism check", &[&number.to_le_bytes()]),
    };
    Context::new(block, 0, PublicKey::default(), RequestNumber(number))
}
