//! How does a snapshot leave the cluster, so that anybody with the genesis can check it and a replica can begin with
//! it? As one file: the manifest with its certificate, then every page followed by its chunks.
//!
//! The head fixes the pages, the pages fix the chunks, so lengths and digests need not be repeated. There is nothing
//! of any replica in it: no keys, no votes. All is streamed, with a page and a chunk in memory at a time.

use quorate_types::state::{CHUNK_BYTES_MAX, Page};
use quorate_types::{ChunkId, Height, Membership, ProtocolParameters, Rejection, Unverified, Verifier};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use super::manifest::{Kind, fill};
use super::{Snapshot, SnapshotError, SnapshotStore, SnapshotWriter};

const BUFFER_BYTES: usize = 1 << 20;

impl SnapshotStore {
    /// Writes a stable snapshot to a file, which is durable when this returns, and removed if it could not be completed. The
    /// caller keeps the snapshot retained meanwhile.
    ///
    /// # Errors
    /// [`SnapshotError::NoSnapshot`], [`SnapshotError::NotStable`], [`SnapshotError::Exists`],
    /// [`SnapshotError::ChunkDamaged`], or the disk's.
    pub fn save(&self, height: Height, path: &Path) -> Result<(), SnapshotError> {
        let snapshot = self.at(height).ok_or(SnapshotError::NoSnapshot(height))?;
        if snapshot.certificate.is_none() {
            return Err(SnapshotError::NotStable(height));
        }
        let file = path.display().to_string();
        let created = File::create_new(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => SnapshotError::Exists { file: file.clone() },
            _ => SnapshotError::io(&file, "create", e),
        })?;
        let written = self.write_to(&snapshot, created, &file).and_then(|()| sync_name(path, &file));
        if written.is_err() {
            // An incomplete file is of no use; `verify` says so if it cannot be removed.
            let _ = std::fs::remove_file(path);
        }
        written
    }

    fn write_to(&self, snapshot: &Snapshot, created: File, file: &str) -> Result<(), SnapshotError> {
        let failed = |e| SnapshotError::io(file, "write", e);
        let mut to = BufWriter::with_capacity(BUFFER_BYTES, created);
        to.write_all(&snapshot.encode(Kind::Saved)).map_err(failed)?;
        for id in snapshot.head.pages() {
            to.write_all(&self.read(&id.digest)?).map_err(failed)?;
            for chunk in self.page(snapshot, id)?.0.iter() {
                to.write_all(&self.read(&chunk.digest)?).map_err(failed)?;
            }
        }
        let written = to.into_inner().map_err(|e| failed(e.into_error()))?;
        written.sync_all().map_err(|source| SnapshotError::SyncFailed { file: file.to_owned(), source })
    }
}

/// Checks a saved snapshot from end to end: the certificate's signatures, the header's, and every digest.
///
/// # Errors
/// What is wrong with it, by name.
pub fn verify(path: &Path, membership: &Arc<Membership>) -> Result<Snapshot, SnapshotError> {
    let mut saved = Saved::open(path, membership)?;
    saved.read_chunks(|_, _| Ok(()))?;
    Ok(saved.snapshot)
}

/// Puts a saved snapshot into a store, where it is visible and durable when this returns, or not at all. It is
/// checked on the way as by [`verify`].
///
/// # Errors
/// What is wrong with it, by name; [`SnapshotError::NotNewer`] unless it is above all that the store holds; the disk's.
pub fn restore(
    path: &Path,
    membership: &Arc<Membership>,
    store: &Arc<SnapshotStore>,
) -> Result<Arc<Snapshot>, SnapshotError> {
    let mut saved = Saved::open(path, membership)?;
    let found = saved.snapshot.height();
    if let Some(held) = store.latest().map(|latest| latest.height()).filter(|held| *held >= found) {
        return Err(SnapshotError::NotNewer { file: saved.file, found, held });
    }
    let mut writer = store.begin()?;
    saved.read_chunks(|chunk, bytes| writer.put(chunk, bytes).map(drop))?;
    writer.publish(saved.snapshot)
}

