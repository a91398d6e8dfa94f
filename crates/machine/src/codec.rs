//! How do commands, replies, queries and answers become bytes? One value, one encoding.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value has no bytes, or bytes no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The encoding is longer than the limit.
    #[error("the encoded value is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The type cannot be encoded, as a sequence whose length is not known beforehand.
    #[error("the value cannot be encoded: {0}")]
    NotEncodable(String),
    /// The bytes are not the canonical encoding of a value of this type.
    #[error("the bytes are no canonical encoding of this type: {0}")]
    NotCanonical(String),
}

/// The canonical encoding of a value, at most `bytes_max` long. Never holds more than that in memory.
///
/// # Errors
/// [`CodecError::TooLarge`] or [`CodecError::NotEncodable`].
pub fn encode<T: Serialize>(value: &T, bytes_max: usize) -> Result<Vec<u8>, CodecError> {
    let sink = Bounded { bytes: Vec::with_capacity(64.min(bytes_max)), bytes_max };
    match postcard::serialize_with_flavor(value, sink) {
        Ok(bytes) => Ok(bytes),
        Err(postcard::Error::SerializeBufferFull) => Err(CodecError::TooLarge { limit: bytes_max }),
        Err(error) => Err(CodecError::NotEncodable(error.to_string())),
    }
}

/// The value whose canonical encoding `bytes` is.
///
/// # Errors
/// [`CodecError::NotCanonical`] if the bytes end too soon, if some are left over, or if the value
/// is encoded in other bytes.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    quorate_types::wire::from_canonical(bytes)
        .map_err(|rejection| CodecError::NotCanonical(rejection.name().to_owned()))
}

/// Collects bytes up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl postcard::ser_flavors::Flavor for Bounded {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_value_comes_back_as_it_went() {
        let value = (7_u64, "seven".to_owned(), Some(vec![1_u16, 700]));
        let bytes = encode(&value, 100).expect("short");
        assert_eq!(decode::<(u64, String, Option<Vec<u16>>)>(&bytes).expect("canonical"), value);
    }

    #[test]
    fn other_bytes_than_the_one_encoding_are_refused() {
        for bytes in [&[0x85_u8][..], &[0x05, 0x00], &[0x85, 0x00], &[]] {
            assert!(matches!(decode::<u64>(bytes), Err(CodecError::NotCanonical(_))), "{bytes:?}");
        }
        let unsorted: Vec<(u8, u8)> = vec![(2, 0), (1, 0)];
        let bytes = encode(&unsorted, 100).expect("short");
        assert!(decode::<BTreeMap<u8, u8>>(&bytes).is_err(), "a map has one order");
    }

    #[test]
    fn the_limit_is_the_last_length_that_fits() {
        assert_eq!(encode(&vec![0_u8; 9], 10).expect("fits").len(), 10);
        assert_eq!(encode(&vec![0_u8; 10], 10), Err(CodecError::TooLarge { limit: 10 }));
        assert_eq!(encode(&(), 0).expect("no bytes").len(), 0);
    }
}
