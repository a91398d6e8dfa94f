//! Which service is measured? One that does nothing but take bytes, so that the figures are those of
//! replication.

use quorate::prelude::*;
use serde::de::Visitor;
use serde::{Deserializer, Serializer};
use std::fmt;
use std::sync::Arc;

/// Counts the commands and bytes that it took.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Echo {
    commands: u64,
    bytes: u64,
}

impl StateMachine for Echo {
    type Command = Payload;
    /// How many commands were taken before.
    type Reply = u64;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, payload: Payload, _: &Context) -> u64 {
        self.bytes += payload.0.len() as u64;
        self.commands += 1;
        self.commands - 1
    }

    fn query(&self, (): ()) -> u64 {
        self.commands
    }
}

/// Bytes that mean nothing. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Payload(Arc<[u8]>);

impl Payload {
    pub(crate) fn new(size: usize) -> Self {
        Self(std::iter::repeat_n(0xa5, size).collect())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // In one piece; a slice would go byte by byte.
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload(bytes.into()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// Most bytes by which the encoding of a payload is longer than its size: the length comes first.
pub(crate) const OVERHEAD_MAX: u32 = 5;
