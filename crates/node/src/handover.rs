//! How does work get from the core to a thread of its own? In batches: one lock and at most one
//! wake-up for all that a batch of inputs brought about.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue between threads. It has no limit of its own: the core limits what it hands out
/// (verifications per peer, blocks above the stable checkpoint).
#[derive(Debug)]
pub(crate) struct Handover<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    is_closed: bool,
    waiting: usize,
}

impl<T> Handover<T> {
    pub(crate) const fn new() -> Self {
        let state = State { items: Vec::new(), is_closed: false, waiting: 0 };
        Self { state: Mutex::new(state), ready: Condvar::new() }
    }

    /// Moves all items into the queue. They are dropped if it was closed.
    pub(crate) fn put(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.is_closed {
            items.clear();
            return;
        }
        state.items.append(items);
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.ready.notify_one();
        }
    }

    /// Waits for items and takes all; `into` must be empty. False once the queue is closed, even if items
    /// are left.
    pub(crate) fn take(&self, into: &mut Vec<T>) -> bool {
        debug_assert!(into.is_empty(), "what was taken before was dealt with");
        let mut state = self.lock();
        while state.items.is_empty() && !state.is_closed {
            state.waiting += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        std::mem::swap(&mut state.items, into);
        !state.is_closed
    }

    /// Ends the work: whoever waits is told, what is left is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.items.clear();
        drop(state);
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
                while all.len() < 5 && queue.take(&mut batch) {
                    all.append(&mut batch);
                }
                let ended = !queue.take(&mut batch);
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
        assert!(!queue.take(&mut Vec::new()));
    }
}
