//! Who checks signatures? A thread beside the core, in batches, each signature alone.

use quorate_consensus::{Input, Peer};
use quorate_types::{Unverified, Verifier};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::handover::Handover;
use crate::threads::Threads;

/// The threads that check signatures for one replica.
#[derive(Debug)]
pub(crate) struct VerifierPool {
    queue: Arc<Handover<(Peer, Unverified)>>,
    threads: Vec<JoinHandle<()>>,
}

impl VerifierPool {
    /// Starts `count` threads. One is enough where replicas share a machine: what several gain for one
    /// replica, they take from the others.
    pub(crate) fn start(threads: &Threads, verifier: &Verifier, count: usize) -> io::Result<Self> {
        let mut pool = Self { queue: Arc::new(Handover::new()), threads: Vec::new() };
        for _ in 0..count.max(1) {
            let (queue, verifier) = (Arc::clone(&pool.queue), verifier.clone());
            pool.threads.push(threads.start("verify", move |threads| check_all(&queue, &verifier, threads))?);
        }
        Ok(pool)
    }

    /// Hands over everything in `work`.
    pub(crate) fn put(&self, work: &mut Vec<(Peer, Unverified)>) {
        self.queue.put(work);
    }

    /// Drops what is left and waits for the threads.
    pub(crate) fn stop(mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for VerifierPool {
    fn drop(&mut self) {
        self.queue.close();
    }
}

fn check_all(queue: &Handover<(Peer, Unverified)>, verifier: &Verifier, threads: &Threads) {
    let mut work = Vec::new();
    let mut checked = Vec::new();
    while queue.take(&mut work) {
        for (peer, value) in work.drain(..) {
            checked.push(Input::Verified(peer, verifier.check(value)));
            if checked.len() == CHECKED_TOGETHER_MAX {
                threads.finish(&mut checked);
            }
        }
        threads.finish(&mut checked);
    }
}

/// Results go back in groups of this many, so that the core can work while the rest is checked.
const CHECKED_TOGETHER_MAX: usize = 16;
