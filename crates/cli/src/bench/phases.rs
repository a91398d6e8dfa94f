//! How does the time under attack compare with the time before it? Both are recorded alike, and in between it is seen how
//! long it takes until the throughput is back.

use quorate::SubmitError;
use std::time::{Duration, Instant};

use super::recorder::{Recorder, Span, Timed};

/// What was seen without an attack, and then under one.
#[derive(Clone, Debug)]
pub(crate) struct Phases {
    calm: Option<(Span, Recorder)>,
    attacked: Option<Attacked>,
}

/// What was seen under attack.
#[derive(Clone, Debug)]
pub(crate) struct Attacked {
    pub(crate) span: Span,
    pub(crate) recorder: Recorder,
    /// Answers in each [`TICK`] since the attack began.
    answers: Vec<u64>,
}

impl Phases {
    pub(crate) fn new(calm: Span, attacked: Option<Span>) -> Self {
        Self { calm: Some((calm, Recorder::new())), attacked: attacked.map(Attacked::new) }
    }

    /// What is seen by clients that never began.
    pub(crate) const fn none() -> Self {
        Self { calm: None, attacked: None }
    }

    /// A request that was due at `due` has been answered.
    pub(crate) fn on_answer(&mut self, timed: Timed, due: Instant, answered: Instant) {
        for (span, recorder) in self.each() {
            recorder.on_answer(span, timed, due, answered);
        }
        if let Some(attacked) = &mut self.attacked {
            attacked.on_answer(answered);
        }
    }

    /// A request was due and not sent before the end.
    pub(crate) fn on_unsent(&mut self, due: Instant) {
        for (span, recorder) in self.each() {
            recorder.on_unsent(span, due);
        }
    }

    pub(crate) fn on_error(&mut self, now: Instant, error: &SubmitError) {
        match (&mut self.attacked, &mut self.calm) {
            (Some(attacked), _) if now >= attacked.span.begin => attacked.recorder.on_error(error),
            (_, Some((_, recorder))) => recorder.on_error(error),
            (_, None) => {}
        }
    }

    /// Requests that had no answer when the wait for the last ones ended.
    pub(crate) fn on_unanswered(&mut self, count: usize) {
        if let Some((_, recorder)) = self.each().last() {
            recorder.on_unanswered(count);
        }
    }

    /// Adds what another thread saw.
    pub(crate) fn add(&mut self, other: &Self) {
        if let (Some((_, own)), Some((_, other))) = (&mut self.calm, &other.calm) {
            own.add(other);
        }
        if let (Some(own), Some(other)) = (&mut self.attacked, &other.attacked) {
            own.recorder.add(&other.recorder);
            own.answers.iter_mut().zip(&other.answers).for_each(|(own, other)| *own += other);
        }
    }

    pub(crate) fn into_parts(self) -> (Recorder, Option<Attacked>) {
        (self.calm.map_or_else(Recorder::new, |(_, recorder)| recorder), self.attacked)
    }

    fn each(&mut self) -> impl Iterator<Item = (Span, &mut Recorder)> {
        let calm = self.calm.iter_mut().map(|(span, recorder)| (*span, recorder));
        calm.chain(self.attacked.iter_mut().map(|attacked| (attacked.span, &mut attacked.recorder)))
    }
}

impl Attacked {
    fn new(span: Span) -> Self {
        let ticks = span.end.duration_since(span.begin).as_nanos() / TICK.as_nanos();
        let answers = vec![0; usize::try_from(ticks).unwrap_or(0)];
        Self { span, recorder: Recorder::new(), answers }
    }

    fn on_answer(&mut self, answered: Instant) {
        if !self.span.contains(answered) {
            return;
        }
        let tick = answered.duration_since(self.span.begin).as_nanos() / TICK.as_nanos();
        if let Some(answers) = usize::try_from(tick).ok().and_then(|tick| self.answers.get_mut(tick)) {
            *answers += 1;
        }
    }

    /// Answers in a second.
    pub(crate) fn throughput(&self) -> f64 {
        self.recorder.requests as f64 / self.span.end.duration_since(self.span.begin).as_secs_f64()
    }

