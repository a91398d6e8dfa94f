//! Which number is this? Newtypes for every identifier, so that a view is never taken for a height.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl $name {
            /// The next one; stays at the greatest value, so that hostile numbers cannot overflow.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
            /// This many further; stays at the greatest value.
            #[must_use]
            pub const fn plus(self, count: $inner) -> Self {
                Self(self.0.saturating_add(count))
            }
            /// This many before; stays at zero.
            #[must_use]
            pub const fn minus(self, count: $inner) -> Self {
                Self(self.0.saturating_sub(count))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// Position of a replica in the membership, from 0.
    ReplicaId, u16
);
number!(
    /// A period with one primary: `primary(v) = v mod n`.
    View, u64
);
number!(
    /// Position of a block in the chain; the genesis block is at 0.
    Height, u64
);
number!(
    /// Number of the membership; every replica's signature covers it.
    Epoch, u64
);
number!(
    /// Number of a request within its client session, chosen by the client.
    RequestNumber, u64
);

impl ReplicaId {
    /// The replica's position as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A point in time in nanoseconds. In blocks it is wall-clock time since 1970 as the primary
/// proposed it; inside a machine it is whatever clock its driver uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// This much later; stays at the greatest value.
    #[must_use]
    pub fn after(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
    /// This much earlier; stays at zero.
    #[must_use]
    pub fn before(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
    /// The time that passed since `earlier`, zero if it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Names a client session: the client's key, the time of its birth and a number that tells
/// sessions of one birth apart (rule R1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// The client's public key.
    pub client: crate::PublicKey,
    /// The agreed birth: the W-th smallest of the clocks that Q replicas told.
    pub birth: Time,
    /// Chosen by the client.
    pub nonce: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:x}", self.client, self.birth.0, self.nonce)
    }
}
