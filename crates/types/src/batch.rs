//! The requests of clients: signed in bundles, ordered in batches.
//!
//! A bundle is `body ++ signature`; the body is the canonical encoding of session and requests.
//! A batch is the list of its bundles, each behind its length as four bytes, little endian. Both
//! are kept as the bytes that were received; commands are slices of them.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limited::Limited;
use crate::{
    ClusterId, Digest, DigestBuilder, ProtocolParameters, Rejection, RequestNumber, SecretKey, SessionId,
};
use crate::{Signature, Statement};

/// Most requests under one signature.
pub const BUNDLE_REQUESTS_MAX: usize = 64;
/// Bytes that a bundle adds to its commands at most.
pub const BUNDLE_OVERHEAD_MAX: usize = 256 + BUNDLE_REQUESTS_MAX * 16;

const SIGNATURE_BYTES: usize = 64;
const LENGTH_BYTES: usize = 4;

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number within the session.
    pub number: RequestNumber,
    /// The command for the state machine, opaque here.
    pub command: Bytes,
}

/// Requests of one session under one signature (rule R1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    raw: Bytes,
    id: Digest,
    session: SessionId,
    requests: Vec<Request>,
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    session: SessionId,
    #[serde(borrow)]
    requests: Limited<(RequestNumber, Command<'a>), BUNDLE_REQUESTS_MAX>,
}

/// A command in a body. It is encoded in one piece; a plain slice would be encoded byte by byte.
struct Command<'a>(&'a [u8]);

impl Serialize for Command<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Command<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}

impl Bundle {
    /// Signs requests of one session.
    ///
    /// # Panics
    /// If there are none or more than [`BUNDLE_REQUESTS_MAX`]; the caller decides how many.
    #[must_use]
    pub fn sign(
        cluster: &ClusterId,
        key: &SecretKey,
        session: SessionId,
        requests: &[(RequestNumber, Bytes)],
    ) -> Self {
        assert!(!requests.is_empty(), "a bundle has a request");
        let listed = requests.iter().map(|(number, command)| (*number, Command(command))).collect();
        let body = Body { session, requests: Limited::new(listed).expect("a bundle is within its limit") };
        let mut raw = crate::wire::canonical(&body);
        let id = Digest::of_bytes(&raw);
        let signature = Statement::Bundle(id).sign(key, cluster);
        raw.extend_from_slice(&signature.0);
        let requests = requests
            .iter()
            .map(|(number, command)| Request { number: *number, command: command.clone() })
            .collect();
        Self { raw: raw.into(), id, session, requests }
    }

    /// Reads a bundle. Its signature is not checked here; see [`crate::Verifier`].
    ///
    /// # Errors
    /// A decoding error, or [`Rejection::Malformed`] if it has no request.
    pub fn parse(raw: Bytes) -> Result<Self, Rejection> {
        let split = raw.len().checked_sub(SIGNATURE_BYTES).ok_or(Rejection::Truncated)?;
        let body: Body<'_> = crate::wire::from_canonical(&raw[..split])?;
        if body.requests.is_empty() {
            return Err(Rejection::Malformed);
        }
        let requests = body
            .requests
            .iter()
            .map(|(number, command)| Request { number: *number, command: raw.slice_ref(command.0) })
            .collect();
        let (id, session) = (Digest::of_bytes(&raw[..split]), body.session);
        Ok(Self { id, session, requests, raw })
    }

    /// The bytes as they were signed and received.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }
    /// The digest of session and requests, which the client signed.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }
    /// The session of all its requests.
    #[must_use]
    pub const fn session(&self) -> &SessionId {
        &self.session
    }
    /// The requests.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }
    /// The client's signature.
    #[must_use]
    pub fn signature(&self) -> Signature {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&self.raw[self.raw.len() - SIGNATURE_BYTES..]);
        Signature(signature)
    }
    /// Bytes that the bundle takes in a batch.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.raw.len() + LENGTH_BYTES
    }
    /// Whether every command is within the limit.
    #[must_use]
    pub fn is_within(&self, parameters: &ProtocolParameters) -> bool {
        self.requests.iter().all(|request| request.command.len() <= parameters.command_bytes_max as usize)
            && self.batch_bytes() <= parameters.batch_bytes_max as usize
    }
}

/// The bundles of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    raw: Bytes,
    bundles: Vec<Bundle>,
}

impl Batch {
    /// Puts bundles together.
    #[must_use]
    pub fn new(bundles: Vec<Bundle>) -> Self {
        let mut raw = BytesMut::with_capacity(bundles.iter().map(Bundle::batch_bytes).sum());
        for bundle in &bundles {
            raw.put_u32_le(u32::try_from(bundle.raw.len()).expect("a bundle is far smaller than 4 GiB"));
            raw.put_slice(&bundle.raw);
        }
        Self { raw: raw.freeze(), bundles }
    }

    /// Reads a batch. Signatures are not checked here; see [`crate::Verifier`].
    ///
    /// # Errors
    /// A decoding error of the batch or of a bundle.
    pub fn parse(raw: Bytes) -> Result<Self, Rejection> {
        let mut bundles = Vec::new();
        let mut rest = raw.clone();
        while !rest.is_empty() {
            let length = rest.first_chunk::<LENGTH_BYTES>().ok_or(Rejection::Truncated)?;
            let end = LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
            if rest.len() < end {
                return Err(Rejection::Truncated);
            }
            bundles.push(Bundle::parse(rest.split_to(end).slice(LENGTH_BYTES..))?);
        }
        Ok(Self { raw, bundles })
    }

    /// The digest that stands in the block's header: over every bundle's digest and signature,
    /// so that each payload byte is hashed once.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digest = DigestBuilder::new("quorate batch");
        for bundle in &self.bundles {
            digest.part(&bundle.id.0);
            digest.part(&bundle.signature().0);
        }
        digest.finish()
    }

    /// The bytes as they were received.
    #[must_use]
    pub const fn raw(&self) -> &Bytes {
        &self.raw
    }
    /// The bundles in their order of execution.
    #[must_use]
    pub fn bundles(&self) -> &[Bundle] {
        &self.bundles
    }
    /// Whether there is nothing to execute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }
}
