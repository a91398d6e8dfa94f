//! How do attacks combine? Each of them limits an attack or joins two, and is an adversary again.

mod and;
mod colluding;
mod during;
mod effects;
mod probability;
mod then;
mod times;
mod toward;
mod views;
mod with_probability;

use quorate_types::ReplicaId;
use std::num::NonZeroU64;

pub use and::And;
pub use colluding::{Colluder, Group, KNOWLEDGE_MAX, colluding};
pub use during::During;
pub use probability::{Probability, ProbabilityError};
pub use then::Then;
pub use times::Times;
pub use toward::Toward;
pub use views::{Views, ViewsError, views};
pub use with_probability::WithProbability;

use crate::Adversary;

/// Attacks in combination. Everything that becomes an adversary has these methods: an
/// [`Attack`](crate::Attack), a [`Spec`](crate::Spec), and every adversary of one's own.
///
/// They read from the inside out: `a.toward([1]).during(views(3..6))` is `a`, what of it reaches
/// replica 1, and that in views 3, 4 and 5. Outside of what a limit allows the replica is honest:
/// the attack inside neither sees nor does anything there, but for what its combinator says.
///
/// ```
/// use quorate_attack::{Attack, Combine as _, equivocate_proposals, views};
///
/// let early = equivocate_proposals().toward([1, 2]).with_probability(0.3).during(views(3..6));
/// let plan = early.then(Attack::Silent.times(100).and(Attack::LieToClients));
/// # let _: Box<dyn quorate_attack::Adversary> = plan.into();
/// ```
pub trait Combine: Into<Box<dyn Adversary>> + Sized {
    /// Only while the honest machine's view is one of these. See [`During`].
    #[must_use]
    fn during(self, views: impl Into<Views>) -> During {
        During::new(self.into(), views.into())
    }
    /// Only in what these replicas are sent. See [`Toward`].
    #[must_use]
    fn toward(self, replicas: impl IntoIterator<Item = u16>) -> Toward {
        Toward::new(self.into(), replicas.into_iter().map(ReplicaId).collect())
    }
    /// Only in this share of the messages. See [`WithProbability`].
    ///
    /// # Panics
    /// If it is not above 0 and at most 1; [`Probability::new`] gives an error instead.
    #[must_use]
    fn with_probability(self, probability: f64) -> WithProbability {
        WithProbability::new(self.into(), Probability::new(probability).expect("a probability"))
    }
    /// Only until it has deviated this often. See [`Times`].
    ///
    /// # Panics
    /// If `count` is 0.
    #[must_use]
    fn times(self, count: u64) -> Times {
        Times::new(self.into(), NonZeroU64::new(count).expect("at least once"))
    }
    /// This one until it ends, from then on the other. See [`Then`].
    #[must_use]
    fn then(self, next: impl Into<Box<dyn Adversary>>) -> Then {
        Then::new(self.into(), next.into())
    }
    /// Both, one behind the other. See [`And`].
    #[must_use]
    fn and(self, other: impl Into<Box<dyn Adversary>>) -> And {
        And::new(self.into(), other.into())
    }
}

impl<A: Into<Box<dyn Adversary>>> Combine for A {}
