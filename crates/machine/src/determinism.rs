//! Would two replicas that run this machine agree? Runs it three times, once in another process, and compares.

mod divergence;
mod other_process;

use quorate_types::{Digest, Height, PublicKey, RequestNumber, Time};
use std::cell::Cell;
use std::io;
use std::time::Duration;

use crate::{
    Application, BlockContext, ChunkHasher, ChunkReader, Context, MemoryChunks, Outcome, RestoreError,
    StateMachine, Typed, catch, content_of, encode, root_of_content,
};

pub use divergence::{Divergence, Moment, Run};
use other_process::Event;

/// Runs a machine three times over the same commands and compares every reply and, after every command, the
/// state root.
///
/// - The first run goes straight on, and may reuse what it remembers of its chunks.
/// - The second writes a snapshot half-way and goes on from what a new machine restored from it; its roots
///   are always computed from all bytes of the state.
/// - The third is **in another process**. It finds what is the same throughout one process and
///   differs between two: an address, the seed of a `RandomState` in a static, the process id.
///
/// For the third run the program starts itself again: the test with the name of this thread, which is what the
/// test harness calls it, or the whole program if this is the main thread. So what comes before the check
/// happens there too, with earlier checks taken as passed; the commands are those of this process. On a thread with another name there is no third
/// run, which is an error and not a silent success: call [`check_in_this_process`] there.
///
/// Computes three roots per command, so the cost is commands times the size of the state: hundreds of commands
/// over a small state say as much as more.
///
/// # Errors
/// [`Divergence`], naming the first command where two runs differ.
pub fn check_determinism<S: StateMachine>(
    make: impl Fn() -> S,
    commands: impl IntoIterator<Item = S::Command>,
) -> Result<(), Divergence> {
    let call = CALLS.replace(CALLS.get() + 1);
    if let Some(asked) = other_process::call_asked_for() {
        if asked == call {
            other_process::answer(make);
        }
        // This process exists for another call in the same test.
        return Ok(());
    }
    let commands = encoded::<S>(commands)?;
    let trace = compare_here(&make, &commands)?;
    let there = other_process::run(call, &commands)?;
    compare_there(&trace, there)
}

/// Like [`check_determinism`], without the run in another process: for threads that no test harness named.
///
/// # Errors
/// [`Divergence`], naming the first command where two runs differ.
pub fn check_in_this_process<S: StateMachine>(
    make: impl Fn() -> S,
    commands: impl IntoIterator<Item = S::Command>,
) -> Result<(), Divergence> {
    compare_here(&make, &encoded::<S>(commands)?).map(drop)
}

/// A run's first root, then what came of each command.
struct Trace {
    start: Digest,
    steps: Vec<(Outcome, Digest)>,
}

fn encoded<S: StateMachine>(
    commands: impl IntoIterator<Item = S::Command>,
) -> Result<Vec<Vec<u8>>, Divergence> {
    let encode = |(index, command)| {
        encode(&command, usize::MAX).map_err(|source| Divergence::NotEncodable { index, source })
    };
    commands.into_iter().enumerate().map(encode).collect()
}

fn compare_here<S: StateMachine>(make: &impl Fn() -> S, commands: &[Vec<u8>]) -> Result<Trace, Divergence> {
    let (mut first, mut second) = (Typed(make()), Typed(make()));
    let start = equal_root(Moment::Start, &mut first, &mut second)?;
    let mut steps = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        if index == commands.len() / 2 {
            second = restored(make, &mut second).map_err(|source| Divergence::Restore { index, source })?;
            equal_root(Moment::Restored { index }, &mut first, &mut second)?;
        }
        let one = apply(&mut first, index, command)?;
        let other = apply(&mut second, index, command)?;
        if one != other {
            return Err(Divergence::Reply { index, first: one, run: Run::Restored, second: other });
        }
        if !matches!(one, Outcome::Executed(_)) {
            return Err(Divergence::Rejected { index, outcome: one });
        }
        steps.push((one, equal_root(Moment::Applied { index }, &mut first, &mut second)?));
    }
    Ok(Trace { start, steps })
}

fn compare_there(here: &Trace, there: Vec<Event>) -> Result<(), Divergence> {
    let mut there = there.into_iter();
    match there.next() {
        Some(Event::Start(root)) => equal(Moment::Start, here.start, Run::OtherProcess, root)?,
        other => return Err(failed_there(Moment::Start, other)),
    }
    for (index, (first, root)) in here.steps.iter().enumerate() {
        let moment = Moment::Applied { index };
        match there.next() {
            Some(Event::Applied(second, _)) if second != *first => {
                let first = first.clone();
                return Err(Divergence::Reply { index, first, run: Run::OtherProcess, second });
            }
            Some(Event::Applied(_, second)) => equal(moment, *root, Run::OtherProcess, second)?,
            other => return Err(failed_there(moment, other)),
        }
    }
    Ok(())
}

fn failed_there(moment: Moment, event: Option<Event>) -> Divergence {
    let message = match event {
        Some(Event::Failed(message)) => message,
        _ => "the process ended too soon".to_owned(),
    };
    Divergence::FailedThere { moment, message }
}

fn equal(moment: Moment, first: Digest, run: Run, second: Digest) -> Result<(), Divergence> {
    if first == second { Ok(()) } else { Err(Divergence::Root { moment, first, run, second }) }
}

fn equal_root<S: StateMachine>(
    moment: Moment,
    first: &mut Typed<S>,
    second: &mut Typed<S>,
) -> Result<Digest, Divergence> {
    let written = |root: io::Result<Digest>| root.map_err(|source| Divergence::Write { moment, source });
    let first = written(root_of_run(first, false))?;
    let second = written(root_of_run(second, true))?;
    equal(moment, first, Run::Restored, second)?;
    Ok(first)
}

fn root_of_run<S: StateMachine>(run: &mut Typed<S>, all_bytes: bool) -> io::Result<Digest> {
    content_of(run.freeze(), &mut ChunkHasher { all_bytes }).map(|content| root_of_content(&content))
}

fn apply<S: StateMachine>(run: &mut Typed<S>, index: usize, command: &[u8]) -> Result<Outcome, Divergence> {
    let context = context(index);
    catch(&context, || run.apply(command, &context))
        .map_err(|panicked| Divergence::Panicked { index, message: panicked.message })
}

fn restored<S: StateMachine>(make: &impl Fn() -> S, from: &mut Typed<S>) -> Result<Typed<S>, RestoreError> {
    let mut chunks = MemoryChunks::default();
    let content = content_of(from.freeze(), &mut chunks)?;
    let mut fresh = Typed(make());
    fresh.restore(&mut ChunkReader::new(&chunks, &content))?;
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

thread_local! {
    /// How often this thread has checked: tells the other process which of a test's calls is meant.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}
