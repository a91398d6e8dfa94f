//! How does work get from the core to a thread of its own? In batches: one lock and at most one
//! wake-up for all that a batch of inputs brought about.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue between threads, with a lane that goes first. It has no limit of its own: the core limits
/// what it hands out (verifications per peer, blocks above the stable checkpoint).
#[derive(Debug)]
pub(crate) struct Handover<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    first: VecDeque<T>,
    behind: VecDeque<T>,
    is_closed: bool,
    waiting: usize,
}

impl<T> Handover<T> {
    pub(crate) const fn new() -> Self {
        let state = State { first: VecDeque::new(), behind: VecDeque::new(), is_closed: false, waiting: 0 };
        Self { state: Mutex::new(state), ready: Condvar::new() }
    }

    /// Moves all items into the queue. They are dropped if it was closed.
    pub(crate) fn put(&self, first: &mut Vec<T>) {
        self.put_both(first, &mut Vec::new());
    }

    /// Moves all items into the queue: what is `behind` waits until nothing is `first`.
    pub(crate) fn put_both(&self, first: &mut Vec<T>, behind: &mut Vec<T>) {
        if first.is_empty() && behind.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.is_closed {
            first.clear();
            behind.clear();
            return;
        }
        state.first.extend(first.drain(..));
        state.behind.extend(behind.drain(..));
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.ready.notify_one();
        }
    }

    /// Waits for items and takes up to `most` of one lane. False once the queue is closed and empty.
    pub(crate) fn take(&self, most: usize, into: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        while state.first.is_empty() && state.behind.is_empty() && !state.is_closed {
            state.waiting += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        let lane = if state.first.is_empty() { &mut state.behind } else { &mut state.first };
        let count = lane.len().min(most);
        into.extend(lane.drain(..count));
        count > 0
    }

    /// Ends the work: whoever waits is told, what is left is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.first.clear();
        state.behind.clear();
        drop(state);
        self.ready.notify_all();
    }

    /// Ends the work once what is left was taken.
    pub(crate) fn finish(&self) {
        self.lock().is_closed = true;
        self.ready.notify_all();
    }

    /// No operation leaves the state half changed, so a panic elsewhere under the lock does no harm.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn items_arrive_in_order_and_closing_ends_the_wait() {
        let queue = Arc::new(Handover::new());
        let worker = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let (mut all, mut batch) = (Vec::new(), Vec::new());
                while all.len() < 5 && queue.take(2, &mut batch) {
                    all.append(&mut batch);
                }
                let ended = !queue.take(2, &mut batch);
                (all, ended)
            }
        });
        queue.put(&mut vec![1, 2]);
        queue.put(&mut vec![3, 4, 5]);
        queue.close();
        let (all, ended) = worker.join().expect("the worker ends");
        assert!(ended);
        assert!([1, 2, 3, 4, 5].starts_with(&all));
        queue.put(&mut vec![6]);
        assert!(!queue.take(1, &mut Vec::new()));
    }

    #[test]
    fn what_is_left_at_a_finish_is_still_taken() {
        let queue = Handover::new();
        queue.put(&mut vec![1, 2]);
        queue.finish();
        queue.put(&mut vec![3]);
        let mut taken = Vec::new();
        while queue.take(1, &mut taken) {}
        assert_eq!(taken, [1, 2]);
    }

    #[test]
    fn what_is_first_overtakes_what_is_behind() {
        let queue = Handover::new();
        queue.put_both(&mut vec![], &mut vec![7, 8, 9]);
        queue.put(&mut vec![1, 2]);
        let mut taken = Vec::new();
        assert!(queue.take(5, &mut taken) && queue.take(2, &mut taken));
        queue.put(&mut vec![3]);
        assert!(queue.take(2, &mut taken) && queue.take(2, &mut taken));
        assert_eq!(taken, [1, 2, 7, 8, 3, 9]);
    }
}
