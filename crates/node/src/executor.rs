//! Where does the user's code run? On a thread of its own, one command after the other.
//!
//! Roots of frozen states are computed on another thread, so that execution goes on.

use quorate_consensus::{Execution, Input};
use quorate_machine::{Application, BlockContext, Context, Frozen, Outcome, Panicked, catch, root_of};
use quorate_types::Height;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::handover::Handover;
use crate::threads::Threads;

/// Work for the state machine, in order.
#[derive(Debug)]
pub(crate) enum Work {
    /// Execute a block's commands.
    Execute(Execution),
    /// Hold the state as it is, after the block of this height, and compute its root.
    Freeze(Height),
}

type ToHash = (Height, Box<dyn Frozen>);

/// The threads that run one replica's state machine.
#[derive(Debug)]
pub(crate) struct Executor {
    queue: Arc<Handover<Work>>,
    threads: Vec<JoinHandle<()>>,
}

impl Executor {
    /// Starts the threads; `application` is in its initial state.
    pub(crate) fn start(threads: &Threads, application: Box<dyn Application>) -> io::Result<Self> {
        let queue = Arc::new(Handover::new());
        let (frozen_sender, frozen) = std::sync::mpsc::channel();
        let hashing = threads.start("hash", move |threads| hash_all(&frozen, threads))?;
        let executing = threads.start("execute", {
            let queue = Arc::clone(&queue);
            move |threads| execute_all(&queue, application, &frozen_sender, threads)
        })?;
        Ok(Self { queue, threads: vec![executing, hashing] })
    }

    /// Hands over everything in `work`.
    pub(crate) fn put(&self, work: &mut Vec<Work>) {
        self.queue.put(work);
    }

    /// Drops what is left and waits for the command that runs and for the threads.
    pub(crate) fn stop(mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
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

fn execute_all(
    queue: &Handover<Work>,
    mut application: Box<dyn Application>,
    frozen: &std::sync::mpsc::Sender<ToHash>,
    threads: &Threads,
) {
    let mut work = Vec::new();
    while queue.take(usize::MAX, &mut work) {
        for item in work.drain(..) {
            let result = match item {
                Work::Execute(execution) => execute(&mut *application, &execution).map(|outcomes| {
                    // At once: the core replies to clients meanwhile.
                    threads.finish(&mut vec![Input::Executed(execution.height, outcomes)]);
                }),
                Work::Freeze(height) => {
                    catch(&format_args!("a snapshot at height {height}"), || application.freeze()).map(
                        |state| {
                            // The hasher ends only when this thread has ended, or by a bug that it tells itself.
                            let _ = frozen.send((height, state));
                        },
                    )
                }
            };
            if let Err(panicked) = result {
                threads.fail(halt_sentence(&panicked));
                return;
            }
        }
    }
}

fn execute(application: &mut dyn Application, execution: &Execution) -> Result<Vec<Outcome>, Panicked> {
    let block = BlockContext { height: execution.height, time: execution.time, digest: execution.block };
    let positions = 0_u32..;
    execution
        .commands
        .iter()
        .zip(positions)
        .map(|(command, position)| {
            let context = Context::new(block, position, command.session.client, command.number);
            catch(&context, || application.apply(&command.command, &context))
        })
        .collect()
}

fn hash_all(frozen: &std::sync::mpsc::Receiver<ToHash>, threads: &Threads) {
    while let Ok((height, state)) = frozen.recv() {
        let root = catch(&format_args!("writing the snapshot at height {height}"), || root_of(state));
        match root {
            Ok(Ok(root)) => threads.finish(&mut vec![Input::Snapshot(height, root)]),
            Ok(Err(error)) => {
                threads.fail(format!("the state after height {height} cannot be written: {error}"));
                return;
            }
            Err(panicked) => {
                threads.fail(halt_sentence(&panicked));
                return;
            }
        }
    }
}

fn halt_sentence(panicked: &Panicked) -> String {
    format!("{panicked}; mend the state machine, then start this replica again")
}