    /// After how long the throughput is back at a rate for good: every half second that begins later has it. Nothing if
    /// the last one has not.
    pub(crate) fn recovery(&self, rate: f64) -> Option<Duration> {
        let needed = rate * TICK.as_secs_f64() * WINDOW as f64;
        let last =
            self.answers.windows(WINDOW).rposition(|window| (window.iter().sum::<u64>() as f64) < needed);
        match last {
            None => Some(Duration::ZERO),
            Some(last) if last + WINDOW >= self.answers.len() => None,
            Some(last) => Some(TICK * u32::try_from(last + 1).unwrap_or(u32::MAX)),
        }
    }

    /// Answers in a second from a time after the attack's begin on.
    pub(crate) fn throughput_from(&self, begin: Duration) -> f64 {
        let first = usize::try_from(begin.as_nanos() / TICK.as_nanos()).unwrap_or(usize::MAX);
        let answers = self.answers.get(first..).unwrap_or_default();
        answers.iter().sum::<u64>() as f64 / (TICK.as_secs_f64() * answers.len().max(1) as f64)
    }
}

/// How finely the time under attack is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Ticks in half a second.
const WINDOW: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// So many answers in each tick of two seconds.
    fn attacked(answers: impl Fn(u32) -> u64) -> Attacked {
        let begin = Instant::now();
        let mut attacked = Attacked::new(Span { begin, end: begin + TICK * 40 });
        for tick in 0..40 {
            (0..answers(tick)).for_each(|_| attacked.on_answer(begin + TICK * tick));
        }
        attacked.on_answer(begin + TICK * 40);
        attacked
    }

    #[test]
    fn throughput_that_never_falls_is_back_at_once() {
        let attacked = attacked(|_| 5);
        assert_eq!(attacked.recovery(100.0), Some(Duration::ZERO));
        assert!((attacked.throughput_from(Duration::ZERO) - 100.0).abs() < 1e-6);
    }

    #[test]
    fn it_is_back_when_it_stays_so() {
        // Nothing for half a second, a moment of answers, nothing, and then answers for good from 1.5 s on.
        let attacked = attacked(|tick| if (10..12).contains(&tick) || tick >= 30 { 10 } else { 0 });
        let recovered = attacked.recovery(100.0).expect("it comes back");
        assert_eq!(recovered, TICK * 25, "the half second from there has half of the answers");
        assert!((attacked.throughput_from(TICK * 30) - 200.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_still_slow_at_the_end_is_not_back() {
        assert_eq!(attacked(|tick| if tick < 35 { 10 } else { 0 }).recovery(150.0), None);
        assert_eq!(attacked(|_| 0).recovery(1.0), None);
    }

    #[test]
    fn each_phase_has_its_own_answers_and_errors() {
        let begin = Instant::now();
        let middle = begin + Duration::from_secs(1);
        let calm = Span { begin, end: middle };
        let mut phases =
            Phases::new(calm, Some(Span { begin: middle, end: middle + Duration::from_secs(1) }));
        let error = SubmitError::NoQuorum { reached: 0, needed: 3, missing: Vec::new() };
        phases.on_error(begin, &error);
        phases.on_answer(Timed::Answered, begin, begin + TICK);
        phases.on_answer(Timed::Answered, begin, middle + TICK);
        phases.on_answer(Timed::Answered, begin, middle + TICK);
        phases.on_unanswered(3);
        let mut sum = Phases::new(calm, phases.attacked.as_ref().map(|attacked| attacked.span));
        sum.add(&phases);
        sum.add(&Phases::none());
        let (calm, attacked) = sum.into_parts();
        let attacked = attacked.expect("there is one");
        assert_eq!((calm.requests, attacked.recorder.requests), (1, 2));
        assert_eq!((calm.errors.len(), attacked.recorder.errors["unanswered"]), (1, 3));
        assert!((attacked.throughput() - 2.0).abs() < 1e-6 && attacked.answers[1] == 2);
    }
}
