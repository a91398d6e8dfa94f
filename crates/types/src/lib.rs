//! What replicas and clients say to each other, how it is written down and how it is signed.
//!
//! Reading order: [`quorum`], [`statement`] (everything that gets signed), the batch of clients'
//! requests, [`certificate`], [`message`], evidence, [`wire`] (canonical bytes), [`verify`]
//! (the only ways to an [`Authenticated`] or [`Verified`] value) and [`Rejection`].

mod digest;
pub mod hex;
mod id;
mod key;
pub mod limited;
pub mod quorum;

mod genesis;
pub mod statement;

mod batch;
pub mod certificate;
mod evidence;
pub mod message;

mod rejection;
pub mod state;
pub mod verify;
pub mod wire;

pub use batch::{BUNDLE_OVERHEAD_MAX, BUNDLE_REQUESTS_MAX, Batch, Bundle, Request};
pub use digest::{ClusterId, Digest, DigestBuilder};
pub use evidence::{Evidence, EvidenceError, EvidenceFile};
pub use genesis::{Genesis, GenesisError, Member, Membership, ProtocolParameters, Start};
pub use id::{Epoch, Height, ReplicaId, RequestNumber, SessionId, Time, View};
pub use key::{KeyError, PublicKey, Scheme, SecretKey, Signature, VerifyKey};
pub use quorum::Quorums;
pub use rejection::Rejection;
pub use state::{ChunkId, StateHead};
pub use statement::{CheckpointStatement, Header, Statement, VoteStatement};
pub use verify::{Authenticated, Checked, Justification, Unverified, Verified, Verifier};
pub use wire::Frame;
