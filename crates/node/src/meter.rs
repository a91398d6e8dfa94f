//! How much processor time does one replica take? The sum over its own threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Adds up the processor time of the threads that entered it, running and ended ones.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Threads {
    running: Vec<i32>,
    ended: Duration,
}

/// A thread that is metered until this is dropped, on the same thread.
#[derive(Debug)]
pub(crate) struct Metered {
    meter: Arc<Meter>,
    thread: Option<i32>,
}

impl Meter {
    /// Counts the calling thread from now on, with all the time that it took before.
    pub(crate) fn enter(self: &Arc<Self>) -> Metered {
        let thread = platform::this_thread();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.running.extend(thread);
        Metered { meter: Arc::clone(self), thread }
    }

    /// Processor time of all threads; `None` where the system does not tell.
    pub(crate) fn total(&self) -> Option<Duration> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let running: Option<Duration> =
            threads.running.iter().map(|thread| platform::cpu_time_of(*thread)).sum();
        Some(running? + threads.ended)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let Some(thread) = self.thread else { return };
        let mut threads = self.meter.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.running.retain(|running| *running != thread);
        threads.ended += platform::cpu_time_of(thread).unwrap_or_default();
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::time::Duration;

    pub(super) fn this_thread() -> Option<i32> {
        Some(rustix::thread::gettid().as_raw_nonzero().get())
    }

    /// The scheduler's own count in nanoseconds, or else the process table's in hundredths of a second.
    pub(super) fn cpu_time_of(thread: i32) -> Option<Duration> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{file}")).ok();
        let scheduled = || read("schedstat")?.split_whitespace().next()?.parse().ok();
        scheduled().map(Duration::from_nanos).or_else(|| ticks(&read("stat")?))
    }

    /// User and system time are the 14th and 15th field; the second, the name, may hold spaces.
    fn ticks(stat: &str) -> Option<Duration> {
        let after_name = stat.rsplit_once(')')?.1;
        let mut fields = after_name.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis((user + system) * 10))
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn ticks_are_found_behind_any_name() {
            let stat = "7 (replica-0 (x) y) S 1 7 7 0 -1 64 0 0 0 0 12 34 0 0 20 0 1 0 5";
            assert_eq!(super::ticks(stat), Some(std::time::Duration::from_millis(460)));
            assert_eq!(super::ticks("7 replica"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::time::Duration;

    pub(super) fn this_thread() -> Option<i32> {
        None
    }

    pub(super) fn cpu_time_of(_: i32) -> Option<Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Instant;

    fn work_metered(meter: &Arc<Meter>, span: Duration) {
        let _metered = meter.enter();
        let (mut number, start) = (1_u64, Instant::now());
        let before = meter.total().expect("this system tells");
        while start.elapsed() < span || meter.total().expect("this system tells") == before {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
    }

    #[test]
    fn the_time_of_running_and_ended_threads_counts() {
        let meter = Arc::new(Meter::default());
        assert_eq!(meter.total(), Some(Duration::ZERO));
        let other = std::thread::spawn({
            let meter = Arc::clone(&meter);
            move || work_metered(&meter, Duration::from_millis(20))
        });
        other.join().expect("it ends");
        let ended = meter.total().expect("this system tells");
        assert!(ended > Duration::ZERO);
        work_metered(&meter, Duration::from_millis(20));
        assert!(meter.total().expect("this system tells") > ended);
    }
}
