//! Byzantine replicas: honest replicas whose actions pass through an adversary.
//!
//! A [`Participant`] is what a driver drives: the protocol's own machine, and between it and the
//! world possibly an [`Adversary`]. Everything that the adversary leaves alone stays honest, so
//! an attack is only its deviation. It signs with its own and its colluders' keys and gets at no
//! others.
//!
//! Reading order: `adversary.rs` (the seam), `participant.rs` (how it is put around a replica),
//! `attack.rs` (the names), then one attack per file under `attacks`.

mod adversary;
mod attack;
pub mod attacks;
mod forge;
mod participant;

pub use adversary::{Adversary, Cx, Verdict};
pub use attack::Attack;
pub use attacks::*;
pub use participant::{DELAYED_MAX, Participant};

#[cfg(test)]
mod tests;
