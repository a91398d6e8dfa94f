//! Who checks signatures? A thread beside the core, in batches, each signature alone.

use quorate_consensus::{Input, Peer};
use quorate_types::message::Justify;
use quorate_types::{Unverified, Verifier};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::handover::Handover;
use crate::threads::Threads;

/// What is to be checked.
#[derive(Debug, Default)]
pub(crate) struct ToVerify {
    messages: Vec<(Peer, Unverified)>,
    bundles: Vec<(Peer, Unverified)>,
}

impl ToVerify {
    /// Whether it takes no longer than handing it over and back.
    fn is_quick(&self) -> bool {
        let bytes = |(_, value): &(Peer, Unverified)| match value {
            Unverified::Bundle(raw) | Unverified::Block(_, raw) => raw.len(),
            Unverified::Proposal(propose) if propose.justify == Justify::None => propose.batch.len(),
            _ => usize::MAX,
        };
        let all = || self.messages.iter().chain(&self.bundles);
        all().count() <= QUICK_COUNT_MAX && all().all(|item| bytes(item) <= QUICK_BYTES_MAX)
    }

    pub(crate) fn push(&mut self, peer: Peer, value: Unverified) {
        let list = if let Unverified::Bundle(_) = value { &mut self.bundles } else { &mut self.messages };
        list.push((peer, value));
    }
}

/// The threads that check signatures for one replica.
#[derive(Debug)]
pub(crate) struct VerifierPool {
    queue: Arc<Handover<(Peer, Unverified)>>,
    threads: Vec<JoinHandle<()>>,
    verifier: Verifier,
    /// Handed over and not back yet.
    outstanding: usize,
}

impl VerifierPool {
    /// Starts `count` threads. One is enough where replicas share a machine: what several gain for one
    /// replica, they take from the others.
    pub(crate) fn start(threads: &Threads, verifier: &Verifier, count: usize) -> io::Result<Self> {
        let queue = Arc::new(Handover::new());
        let mut pool = Self { queue, threads: Vec::new(), verifier: verifier.clone(), outstanding: 0 };
        for _ in 0..count.max(1) {
            let (queue, verifier) = (Arc::clone(&pool.queue), verifier.clone());
            pool.threads.push(threads.start("verify", move |threads| check_all(&queue, &verifier, threads))?);
        }
        Ok(pool)
    }

    /// Checks at once what is quick while the threads are idle, and gives the results: waking a thread
    /// would take longer. Hands over everything else. Clients' bundles wait behind the replicas' own
    /// messages: however many clients there are, a proposal is checked before the others lose patience.
    pub(crate) fn put(&mut self, work: &mut ToVerify) -> Vec<Input> {
        if self.outstanding == 0 && work.is_quick() {
            let all = work.messages.drain(..).chain(work.bundles.drain(..));
            return all.map(|(peer, value)| Input::Verified(peer, self.verifier.check(value))).collect();
        }
        self.outstanding += work.messages.len() + work.bundles.len();
        self.queue.put_both(&mut work.messages, &mut work.bundles);
        Vec::new()
    }

    /// Takes note of what the threads gave back.
    pub(crate) fn on_done(&mut self, inputs: &[Input]) {
        let checks = inputs.iter().filter(|input| matches!(input, Input::Verified(..))).count();
        self.outstanding = self.outstanding.saturating_sub(checks);
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
    while queue.take(CHECKED_TOGETHER_MAX, &mut work) {
        let results = work.drain(..).map(|(peer, value)| Input::Verified(peer, verifier.check(value)));
        checked.extend(results);
        threads.finish(&mut checked);
    }
}

/// Checks of one turn: results go back together, and what is urgent waits for no more than these.
const CHECKED_TOGETHER_MAX: usize = 16;
/// Most checks that are quick together.
const QUICK_COUNT_MAX: usize = 2;
/// Most bytes of requests in a check that is quick: they hold a handful of signatures at most.
const QUICK_BYTES_MAX: usize = 1024;
