//! Where does the user's code run? On a thread of its own, one command after the other.
//!
//! A frozen state is written on another thread, so that execution goes on (rule K4).

use bytes::Bytes;
use quorate_consensus::{Execution, Input, SnapshotOrder};
use quorate_machine::{BlockContext, OpenSnapshot, Request, Runner, RunnerError};
use quorate_types::{Digest, Height, ReplicaId, StateHead};
use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::dump::{Difference, Dumps, Found, Source};
use crate::handover::Handover;
use crate::keeper::Job;
use crate::states::{States, reader};
use crate::threads::{Done, Threads};

/// Work for the state machine, in order.
#[derive(Debug)]
pub(crate) enum Work {
    /// Execute a block's commands.
    Execute(Execution),
    /// Hold the state as it is, after the block of the order, and have it written.
    Freeze(Box<SnapshotOrder>),
    /// This snapshot is durable: what was executed up to it need not be executed again after a panic.
    Durable(Arc<StateHead>),
    /// Go on from this state, which is durable (rule K3).
    Restore(Arc<StateHead>),
    /// Write the state down for the operator, in this directory: it differs (rule K2).
    Dump(Difference, Dumps, PathBuf),
}

/// The thread that runs one replica's state machine.
#[derive(Debug)]
pub(crate) struct Executor {
    queue: Arc<Handover<Work>>,
    flags: Arc<Flags>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread looks at between two pieces of work.
#[derive(Debug, Default)]
struct Flags {
    /// Nothing more is executed: a state that differs is to be seen as it was found.
    is_halted: AtomicBool,
    /// The replica ends.
    is_stopped: AtomicBool,
}

impl Executor {
    /// Starts the thread; frozen states go to `jobs`.
    pub(crate) fn start(
        threads: &Threads,
        runner: Runner,
        states: Arc<dyn States>,
        jobs: Arc<Handover<Job>>,
    ) -> io::Result<Self> {
        let (queue, flags) = (Arc::new(Handover::new()), Arc::new(Flags::default()));
        let replica = threads.replica;
        let flagged = Arc::clone(&flags);
        let machine = Machine { replica, runner, states, jobs, flags: flagged, blocks: VecDeque::new() };
        let thread = threads.start("execute", {
            let queue = Arc::clone(&queue);
            move |threads| execute_all(&queue, machine, threads)
        })?;
        Ok(Self { queue, flags, thread: Some(thread) })
    }

    /// Executes nothing more of what was handed over.
    pub(crate) fn halt(&self) {
        self.flags.is_halted.store(true, Ordering::Relaxed);
    }

    /// Hands over everything in `work`.
    pub(crate) fn put(&self, work: &mut Vec<Work>) {
        self.queue.put(work);
    }

    /// Drops what is left and waits for the command that runs and for the thread.
    pub(crate) fn stop(mut self) {
        self.flags.is_stopped.store(true, Ordering::Relaxed);
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Opens a snapshot's application state, as often as the runner wants.
pub(crate) fn opener(states: &Arc<dyn States>, head: &Arc<StateHead>) -> OpenSnapshot {
    let (states, head) = (Arc::clone(states), Arc::clone(head));
    Box::new(move || Ok(Box::new(reader(&states, &head.application)) as Box<dyn io::Read>))
}

/// The bytes of a snapshot's session table.
pub(crate) fn sessions(states: &Arc<dyn States>, head: &StateHead) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    reader(states, &head.sessions).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

struct Machine {
    replica: ReplicaId,
    runner: Runner,
    states: Arc<dyn States>,
    jobs: Arc<Handover<Job>>,
    flags: Arc<Flags>,
    /// The last blocks that were executed.
    blocks: VecDeque<(Height, Digest)>,
}

fn execute_all(queue: &Handover<Work>, mut machine: Machine, threads: &Threads) {
    let mut work = Vec::new();
    while queue.take(usize::MAX, &mut work) {
        for item in work.drain(..) {
            // At once: the core replies to clients meanwhile.
            match machine.perform(item, threads) {
                Ok(input) => threads.finish(&mut input.into_iter().collect()),
                Err(why) => return threads.fail(why),
            }
        }
    }
}

impl Machine {
    fn perform(&mut self, work: Work, threads: &Threads) -> Result<Option<Input>, String> {
        let sentence = |error: RunnerError| error.to_string();
        match work {
            Work::Execute(_) if self.flags.is_halted.load(Ordering::Relaxed) => {}
            Work::Execute(execution) => {
                let height = execution.height;
                self.note_block(height, execution.block);
                let block = BlockContext { height, time: execution.time, digest: execution.block };
                let outcomes = self.runner.execute(block, requests(execution)).map_err(sentence)?;
                return Ok(Some(Input::Executed(height, outcomes)));
            }
            Work::Freeze(order) => {
                let began = Instant::now();
                let frozen = self.runner.freeze(order.header.header.height).map_err(sentence)?;
                self.jobs.put(&mut vec![Job::Write(order, frozen, began.elapsed())]);
            }
            Work::Durable(head) => {
                self.runner.on_snapshot_durable(head.height, opener(&self.states, &head));
            }
            Work::Restore(head) => {
                let sessions = sessions(&self.states, &head).map_err(|error| error.to_string())?;
                self.runner.restore(head.height, opener(&self.states, &head)).map_err(sentence)?;
                return Ok(Some(Input::Installed(head, sessions)));
            }
            Work::Dump(difference, dumps, path) => {
                let written = self.dump(difference, &dumps, &path);
                threads.tell(Done::Dumped(written.map_err(|error| error.to_string())));
            }
        }
        Ok(None)
    }

    fn note_block(&mut self, height: Height, block: Digest) {
        if self.blocks.len() == BLOCKS_KEPT {
            self.blocks.pop_front();
        }
        self.blocks.push_back((height, block));
    }

    /// The snapshot that differs, if it is one; else the state as it is.
    fn dump(&mut self, difference: Difference, dumps: &Dumps, path: &std::path::Path) -> io::Result<()> {
        let (height, own) = (difference.height, difference.own);
        let snapshot = self.states.newest(height, height).map_err(io::Error::other)?;
        let source = match snapshot.filter(|snapshot| snapshot.head.root() == own) {
            Some(snapshot) => Source::Snapshot(&*self.states, snapshot),
            None => {
                let present = self.runner.height().unwrap_or_default();
                Source::Present(present, self.runner.freeze(present).map_err(io::Error::other)?)
            }
        };
        let block = self.blocks.iter().find(|(of, _)| *of == height).map(|(_, block)| *block);
        let found = Found { replica: self.replica, difference, block };
        dumps.write(path, &found, source, &self.flags.is_stopped)
    }
}

/// Blocks whose digests are kept for a dump: more than results of others are compared with.
const BLOCKS_KEPT: usize = 128;

fn requests(execution: Execution) -> Vec<Request> {
    let commands = execution.commands.into_iter();
    commands
        .map(|command| Request {
            client: command.session.client,
            number: command.number,
            command: command.command,
        })
        .collect()
}
