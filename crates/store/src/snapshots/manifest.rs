//! What is a snapshot besides its chunks, and how does that lie in a file?
//!
//! Magic, format, length, the canonical encoding of head, header and certificate, and a digest of it all. The
//! files of visible snapshots, of a transfer's target and of saved snapshots begin like this.

use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::wire::{canonical, from_canonical};
use quorate_types::{ClusterId, Digest, Height, StateHead};
use std::io::Read;
use std::sync::Arc;

use super::SnapshotError;
use super::pack::le_u32;

/// A state at a height, with what proves it. Its chunks are read from the store by their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the state consists of.
    pub head: StateHead,
    /// The block after which the state is.
    pub header: SignedHeader,
    /// Q signatures on block and root, once the checkpoint is stable.
    pub certificate: Option<Arc<CheckpointCertificate>>,
}

/// What a file is that begins with a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A visible snapshot.
    Snapshot,
    /// The target of a transfer.
    Transfer,
    /// A saved snapshot, in which all chunks follow.
    Saved,
}

/// Longest manifest: two contents with all pages they may have, and the largest cluster's signatures.
pub(super) const MANIFEST_BYTES_MAX: u64 = 4 << 20;

const FORMAT: u32 = 1;
const PREFIX_BYTES: usize = 16;
const DOMAIN: &str = "quorate snapshot file";

impl Snapshot {
    /// The height of the block after which the state is.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.head.height
    }

    /// Checks that head, header and certificate are about one block and one state of this cluster.
    pub(super) fn check(&self, cluster: &ClusterId, file: &str) -> Result<(), SnapshotError> {
        for found in [self.head.configuration, self.header.header.cluster] {
            if found != *cluster {
                return Err(SnapshotError::ForeignCluster {
                    file: file.to_owned(),
                    found,
                    expected: *cluster,
                });
            }
        }
        let contradiction = |what| Err(SnapshotError::Contradiction { height: self.height(), what });
        if self.header.header.height != self.head.height {
            return contradiction("its header is of another height");
        }
        match &self.certificate {
            None => Ok(()),
            Some(certificate) => match self.mismatch(certificate) {
                None => Ok(()),
                Some(what) => contradiction(what),
            },
        }
    }

    /// In what the certificate is about something else.
    pub(super) fn mismatch(&self, certificate: &CheckpointCertificate) -> Option<&'static str> {
        let checkpoint = &certificate.checkpoint;
        if checkpoint.height != self.head.height {
            Some("its certificate is for another height")
        } else if checkpoint.epoch != self.header.header.epoch {
            Some("its certificate is of another epoch than its header")
        } else if checkpoint.block != self.header.header.digest() {
            Some("its certificate is for another block")
        } else if checkpoint.state_root != self.head.root() {
            Some("its certificate is for another state")
        } else {
            None
        }
    }

    pub(super) fn encode(&self, kind: Kind) -> Vec<u8> {
        let body = canonical(&(&self.head, &self.header, &self.certificate));
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + body.len() + 32);
        bytes.extend_from_slice(kind.magic());
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&body);
        let digest = Digest::of_parts(DOMAIN, &[&bytes]);
        bytes.extend_from_slice(&digest.0);
        bytes
    }

    /// Reads a manifest from a file's beginning.
    pub(super) fn read(kind: Kind, file: &str, from: &mut impl Read) -> Result<Self, SnapshotError> {
        let mut bytes = vec![0; PREFIX_BYTES];
        fill(file, from, &mut bytes)?;
        if bytes[..8] != *kind.magic() {
            return Err(SnapshotError::NotThis { file: file.to_owned(), expected: kind.noun() });
        }
        match le_u32(&bytes[8..12]) {
            FORMAT => {}
            version => return Err(SnapshotError::FutureFormat { file: file.to_owned(), version }),
        }
        let length = u64::from(le_u32(&bytes[12..16]));
        if length > MANIFEST_BYTES_MAX {
            return Err(SnapshotError::damaged(file, "its head is too long"));
        }
        let end = PREFIX_BYTES + length as usize;
        bytes.resize(end + 32, 0);
        fill(file, from, &mut bytes[PREFIX_BYTES..])?;
        if Digest::of_parts(DOMAIN, &[&bytes[..end]]).0 != bytes[end..] {
            return Err(SnapshotError::damaged(file, "its head is altered"));
        }
        let (head, header, certificate) = from_canonical(&bytes[PREFIX_BYTES..end])
            .map_err(|_| SnapshotError::damaged(file, "its head is not one"))?;
        Ok(Self { head, header, certificate })
    }

    /// Reads a file that is a manifest and nothing else.
    pub(super) fn decode(kind: Kind, file: &str, mut bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.is_empty() {
            return Err(SnapshotError::Empty { file: file.to_owned() });
        }
        let snapshot = Self::read(kind, file, &mut bytes)?;
        if bytes.is_empty() {
            Ok(snapshot)
        } else {
            Err(SnapshotError::TrailingBytes { file: file.to_owned() })
        }
    }
}

impl Kind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Snapshot => b"QRTSNAP\n",
            Self::Transfer => b"QRTXFER\n",
            Self::Saved => b"QRTSAVE\n",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot of a data directory",
            Self::Transfer => "transfer's target",
            Self::Saved => "saved snapshot",
        }
    }
}

/// The name of a visible snapshot's file.
pub(super) fn name(height: Height) -> String {
    format!("snapshot-{:016x}", height.0)
}

/// The height of a visible snapshot by its file's name.
pub(super) fn height(name: &str) -> Option<Height> {
    let digits = name.strip_prefix("snapshot-")?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(digits, 16).ok().map(Height))?
}

/// Reads exactly as many bytes as there is room for.
pub(super) fn fill(file: &str, from: &mut impl Read, bytes: &mut [u8]) -> Result<(), SnapshotError> {
    from.read_exact(bytes).map_err(|e| SnapshotError::io(file, "read", e))
}
