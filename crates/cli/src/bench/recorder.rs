//! What is counted? Answers, how long each took, and errors by kind.

use hdrhistogram::Histogram;
use quorate::SubmitError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// When the measurement begins and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
}

impl Span {
    pub(crate) fn contains(&self, time: Instant) -> bool {
        (self.begin..self.end).contains(&time)
    }
}

/// Which latencies belong to the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    /// Those of requests that were answered within it.
    Answered,
    /// Those of requests that were due within it, whenever they are answered: leaving out the late
    /// ones would flatter.
    Due,
}

/// What the clients of one thread, or of all, saw.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    /// Answers within the measurement.
    pub(crate) requests: u64,
    /// Requests that were due within the measurement and not even sent when it ended.
    pub(crate) unsent: u64,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Errors since the load began, by kind.
    pub(crate) errors: BTreeMap<&'static str, u64>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, SIGNIFICANT_DIGITS);
        let latencies = latencies.expect("the bounds are constants that a histogram accepts");
        Self { requests: 0, unsent: 0, latencies, errors: BTreeMap::new() }
    }

    /// A request that was due at `due` has been answered.
    pub(crate) fn on_answer(&mut self, span: Span, timed: Timed, due: Instant, answered: Instant) {
        let is_answered_within = span.contains(answered);
        self.requests += u64::from(is_answered_within);
        let is_timed = match timed {
            Timed::Answered => is_answered_within,
            Timed::Due => span.contains(due),
        };
        if is_timed {
            self.record(answered.saturating_duration_since(due));
        }
    }

    /// A request was due and not sent before the end: it took at least until then.
    pub(crate) fn on_unsent(&mut self, span: Span, due: Instant) {
        if span.contains(due) {
            self.unsent += 1;
            self.record(span.end.saturating_duration_since(due));
        }
    }

    pub(crate) fn on_error(&mut self, error: &SubmitError) {
        *self.errors.entry(kind(error)).or_default() += 1;
    }

    /// Requests that had no answer when the wait for the last ones ended.
    pub(crate) fn on_unanswered(&mut self, count: usize) {
        if count > 0 {
            *self.errors.entry("unanswered").or_default() += count as u64;
        }
    }

    /// Adds what another thread saw.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.unsent += other.unsent;
        self.latencies.add(&other.latencies).expect("all histograms have the same bounds");
        for (kind, count) in &other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }

    /// Below this latency lies the given part of all, in milliseconds.
    pub(crate) fn quantile_ms(&self, part: f64) -> f64 {
        self.latencies.value_at_quantile(part) as f64 / 1e6
    }

    fn record(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX));
    }
}

const fn kind(error: &SubmitError) -> &'static str {
    match error {
        SubmitError::Rejected { .. } => "rejected",
        SubmitError::Unknown { .. } => "unknown",
        SubmitError::NoQuorum { .. } => "no quorum",
    }
}

const LATENCY_NS_MIN: u64 = 1_000;
/// Ten minutes: longer than any request waits.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        let begin = Instant::now() + Duration::from_secs(1);
        Span { begin, end: begin + Duration::from_secs(1) }
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn answers_count_when_they_come_within_the_span() {
        let (span, mut recorder) = (span(), Recorder::new());
        recorder.on_answer(span, Timed::Answered, span.begin - ms(10), span.begin - ms(1));
        recorder.on_answer(span, Timed::Answered, span.begin - ms(10), span.begin + ms(10));
        recorder.on_answer(span, Timed::Answered, span.end - ms(10), span.end);
        assert_eq!((recorder.requests, recorder.latencies.len()), (1, 1));
        assert!((recorder.quantile_ms(0.5) - 20.0).abs() < 0.1);
    }

    #[test]
    fn a_due_request_is_timed_even_if_its_answer_is_late_or_it_was_never_sent() {
        let (span, mut recorder) = (span(), Recorder::new());
        recorder.on_answer(span, Timed::Due, span.end - ms(10), span.end + ms(90));
        recorder.on_unsent(span, span.begin);
        recorder.on_unsent(span, span.end);
        assert_eq!((recorder.requests, recorder.unsent, recorder.latencies.len()), (0, 1, 2));
        assert!((recorder.quantile_ms(0.5) - 100.0).abs() < 0.2);
        assert!((recorder.quantile_ms(1.0) - 1000.0).abs() < 2.0);
    }

    #[test]
    fn what_threads_saw_adds_up() {
        let (span, mut one, mut other) = (span(), Recorder::new(), Recorder::new());
        one.on_answer(span, Timed::Answered, span.begin, span.begin + ms(1));
        other.on_answer(span, Timed::Answered, span.begin, span.begin + ms(3));
        other.on_unanswered(2);
        other.on_unanswered(0);
        one.add(&other);
        assert_eq!((one.requests, one.latencies.len(), one.errors["unanswered"]), (2, 2, 2));
    }
}
