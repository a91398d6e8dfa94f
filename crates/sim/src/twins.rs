//! Does the protocol hold against two unmodified machines with one key, whatever the network does? Every scenario of a
//! small scope, one after the other.
//!
//! Four replicas; replica 0 is a pair of twins, so there are five instances. In each of three rounds any replica is
//! primary and the instances fall into two parts that do not hear each other, one of which may be empty: 4 times 16
//! choices, and 262,144 for three rounds. Then everything heals, all that was asked for must be done, and all invariants
//! are judged as in any other run.
//!
//! A round is a view: before it every instance is cut off from all others with work to do, until each has lost its
//! patience, and so asks for the next view. A round in which no part has a quorum leaves the view to the next one.
//! Clients reach everybody at any time. The method follows Bano et al., "Twins: BFT Systems Made Robust" (2004.10617).

mod parts;
mod run;
mod scenario;
mod sweep;

pub use parts::run_parts;
pub use run::{Outcome, run, run_with_story};
pub use scenario::{BadScenario, Instance, Round, SCENARIOS, Scenario};
pub use sweep::{PART, Sweep, Totals};
