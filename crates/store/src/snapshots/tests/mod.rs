//! Does the snapshot store keep its promises? Scenarios on real files, and on a disk that crashes anywhere.

mod visible;

mod incoming;

mod space;

mod damage;

mod saving;

mod crash;

mod model;

mod disk;

use bytes::Bytes;
use quorate_types::certificate::{CheckpointCertificate, Signatures, SignedHeader};
use quorate_types::state::{Content, ContentBuilder, Page};
use quorate_types::{
    CheckpointStatement, ChunkId, Digest, Epoch, Genesis, Header, Height, Member, Membership,
    ProtocolParameters, Scheme, SecretKey, StateHead, Statement, Time, View,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::files::{Disk, Files};
use super::{Snapshot, SnapshotError, SnapshotStore, opening};

/// Four replicas whose keys are known.
pub(super) struct Cluster {
    pub(super) membership: Arc<Membership>,
    keys: Vec<SecretKey>,
}

impl Cluster {
    pub(super) fn new(name: &str) -> Self {
        let keys: Vec<_> = (1..=4).map(|id| SecretKey::from_seed([id; 32])).collect();
        let member = |key: &SecretKey| Member { key: key.public(), organisation: "acme".into() };
        let genesis = Genesis {
            name: name.into(),
            test: true,
            scheme: Scheme::Ed25519,
            replicas: keys.iter().map(member).collect(),
            protocol: ProtocolParameters::default(),
            app_version: 1,
            start: None,
        };
        Self { membership: Arc::new(genesis.membership().expect("a genesis in order")), keys }
    }

    pub(super) fn header(&self, height: u64) -> SignedHeader {
        let view = View(height % 7);
        let header = Header {
            cluster: self.membership.cluster(),
            epoch: Epoch(0),
            view,
            height: Height(height),
            parent: Digest::of_bytes(&height.to_le_bytes()),
            batch: Digest::default(),
            time: Time(height),
        };
        SignedHeader::sign(header, &self.keys[self.membership.primary(view).index()])
    }

    pub(super) fn certificate(&self, head: &StateHead, epoch: u64) -> Arc<CheckpointCertificate> {
        let checkpoint = CheckpointStatement {
            epoch: Epoch(epoch),
            height: head.height,
            block: self.header(head.height.0).header.digest(),
            state_root: head.root(),
        };
        let sign = |key| Statement::Checkpoint(checkpoint).sign(key, &self.membership.cluster());
        let signatures = self.membership.replicas().zip(self.keys.iter().map(sign)).take(3);
        Arc::new(CheckpointCertificate { checkpoint, signatures: Signatures::take(signatures) })
    }

    pub(super) fn open(&self, files: Box<dyn Files>) -> Result<Arc<SnapshotStore>, SnapshotError> {
        opening::open(Disk::new(files, false), self.membership.cluster())
    }
}

/// A state and all that is below its head.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) head: StateHead,
    pub(super) pages: Vec<(ChunkId, Bytes)>,
    pub(super) chunks: Vec<(ChunkId, Bytes)>,
}

impl State {
    /// The first chunk is the session table.
    pub(super) fn new(cluster: &Cluster, height: u64, chunks: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let chunks: Vec<_> = chunks.into_iter().map(|bytes| (ChunkId::of(&bytes), bytes.into())).collect();
        let (sessions, mut pages) = content(&chunks[..chunks.len().min(1)]);
        let (application, more) = content(chunks.get(1..).unwrap_or_default());
        pages.extend(more);
        let configuration = cluster.membership.cluster();
        let head = StateHead {
            configuration,
            height: Height(height),
            result_root: Digest::default(),
            sessions,
            application,
        };
        Self { head, pages, chunks }
    }

    /// `count` chunks of 100 bytes; chunk i is of generation `generation(i)`.
    pub(super) fn numbered(
        cluster: &Cluster,
        height: u64,
        count: u64,
        generation: impl Fn(u64) -> u64,
    ) -> Self {
        Self::new(cluster, height, (0..count).map(|number| chunk(number, generation(number), 100)))
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &(ChunkId, Bytes)> {
        self.pages.iter().chain(&self.chunks)
    }

    /// Writes what is not held and tells how many bytes that was.
    pub(super) fn put(&self, writer: &mut super::SnapshotWriter) -> Result<u64, SnapshotError> {
        let mut written = 0;
        for (id, bytes) in self.parts() {
            if !writer.has(&id.digest) && writer.put(id, bytes)? {
                written += bytes.len() as u64;
            }
        }
        Ok(written)
    }

    pub(super) fn write(&self, cluster: &Cluster, store: &Arc<SnapshotStore>) -> Result<u64, SnapshotError> {
        let mut writer = store.begin()?;
        let written = self.put(&mut writer)?;
        writer.finish(self.head.clone(), cluster.header(self.head.height.0))?;
        Ok(written)
    }

    /// Transfers it in order.
    pub(super) fn install(
        &self,
        cluster: &Cluster,
        store: &Arc<SnapshotStore>,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let header = cluster.header(self.head.height.0);
        let certificate = cluster.certificate(&self.head, 0);
        let mut transfer = store.begin_transfer(self.head.clone(), header, Some(certificate))?;
        for (id, bytes) in self.parts() {
            transfer.store(id, bytes)?;
        }
        transfer.install()
    }

    pub(super) fn assert_held_by(&self, store: &SnapshotStore) {
        let snapshot = store.at(self.head.height).expect("the snapshot is visible");
        assert_eq!(snapshot.head, self.head);
        self.parts().for_each(|(id, bytes)| assert_eq!(store.read(&id.digest).expect("it is held"), bytes));
        store.check(&snapshot).expect("it is complete");
    }
}

fn content(chunks: &[(ChunkId, Bytes)]) -> (Content, Vec<(ChunkId, Bytes)>) {
    let mut builder = ContentBuilder::default();
    let mut pages = Vec::new();
    chunks.iter().for_each(|(id, _)| pages.extend(builder.push(*id).expect("few chunks")));
    let (content, last) = builder.finish().expect("few chunks");
    pages.extend(last);
    pages.iter().for_each(|(_, bytes)| assert!(Page::decode(bytes).is_ok()));
    (content, pages)
}

/// Bytes that depend on the arguments.
pub(super) fn chunk(number: u64, generation: u64, bytes: usize) -> Vec<u8> {
    let mut random = disk::Random(number << 32 ^ generation);
    let words = (0..bytes.div_ceil(8)).flat_map(|_| random.below(u64::MAX).to_le_bytes());
    words.take(bytes).collect()
}

/// A directory of the system's that goes away with this.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quorate-snapshots-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }

    pub(super) fn open(&self, cluster: &Cluster) -> Result<Arc<SnapshotStore>, SnapshotError> {
        SnapshotStore::open(&self.snapshots(), cluster.membership.cluster())
    }

    /// The files of the store whose names begin like this.
    pub(super) fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.snapshots()).expect("the store's directory");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn heights(of: &[u64]) -> Vec<Height> {
    of.iter().copied().map(Height).collect()
}
