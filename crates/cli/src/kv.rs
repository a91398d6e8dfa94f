//! Which service do the program's replicas run? A small key-value store, until the bundled services have theirs.

use bytes::Bytes;
use quorate::prelude::*;
use std::collections::BTreeMap;

/// A map from keys to values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeyValue(BTreeMap<Bytes, Bytes>);

/// What can be done, in the order of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Sets a value.
    Put { key: Bytes, value: Bytes },
    /// Reads a value, after everything that was ordered before.
    Get { key: Bytes },
    /// Removes a key.
    Delete { key: Bytes },
    /// Sets or removes a value if the present one is as expected.
    Cas { key: Bytes, expected: Option<Bytes>, value: Option<Bytes> },
}

/// What a command gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The value is set.
    Done,
    /// What `Get` found.
    Value(Option<Bytes>),
    /// Whether `Delete` found something.
    Deleted(bool),
    /// `Cas` changed nothing, because this is the present value.
    Differs(Option<Bytes>),
    /// Nothing changed: key or value are too long.
    TooLong,
}

impl StateMachine for KeyValue {
    type Command = Command;
    type Reply = Reply;
    type Query = Bytes;
    type Answer = Option<Bytes>;

    fn apply(&mut self, command: Command, _: &Context) -> Reply {
        match command {
            Command::Put { value, .. } if value.len() > VALUE_BYTES_MAX => Reply::TooLong,
            Command::Put { key, value } => {
                self.0.insert(key, value);
                Reply::Done
            }
            Command::Get { key } => Reply::Value(self.0.get(&key).cloned()),
            Command::Delete { key } => Reply::Deleted(self.0.remove(&key).is_some()),
            Command::Cas { key, expected, value } if self.0.get(&key) == expected.as_ref() => {
                match value {
                    Some(value) => self.0.insert(key, value),
                    None => self.0.remove(&key),
                };
                Reply::Done
            }
            Command::Cas { key, .. } => Reply::Differs(self.0.get(&key).cloned()),
        }
    }

    fn query(&self, key: Bytes) -> Option<Bytes> {
        self.0.get(&key).cloned()
    }
}

/// Longest value.
const VALUE_BYTES_MAX: usize = 512 << 10;
