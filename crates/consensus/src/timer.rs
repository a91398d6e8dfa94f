//! When to wake up: a table of deadlines and its minimum.

use quorate_types::Time;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The view gets no more time (X1).
    View,
    /// A batch waits no longer (P2).
    Batch,
    /// A prepared block waits no longer for the fast path (C2).
    Grace,
    /// The next status is due.
    Status,
    /// Something fetched or missing is asked for again.
    Fetch,
    /// A request waits too long unproposed (X1).
    Fairness,
    /// A block's time comes within the bound (V5).
    Clock,
    /// Chunks of a state are asked for again (K3).
    Transfer,
    /// A peer that fetches chunks gets more (K3).
    Serve,
}

impl Timer {
    pub(crate) const ALL: [Self; 9] = [
        Self::View,
        Self::Batch,
        Self::Grace,
        Self::Status,
        Self::Fetch,
        Self::Fairness,
        Self::Clock,
        Self::Transfer,
        Self::Serve,
    ];
}

/// One deadline per timer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers([Option<Time>; Timer::ALL.len()]);

impl Timers {
    pub(crate) const fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }
    /// Sets it unless it stands already.
    pub(crate) fn set_if_unset(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize].get_or_insert(at);
    }
    pub(crate) const fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }
    pub(crate) const fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }
    /// Whether the timer is due; it is stopped if so.
    pub(crate) fn take_due(&mut self, timer: Timer, now: Time) -> bool {
        let slot = &mut self.0[timer as usize];
        let is_due = slot.is_some_and(|at| at <= now);
        if is_due {
            *slot = None;
        }
        is_due
    }
    pub(crate) fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }
}
