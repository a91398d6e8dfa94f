//! What is driven? With feature `lab` a participant that may be turned into a traitor, else the plain
//! protocol machine. Both have the same four methods; the difference is written here and nowhere else.

use quorate_consensus::{Config, Recovered, Replica};
use quorate_types::Time;

/// The machine that the driver drives.
#[cfg(feature = "lab")]
pub(crate) type Core = quorate_attack::Participant;
/// The machine that the driver drives.
#[cfg(not(feature = "lab"))]
pub(crate) type Core = Replica;

/// A machine that goes on from its log.
pub(crate) fn make(now: Time, config: Config, recovered: Recovered) -> Core {
    let replica = Replica::new(now, config, recovered);
    #[cfg(feature = "lab")]
    let replica = quorate_attack::Participant::honest(replica);
    replica
}

/// The attack that runs and how often it deviated from the protocol.
#[cfg(feature = "lab")]
pub(crate) fn attack(core: &Core) -> Option<(&'static str, u64)> {
    core.attack_name().map(|name| (name, core.fired()))
}

/// Without feature `lab` there are no attacks.
#[cfg(not(feature = "lab"))]
pub(crate) const fn attack(_: &Core) -> Option<(&'static str, u64)> {
    None
}