/// Checks a saved snapshot as [`verify`] does and puts its pages and chunks into a snapshot that is being written,
/// which may be of another cluster: what of them its head does not list goes with the next
/// [`SnapshotStore::retain`].
///
/// # Errors
/// What is wrong with it, by name; the disk's. The snapshot is then to be dropped.
pub fn read_into(
    path: &Path,
    membership: &Arc<Membership>,
    writer: &mut SnapshotWriter,
) -> Result<Snapshot, SnapshotError> {
    let mut saved = Saved::open(path, membership)?;
    saved.read_chunks(|chunk, bytes| writer.put(chunk, bytes).map(drop))?;
    Ok(saved.snapshot)
}

/// A file whose manifest was checked.
struct Saved {
    snapshot: Snapshot,
    file: String,
    from: BufReader<File>,
}

impl Saved {
    fn open(path: &Path, membership: &Arc<Membership>) -> Result<Self, SnapshotError> {
        let file = path.display().to_string();
        let opened = File::open(path).map_err(|e| SnapshotError::io(&file, "open", e))?;
        if opened.metadata().map_err(|e| SnapshotError::io(&file, "read", e))?.len() == 0 {
            return Err(SnapshotError::Empty { file });
        }
        let mut from = BufReader::with_capacity(BUFFER_BYTES, opened);
        let snapshot = Snapshot::read(Kind::Saved, &file, &mut from)?;
        snapshot.check(&membership.cluster(), &file)?;
        check_proof(&snapshot, membership, &file)?;
        Ok(Self { snapshot, file, from })
    }

    /// Gives every page and chunk to `take`, after its digest was checked.
    fn read_chunks(
        &mut self,
        mut take: impl FnMut(&ChunkId, &[u8]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let height = self.snapshot.height();
        let pages: Vec<ChunkId> = self.snapshot.head.pages().copied().collect();
        for id in &pages {
            let bytes = self.read_chunk(id)?;
            take(id, &bytes)?;
            let page = Page::decode(&bytes)
                .map_err(|_| SnapshotError::Contradiction { height, what: "a page is none" })?;
            for chunk in page.0.iter() {
                take(chunk, &self.read_chunk(chunk)?)?;
            }
        }
        match self.from.read(&mut [0]).map_err(|e| SnapshotError::io(&self.file, "read", e))? {
            0 => Ok(()),
            _ => Err(SnapshotError::TrailingBytes { file: self.file.clone() }),
        }
    }

    fn read_chunk(&mut self, id: &ChunkId) -> Result<Vec<u8>, SnapshotError> {
        let length = id.bytes as usize;
        if length > CHUNK_BYTES_MAX {
            return Err(SnapshotError::ChunkLength(length));
        }
        let mut bytes = vec![0; length];
        fill(&self.file, &mut self.from, &mut bytes)?;
        if ChunkId::of(&bytes) != *id {
            return Err(SnapshotError::ChunkDamaged { digest: id.digest, file: self.file.clone() });
        }
        Ok(bytes)
    }
}

/// Whether Q replicas signed this block and this root, and the primary the header.
fn check_proof(snapshot: &Snapshot, membership: &Arc<Membership>, file: &str) -> Result<(), SnapshotError> {
    let unproven = |why| SnapshotError::Unproven { file: file.to_owned(), why };
    let certificate = snapshot.certificate.clone().ok_or_else(|| unproven(Rejection::BadCertificate))?;
    let (found, expected) = (certificate.checkpoint.epoch, membership.epoch());
    if found != expected {
        return Err(SnapshotError::ForeignEpoch { file: file.to_owned(), found, expected });
    }
    let verifier = Verifier::new(membership.clone(), ProtocolParameters::default());
    verifier.check(Unverified::Checkpoint(certificate)).map_err(unproven)?;
    verifier.check(Unverified::Headers(vec![snapshot.header])).map_err(unproven)?;
    Ok(())
}

/// Makes the name of a file durable.
fn sync_name(path: &Path, file: &str) -> Result<(), SnapshotError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| SnapshotError::SyncFailed { file: file.to_owned(), source })
}
