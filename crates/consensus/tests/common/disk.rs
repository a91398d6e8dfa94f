//! A replica's snapshots in memory: what a driver does with states, as simply as it can be done.

use bytes::Bytes;
use quorate_consensus::{RecoveredSnapshot, SnapshotOrder};
use quorate_types::certificate::SignedHeader;
use quorate_types::state::{Content, ContentBuilder, Page};
use quorate_types::{ChunkId, Digest, Height, StateHead};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes per chunk: a digest as the application's state makes four chunks.
const CHUNK_BYTES: usize = 8;

/// Snapshots, and chunks that may be of a state that is being fetched.
#[derive(Clone, Default)]
pub struct Disk {
    pub snapshots: BTreeMap<Height, (SignedHeader, Arc<StateHead>)>,
    pub chunks: BTreeMap<Digest, Bytes>,
    pub gathering: Option<(Arc<StateHead>, SignedHeader)>,
}

impl Disk {
    pub fn put(&mut self, bytes: &[u8]) -> Content {
        let mut builder = ContentBuilder::default();
        for part in bytes.chunks(CHUNK_BYTES) {
            let id = ChunkId::of(part);
            self.chunks.insert(id.digest, Bytes::copy_from_slice(part));
            if let Some((page, bytes)) = builder.push(id).unwrap() {
                self.chunks.insert(page.digest, bytes);
            }
        }
        let (content, last) = builder.finish().unwrap();
        if let Some((page, bytes)) = last {
            self.chunks.insert(page.digest, bytes);
        }
        content
    }

    /// Takes a snapshot of an application whose state is a digest.
    pub fn take(&mut self, order: &SnapshotOrder, configuration: Digest, root: Digest) -> Arc<StateHead> {
        let mut sessions = Vec::new();
        order.sessions.write(&mut sessions).unwrap();
        let head = Arc::new(StateHead {
            configuration,
            height: order.header.header.height,
            result_root: order.result_root,
            sessions: self.put(&sessions),
            application: self.put(&root.0),
        });
        self.snapshots.insert(head.height, (order.header, Arc::clone(&head)));
        head
    }

    /// Drops the snapshots below a height, and every chunk that only they had.
    pub fn forget_below(&mut self, height: Height) {
        self.snapshots.retain(|kept, _| *kept >= height);
        let mut kept = std::collections::BTreeSet::new();
        let gathered = self.gathering.iter().map(|(head, _)| head);
        for page in
            self.snapshots.values().map(|(_, head)| head).chain(gathered).flat_map(|head| head.pages())
        {
            kept.insert(page.digest);
            if let Some(bytes) = self.chunks.get(&page.digest) {
                kept.extend(Page::decode(bytes).unwrap().0.iter().map(|chunk| chunk.digest));
            }
        }
        self.chunks.retain(|digest, _| kept.contains(digest));
    }

    pub fn look_into(&self, page: ChunkId) -> Option<Vec<ChunkId>> {
        let page = Page::decode(self.chunks.get(&page.digest)?).unwrap();
        Some(page.0.iter().filter(|chunk| !self.chunks.contains_key(&chunk.digest)).copied().collect())
    }

    /// The bytes of a content.
    pub fn read(&self, content: &Content) -> Vec<u8> {
        let pages = content.pages.iter().map(|page| Page::decode(&self.chunks[&page.digest]).unwrap());
        pages
            .flat_map(|page| page.0.into_vec())
            .flat_map(|chunk| self.chunks[&chunk.digest].to_vec())
            .collect()
    }

    /// The application's state in a snapshot.
    pub fn root(&self, head: &StateHead) -> Digest {
        Digest(self.read(&head.application).try_into().unwrap())
    }

    pub fn install(&mut self, head: &Arc<StateHead>) -> (Bytes, Digest) {
        let (gathered, header) = self.gathering.take().expect("it was begun");
        assert_eq!(&gathered, head);
        self.snapshots.insert(head.height, (header, gathered));
        (self.read(&head.sessions).into(), self.root(head))
    }

    /// The newest snapshot from `lowest` to `highest`.
    pub fn newest(&self, (lowest, highest): (Height, Height)) -> Option<RecoveredSnapshot> {
        let (_, (header, head)) = self.snapshots.range(lowest..=highest).next_back()?;
        let sessions = self.read(&head.sessions).into();
        Some(RecoveredSnapshot { header: *header, head: Arc::clone(head), sessions })
    }
}
