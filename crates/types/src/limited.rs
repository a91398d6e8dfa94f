//! A list with a limit that is checked before anything is allocated.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// A list of at most `MAX` elements.
///
/// Elements must cost bytes, since otherwise a few bytes could announce any number of them. A list
/// of elements without size does not compile:
/// ```compile_fail,E0080
/// use quorate_types::{limited::Limited, wire::from_canonical};
/// let _ = from_canonical::<Limited<(), 4>>(&[4]);
/// ```
/// ```
/// use quorate_types::{limited::Limited, wire::from_canonical};
/// assert!(from_canonical::<Limited<u8, 4>>(&[1, 7]).is_ok());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Limited<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Limited<T, MAX> {
    /// Wraps a list; `None` if it is longer than `MAX`.
    #[must_use]
    pub fn new(items: Vec<T>) -> Option<Self> {
        (items.len() <= MAX).then_some(Self(items))
    }
    /// The first `MAX` elements of an iterator.
    #[must_use]
    pub fn take(items: impl IntoIterator<Item = T>) -> Self {
        Self(items.into_iter().take(MAX).collect())
    }
    /// The list.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for Limited<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> std::ops::Deref for Limited<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for Limited<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for Limited<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Limited<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const { assert!(size_of::<T>() > 0, "a zero-sized element costs no bytes, so nothing bounds its count") };
        deserializer.deserialize_seq(LimitedVisitor::<T, MAX>(PhantomData)).map(Self)
    }
}

struct LimitedVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for LimitedVisitor<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let announced = seq.size_hint().unwrap_or(0);
        if announced > MAX {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let mut items = Vec::with_capacity(announced);
        while let Some(item) = seq.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// Bytes of at most [`crate::message::REPLY_BYTES_MAX`], for `#[serde(with)]`.
pub(crate) mod reply_bytes {
    use super::{Deserializer, SeqAccess, Serializer, Visitor, fmt};
    use crate::message::REPLY_BYTES_MAX;
    use serde::de::Error;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }

    struct BytesVisitor;

    impl<'de> Visitor<'de> for BytesVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {REPLY_BYTES_MAX} bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            if bytes.len() > REPLY_BYTES_MAX {
                return Err(E::invalid_length(bytes.len(), &self));
            }
            Ok(bytes.to_vec())
        }

        /// Readable formats write bytes as a list of numbers.
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = seq.next_element()? {
                if bytes.len() == REPLY_BYTES_MAX {
                    return Err(A::Error::invalid_length(REPLY_BYTES_MAX + 1, &self));
                }
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}
