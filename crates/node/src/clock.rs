//! What time is it? Nanoseconds since 1970 that never run back while the process lives.

use quorate_types::Time;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock as it was at the start, carried on by the monotonic clock: a step of the system's
/// clock cannot reach a running replica, whose timers would all run out or stand still by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: Time,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at: Time(0).after(since_1970) }
    }

    pub(crate) fn now(&self) -> Time {
        self.started_at.after(self.started.elapsed())
    }

    /// When a point in time comes, for timers; now if it has passed.
    pub(crate) fn instant_of(&self, time: Time) -> Instant {
        self.started + time.since(self.started_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_tells_the_time_of_day_and_finds_instants() {
        let clock = Clock::start();
        let (one, other) = (clock.now(), clock.now());
        assert!(one <= other);
        let year_2026 = Time(1_767_225_600 * 1_000_000_000);
        assert!(one > year_2026);
        assert_eq!(
            clock.instant_of(clock.started_at.after(Duration::from_secs(2))),
            clock.started + Duration::from_secs(2)
        );
        assert_eq!(clock.instant_of(Time(0)), clock.started);
    }
}
