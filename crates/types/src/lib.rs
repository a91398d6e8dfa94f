//! What replicas and clients say to each other, how it is written down and how it is signed.
//!
//! Reading order: [`id`], [`quorum`], [`genesis`], [`statement`] (everything that gets signed),
//! [`batch`], [`certificate`], [`message`], [`evidence`], [`wire`] (canonical bytes), [`verify`]
//! (the only ways to an [`Authenticated`] or [`Verified`] value) and [`rejection`].

mod digest;
pub mod hex;
mod id;
mod key;

pub use digest::{ClusterId, Digest, DigestBuilder};
pub use id::{Epoch, Height, ReplicaId, RequestNumber, SessionId, Time, View};
pub use key::{KeyError, PublicKey, Scheme, SecretKey, Signature, VerifyKey};
