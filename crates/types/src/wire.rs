//! Canonical bytes: one value has one encoding, and what was received is what is hashed.
//!
//! The format is postcard, which does not enforce this by itself. So decoding also demands that
//! nothing is left over and that encoding again gives the same bytes. A [`Frame`] is a canonical
//! head and raw payload bytes, which are never copied or encoded again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Rejection;

/// Most bytes in a frame's head: a view-change certificate of the largest cluster fits.
pub const HEAD_BYTES_MAX: usize = 8 << 20;
/// Most bytes in a frame's payload: a batch of the largest allowed size fits.
pub const PAYLOAD_BYTES_MAX: usize = (8 << 20) + 4096;

/// A message as it travels: its canonical head and the payload that belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The canonical encoding of everything but the payload.
    pub head: Bytes,
    /// Raw bytes: a batch, or a client's bundle. Often empty.
    pub payload: Bytes,
}

/// The canonical encoding of a value.
#[must_use]
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    canonical_into(value, &mut bytes);
    bytes
}

/// Appends the canonical encoding of a value.
pub fn canonical_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    let taken = std::mem::take(bytes);
    *bytes = postcard::to_extend(value, taken).expect("our own types encode into memory");
}

/// Reads a value that fills `bytes` and is encoded canonically.
///
/// # Errors
/// [`Rejection::Truncated`], [`Rejection::TrailingBytes`], [`Rejection::NotCanonical`] or
/// [`Rejection::Malformed`].
pub fn from_canonical<'a, T: Serialize + Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Rejection> {
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).map_err(|error| match error {
        postcard::Error::DeserializeUnexpectedEnd => Rejection::Truncated,
        postcard::Error::DeserializeBadVarint => Rejection::NotCanonical,
        _ => Rejection::Malformed,
    })?;
    if !rest.is_empty() {
        return Err(Rejection::TrailingBytes);
    }
    postcard::serialize_with_flavor(&value, Compare { expected: bytes })
        .map_err(|_| Rejection::NotCanonical)?;
    Ok(value)
}

/// Compares while it encodes, so that the check allocates nothing.
struct Compare<'a> {
    expected: &'a [u8],
}

impl postcard::ser_flavors::Flavor for Compare<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        match self.expected.strip_prefix(bytes) {
            Some(rest) => {
                self.expected = rest;
                Ok(())
            }
            None => Err(postcard::Error::SerializeBufferFull),
        }
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.expected.is_empty() { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }
}
