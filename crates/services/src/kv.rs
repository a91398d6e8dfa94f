//! What does a replicated key-value store look like? Four commands over a [`CopyOnWriteMap`].

use bytes::Bytes;
use quorate::{Context, Frozen, RestoreError, Snapshot, StateMachine};
use serde::{Deserialize, Serialize};
use std::io::Read;

use crate::copy_on_write::CopyOnWriteMap;

/// Longest key.
pub const KEY_BYTES_MAX: usize = 4 << 10;
/// Longest value: with its key, it fits a reply.
pub const VALUE_BYTES_MAX: usize = 512 << 10;

/// A map from keys to values.
///
/// ```
/// use quorate_services::kv::{Command, KeyValue, Reply};
///
/// # fn main() -> Result<(), quorate::testkit::Divergence> {
/// let mut store = KeyValue::default();
/// assert_eq!(store.execute(Command::put("door", "open")), Reply::Done);
/// assert_eq!(store.execute(Command::get("door")), Reply::Value(Some("open".into())));
/// quorate::testkit::check_determinism(KeyValue::default, [Command::put("door", "open")])
/// # }
/// ```
#[derive(Debug, Default)]
pub struct KeyValue(CopyOnWriteMap);

/// What can be done, in the order of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a value.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Reads a value, after everything that was ordered before.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Compares and swaps: sets a value if the present one is as expected.
    Cas {
        /// The key.
        key: Bytes,
        /// What it must have; `None`: it must not exist.
        expected: Option<Bytes>,
        /// What it gets; `None` removes it.
        value: Option<Bytes>,
    },
}

impl Command {
    /// [`Command::Put`].
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into() }
    }
    /// [`Command::Get`].
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get { key: key.into() }
    }
    /// [`Command::Delete`].
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete { key: key.into() }
    }
    /// [`Command::Cas`].
    pub fn cas<B: Into<Bytes>>(key: impl Into<Bytes>, expected: Option<B>, value: Option<B>) -> Self {
        Self::Cas { key: key.into(), expected: expected.map(B::into), value: value.map(B::into) }
    }

    fn is_too_long(&self) -> bool {
        let (key, value) = match self {
            Self::Put { key, value } => (key, Some(value)),
            Self::Cas { key, value, .. } => (key, value.as_ref()),
            Self::Get { key } | Self::Delete { key } => (key, None),
        };
        key.len() > KEY_BYTES_MAX || value.is_some_and(|value| value.len() > VALUE_BYTES_MAX)
    }
}

/// What a command gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The value is set; from [`Command::Put`], and from [`Command::Cas`] where the present one was as expected.
    Done,
    /// What [`Command::Get`] found.
    Value(Option<Bytes>),
    /// Whether [`Command::Delete`] found something.
    Deleted(bool),
    /// [`Command::Cas`] changed nothing, because this is the present value.
    Differs(Option<Bytes>),
    /// Nothing changed: the key is longer than [`KEY_BYTES_MAX`] or the value than [`VALUE_BYTES_MAX`].
    TooLong,
}

/// What can be asked without being ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// A key's value.
    Get {
        /// The key.
        key: Bytes,
    },
    /// The number of keys.
    Len,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Query::Get`].
    Value(Option<Bytes>),
    /// To [`Query::Len`].
    Len(u64),
}

impl KeyValue {
    /// Executes a command.
    pub fn execute(&mut self, command: Command) -> Reply {
        if command.is_too_long() {
            return Reply::TooLong;
        }
        match command {
            Command::Put { key, value } => {
                self.0.insert(key, value);
                Reply::Done
            }
            Command::Get { key } => Reply::Value(self.0.get(&key).cloned()),
            Command::Delete { key } => Reply::Deleted(self.0.remove(&key).is_some()),
            Command::Cas { key, expected, value } => self.compare_and_swap(key, expected, value),
        }
    }

    fn compare_and_swap(&mut self, key: Bytes, expected: Option<Bytes>, value: Option<Bytes>) -> Reply {
        let present = self.0.get(&key);
        if present != expected.as_ref() {
            return Reply::Differs(present.cloned());
        }
        match value {
            Some(value) => self.0.insert(key, value),
            None => self.0.remove(&key),
        };
        Reply::Done
    }
}

impl StateMachine for KeyValue {
    type Command = Command;
    type Reply = Reply;
    type Query = Query;
    type Answer = Answer;

    fn apply(&mut self, command: Command, _: &Context) -> Reply {
        self.execute(command)
    }

    fn query(&self, query: Query) -> Answer {
        match query {
            Query::Get { key } => Answer::Value(self.0.get(&key).cloned()),
            Query::Len => Answer::Len(self.0.len()),
        }
    }
}

impl Snapshot for KeyValue {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        self.0.freeze()
    }

    fn restore(source: &mut dyn Read) -> Result<Self, RestoreError> {
        CopyOnWriteMap::restore(source).map(Self)
    }
}
