//! What do a replica's threads have in common? A name, a meter, and an end that nobody misses.

use quorate_consensus::Input;
use quorate_types::{ReplicaId, StateHead};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use tokio::sync::mpsc;

use crate::meter::Meter;

/// What the threads beside the core give back.
#[derive(Debug)]
pub(crate) enum Done {
    /// Finished work, in order.
    Inputs(Vec<Input>),
    /// All chunks of a state are there and durable: the state machine is to go on from it.
    Gathered(Arc<StateHead>),
    /// Whether the state that differs was written down.
    Dumped(Result<(), String>),
    /// The replica cannot go on; why, in one sentence.
    Failed(String),
}

/// Starts a replica's threads. What they give back is bounded by what the core hands out.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    pub(crate) replica: ReplicaId,
    pub(crate) meter: Arc<Meter>,
    pub(crate) done: mpsc::UnboundedSender<Done>,
}

impl Threads {
    /// Starts a thread "replica-I-WORK". If `run` panics, the core hears of it.
    pub(crate) fn start(
        &self,
        work: &'static str,
        run: impl FnOnce(&Self) + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let threads = self.clone();
        let name = format!("replica-{}-{work}", self.replica);
        Builder::new().name(name).spawn(move || {
            let _metered = threads.meter.enter();
            // Whatever `run` owned is dropped with it and looked at by nobody.
            if catch_unwind(AssertUnwindSafe(|| run(&threads))).is_err() {
                threads.fail(format!(
                    "the {work} thread of this replica panicked, which is a bug; its message is in the log"
                ));
            }
        })
    }

    /// Gives work back. Nobody listens any more when the replica is being stopped.
    pub(crate) fn finish(&self, inputs: &mut Vec<Input>) {
        if !inputs.is_empty() {
            let _ = self.done.send(Done::Inputs(std::mem::take(inputs)));
        }
    }

    /// Tells the driver something.
    pub(crate) fn tell(&self, done: Done) {
        let _ = self.done.send(done);
    }

    /// Tells why the replica cannot go on.
    pub(crate) fn fail(&self, why: String) {
        let _ = self.done.send(Done::Failed(why));
    }
}
