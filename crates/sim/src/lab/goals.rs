//! Until when does a test let time pass?

use quorate_machine::StateMachine;
use std::ops::{Range, RangeFrom, RangeInclusive, RangeTo};
use std::time::Duration;

use crate::sim::Sim;

/// What [`Sim::run_until`] waits for: a [`Goal`], or any condition `|sim: &Sim<S>| ..`.
pub trait Until<S: StateMachine> {
    /// Whether it has come. Called again after every event.
    fn is_reached(&mut self, sim: &Sim<S>) -> bool;

    /// When to ask again even if nothing happens, in simulated time since the start.
    fn by(&self) -> Option<Duration> {
        None
    }
}

impl<S: StateMachine, F: FnMut(&Sim<S>) -> bool> Until<S> for F {
    fn is_reached(&mut self, sim: &Sim<S>) -> bool {
        self(sim)
    }
}

/// The first of several things that a test waits for; see [`views`] and [`seconds`].
#[derive(Clone, Debug)]
pub struct Goal(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    View(u64),
    /// A span of time, and when it is over; that is known once the wait has begun.
    Span(Duration, Option<Duration>),
}

/// With a number a [`Goal`]: until an honest replica has entered this view. The first view is 0, and each view change
/// leads to a later one.
///
/// With a range the views in which an attack is made: `attack::silent().during(views(3..6))`.
#[must_use]
pub fn views<V: ViewsArgument>(views: V) -> V::Meaning {
    views.meaning()
}

/// What [`views`] takes: a number, or a range of numbers.
pub trait ViewsArgument {
    /// What is meant by it.
    type Meaning;
    /// What is meant by it.
    fn meaning(self) -> Self::Meaning;
}

impl ViewsArgument for u64 {
    type Meaning = Goal;
    fn meaning(self) -> Goal {
        Goal(vec![Part::View(self)])
    }
}

macro_rules! ranges_are_windows {
    ($($range:ty),+) => {$(
        impl ViewsArgument for $range {
            type Meaning = quorate_attack::Views;
            fn meaning(self) -> quorate_attack::Views {
                quorate_attack::views(self)
            }
        }
    )+};
}

ranges_are_windows!(Range<u64>, RangeFrom<u64>, RangeInclusive<u64>, RangeTo<u64>);

/// Until so many simulated seconds have passed. A simulated message takes about a millisecond, and a view without
/// progress lasts 150 to 450 milliseconds.
#[must_use]
pub fn seconds(seconds: u64) -> Goal {
    Goal(vec![Part::Span(Duration::from_secs(seconds), None)])
}

impl Goal {
    /// Until this or the other is reached.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl<S: StateMachine> Until<S> for Goal {
    fn is_reached(&mut self, sim: &Sim<S>) -> bool {
        self.0.iter_mut().any(|part| match part {
            Part::View(view) => sim.history().honest().any(|replica| sim.status(replica).view.0 >= *view),
            Part::Span(span, end) => sim.now() >= *end.get_or_insert(sim.now() + *span),
        })
    }

    fn by(&self) -> Option<Duration> {
        let ends = self.0.iter().filter_map(|part| match part {
            Part::View(_) => None,
            Part::Span(_, end) => *end,
        });
        ends.min()
    }
}

impl std::fmt::Display for Goal {
    /// In words: `view 8 or 30 s`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            f.write_str(if position == 0 { "" } else { " or " })?;
            match part {
                Part::View(view) => write!(f, "view {view}")?,
                Part::Span(span, _) => write!(f, "{} s", span.as_secs())?,
            }
        }
        Ok(())
    }
}
