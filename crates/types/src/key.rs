//! Keys and signatures: one verification rule everywhere, so that no two replicas can disagree.
//!
//! Ed25519 with `verify_strict`; keys of small order are refused when they are read. Behind the
//! feature `simulated` there is a second scheme that only costs a few nanoseconds; a genesis
//! names the scheme and a node refuses the simulated one.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::hex;

/// How a cluster signs. Genesis names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Ed25519, verified strictly.
    #[default]
    Ed25519,
    /// A keyed checksum without any security, for simulations.
    #[cfg(feature = "simulated")]
    Simulated,
}

/// A public key as it stands in genesis and in sessions. May be any 32 bytes: it is checked when
/// it is turned into a [`VerifyKey`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PublicKey(pub [u8; 32]);

/// A signature as it stands in messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

/// A key pair. Wiped when dropped; never printed or serialised by accident.
#[derive(Clone)]
pub struct SecretKey {
    scheme: Scheme,
    signing: SigningKey,
    public: PublicKey,
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not a point of the curve.
    #[error("these 32 bytes are not an Ed25519 public key")]
    NotAKey,
    /// The key has small order: signatures by it prove nothing.
    #[error("this Ed25519 public key is weak (small order) and is refused")]
    Weak,
}

impl SecretKey {
    /// An Ed25519 key pair from its 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self::with_scheme(Scheme::Ed25519, seed)
    }

    /// A key pair of the given scheme from 32 secret bytes.
    #[must_use]
    pub fn with_scheme(scheme: Scheme, seed: [u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(&seed);
        let public = match scheme {
            Scheme::Ed25519 => PublicKey(signing.verifying_key().to_bytes()),
            #[cfg(feature = "simulated")]
            Scheme::Simulated => simulated::public(&seed),
        };
        Self { scheme, signing, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs bytes. Deterministic: the same bytes give the same signature.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        match self.scheme {
            Scheme::Ed25519 => Signature(self.signing.sign(bytes).to_bytes()),
            #[cfg(feature = "simulated")]
            Scheme::Simulated => simulated::sign(&self.public, bytes),
        }
    }

    /// The 32 secret bytes, to be written into a key file.
    #[must_use]
    pub fn to_seed(&self) -> [u8; 32] {
        self.signing.to_bytes()
    }

    /// The Ed25519 pair, for the transport's handshake.
    #[must_use]
    pub const fn ed25519(&self) -> &SigningKey {
        &self.signing
    }
}

/// A public key that was checked and is ready to verify.
#[derive(Clone, Debug)]
pub enum VerifyKey {
    /// A checked Ed25519 key.
    Ed25519(Box<VerifyingKey>),
    /// A key of the simulated scheme.
    #[cfg(feature = "simulated")]
    Simulated(PublicKey),
}

impl VerifyKey {
    /// Checks a public key.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`] or [`KeyError::Weak`].
    pub fn new(scheme: Scheme, key: &PublicKey) -> Result<Self, KeyError> {
        match scheme {
            Scheme::Ed25519 => {
                let key = VerifyingKey::from_bytes(&key.0).map_err(|_| KeyError::NotAKey)?;
                if key.is_weak() {
                    return Err(KeyError::Weak);
                }
                Ok(Self::Ed25519(Box::new(key)))
            }
            #[cfg(feature = "simulated")]
            Scheme::Simulated => Ok(Self::Simulated(*key)),
        }
    }

    /// Whether `signature` is this key's strict signature on `bytes`.
    #[must_use]
    pub fn is_valid(&self, bytes: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
                key.verify_strict(bytes, &signature).is_ok()
            }
            #[cfg(feature = "simulated")]
            Self::Simulated(key) => simulated::sign(key, bytes) == *signature,
        }
    }
}

#[cfg(feature = "simulated")]
mod simulated {
    //! The scheme without security. `sign` is private to this file: an adversary gets at a
    //! signature only through a [`super::SecretKey`] that it was given.
    use super::{PublicKey, Signature};

    pub(super) fn public(seed: &[u8; 32]) -> PublicKey {
        PublicKey(crate::Digest::of_parts("quorate simulated key", &[seed]).0)
    }

    pub(super) fn sign(key: &PublicKey, bytes: &[u8]) -> Signature {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for chunk in key.0.chunks(8).chain(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            state =
                (state ^ u64::from_le_bytes(word) ^ chunk.len() as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
            state ^= state >> 32;
        }
        let mut signature = [0; 64];
        signature[..8].copy_from_slice(&state.to_le_bytes());
        Signature(signature)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public)
    }
}

impl fmt::Display for PublicKey {
    /// The first eight bytes, enough to tell keys apart in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..8]))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}..)", hex::encode(&self.0[..8]))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self)
    }
}
