//! How does a check run in another process? The program starts itself, and the same call answers there.
//!
//! The call's number stands in an environment variable, the commands go in on standard input, and what came of
//! them comes back in marked lines on standard output, among whatever the program prints itself.

use quorate_types::wire::{canonical, from_canonical};
use quorate_types::{Digest, hex};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use super::{Divergence, apply, root_of_run};
use crate::{Outcome, StateMachine, Typed};

/// What the other process says, in this order: the start, each command, or where it failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Event {
    /// The initial state's root.
    Start(Digest),
    /// What a command gave, and the root after it.
    Applied(Outcome, Digest),
    /// It cannot go on.
    Failed(String),
}

/// In the other process: the number of the call that is to answer.
pub(super) fn call_asked_for() -> Option<u64> {
    std::env::var(CALL).ok()?.parse().ok()
}

/// In the other process: runs the commands, says what came of them and ends the process.
pub(super) fn answer<S: StateMachine>(make: impl Fn() -> S) -> ! {
    let is_told = run_commands(make, &mut io::stdout().lock()).is_ok();
    std::process::exit(i32::from(!is_told))
}

/// Starts this program again for the call of this number, and gives what it says.
pub(super) fn run(call: u64, commands: &[Vec<u8>]) -> Result<Vec<Event>, Divergence> {
    let no_process = |reason| Divergence::NoOtherProcess { reason };
    let arguments = arguments().map_err(no_process)?;
    let output = start(call, &arguments, canonical(&commands.to_vec()))
        .map_err(|error| no_process(format!("it cannot be started: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let events: Option<Vec<Event>> =
        text.lines().filter_map(|line| line.strip_prefix(MARK)).map(event_in).collect();
    match events {
        Some(events) if !events.is_empty() => Ok(events),
        _ => Err(no_process(format!(
            "started again with the arguments {arguments:?}, this program ended ({}) without reaching the check; \
             its last words: {}",
            output.status,
            last_words(&output)
        ))),
    }
}

/// What makes this program come by here again.
fn arguments() -> Result<Vec<OsString>, String> {
    match std::thread::current().name() {
        Some("main") => Ok(std::env::args_os().skip(1).collect()),
        Some(test) => {
            let flags = ["--exact", "--include-ignored", "--nocapture", "--test-threads=1"];
            Ok([test].into_iter().chain(flags).map(OsString::from).collect())
        }
        None => Err("this thread has no name, so it is no test that could be run again".to_owned()),
    }
}

fn start(call: u64, arguments: &[OsString], commands: Vec<u8>) -> io::Result<Output> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env(CALL, call.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        // It may say more than a pipe holds before it has read all.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&commands)));
        child.wait_with_output()
    })
}

fn run_commands<S: StateMachine>(make: impl Fn() -> S, out: &mut impl io::Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let commands: Vec<Vec<u8>> =
        from_canonical(&bytes).map_err(|rejection| io::Error::other(rejection.name()))?;
    let mut machine = Typed(make());
    match root_of_run(&mut machine, true) {
        Ok(root) => tell(out, &Event::Start(root))?,
        Err(error) => return tell(out, &Event::Failed(error.to_string())),
    }
    for (index, command) in commands.iter().enumerate() {
        let applied = apply(&mut machine, index, command).map_err(|divergence| divergence.to_string());
        let rooted = applied.and_then(|outcome| match root_of_run(&mut machine, true) {
            Ok(root) => Ok(Event::Applied(outcome, root)),
            Err(error) => Err(error.to_string()),
        });
        match rooted {
            Ok(event) => tell(out, &event)?,
            Err(message) => return tell(out, &Event::Failed(message)),
        }
    }
    Ok(())
}

/// The line begins with an end of line, because the test harness may have left one unfinished.
fn tell(out: &mut impl io::Write, event: &Event) -> io::Result<()> {
    writeln!(out, "\n{MARK}{}", hex::encode(&canonical(event)))?;
    out.flush()
}

fn event_in(line: &str) -> Option<Event> {
    let digits = line.as_bytes();
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    from_canonical(&bytes?).ok()
}

fn last_words(output: &Output) -> String {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said);
    let last: Vec<&str> =
        said.lines().rev().filter(|line| !line.trim().is_empty()).take(LAST_LINES).collect();
    if last.is_empty() {
        return "none".to_owned();
    }
    last.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

const CALL: &str = "QUORATE_DETERMINISM_CALL";
const MARK: &str = "quorate-determinism: ";
const LAST_LINES: usize = 5;
