//! How does a user attack a service of their own? One test function, many seeds.
//!
//! - A test drives a [`Sim`](crate::Sim): it turns replicas into traitors, submits commands, lets time pass
//!   ([`views`], [`seconds`]) and judges ([`safety`], [`live`], [`evidence`], [`fired`]).
//! - [`AttackTest`] runs it under every seed, each with an [`Environment`] of its own, over all cores.
//! - What fails is a [`TestPlan`]: data that is made as small as it can be, saved beside the test, and runs first from
//!   then on.
//!
//! Reading order: `goals.rs`, `checks.rs`, `environment.rs`, `plan.rs`, `one_run.rs`, `attack_test.rs`, then `regressions.rs`,
//! `smaller.rs` and `report.rs`.

mod checks;
mod goals;

mod environment;
mod overlay;
mod plan;

mod attack_test;
mod one_run;
mod regressions;
mod report;
mod smaller;

pub use attack_test::AttackTest;
pub use checks::{Check, Evidence, EvidenceCheck, Fired, Live, LiveWithin, Requests, RequestsExt, Safety};
pub use checks::{evidence, fired, live, safety};
pub use environment::{Environment, Faults};
pub use goals::{Goal, Until, ViewsArgument, seconds, views};
pub(crate) use overlay::Overlay;
pub use plan::{TestPlan, TraitorPart};
pub use report::Failure;

use crate::observe::Violation;

/// What a test and each of its steps gives: nothing, or the property that was broken.
pub type SimResult = Result<(), Violation>;
