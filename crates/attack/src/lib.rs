//! Byzantine replicas: honest replicas whose actions pass through an adversary.
//!
//! A [`Participant`] is what a driver drives: the protocol's own machine, and between it and the
//! world possibly an [`Adversary`]. Everything that the adversary leaves alone stays honest, so
//! an attack is only its deviation. It signs with its own and its colluders' keys and gets at no
//! others.
//!
//! Reading order: `adversary.rs` (the seam), `participant.rs` (how it is put around a replica),
//! `attack.rs` (the names), then one attack per file under `attacks`, `combinators.rs` (attacks in
//! combination) and `spec.rs` (all of it as text).

mod adversary;
mod attack;
pub mod attacks;
pub mod combinators;
mod forge;
mod nearest;
mod participant;
mod spec;

pub use adversary::{Adversary, Cx, End, Needs, Verdict};
pub use attack::{Attack, UnknownAttack};
pub use attacks::*;
pub use combinators::{Combine, Group, Probability, Views, colluding, views};
pub use participant::{DELAYED_MAX, Participant};
pub use spec::{Part, SPEC_BYTES_MAX, SPEC_PARTS_MAX, Spec, SpecError};

#[cfg(test)]
mod tests;
