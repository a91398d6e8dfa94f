//! How is work that takes minutes done in parts, on all cores?

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

/// Works on the parts, on all cores, and gives each result to `finished` on the calling thread, in the order in which
/// they come. No part begins after `finished` said false.
pub fn run_parts<T: Send>(
    parts: &[u64],
    work: impl Fn(u64) -> T + Sync,
    mut finished: impl FnMut(u64, T) -> bool,
) {
    let (next, is_stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (results, received) = channel();
    let results = Mutex::new(results);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let results = results.lock().unwrap_or_else(PoisonError::into_inner).clone();
            scope.spawn(|| {
                let results = results;
                while !is_stopped.load(Ordering::Relaxed) {
                    let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    // Nobody listens any more only if the calling thread panicked.
                    let _ = results.send((*part, work(*part)));
                }
            });
        }
        drop(results);
        for (part, result) in received {
            if !finished(part, result) {
                is_stopped.store(true, Ordering::Relaxed);
            }
        }
    });
}
