//! Where does a simulated replica keep its states? In memory, in the form in which they travel: chunks under
//! one root.

use bytes::Bytes;
use quorate_consensus::{RecoveredSnapshot, SnapshotOrder};
use quorate_types::certificate::SignedHeader;
use quorate_types::state::{Content, ContentBuilder, Page};
use quorate_types::{ChunkId, ClusterId, Digest, Height, StateHead};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes per chunk: so few that even a small state has several.
const CHUNK_BYTES: usize = 16;

/// A replica's snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    durable: BTreeMap<Height, (SignedHeader, Arc<StateHead>)>,
    chunks: BTreeMap<Digest, Bytes>,
    /// The state that is being gathered.
    gathered: Option<(Arc<StateHead>, SignedHeader)>,
}

impl Snapshots {
    /// Writes a state; it is a snapshot once [`Self::become_durable`] is called.
    pub(crate) fn write(
        &mut self,
        order: &SnapshotOrder,
        configuration: ClusterId,
        application: &[u8],
    ) -> StateHead {
        let mut sessions = Vec::new();
        order.sessions.write(&mut sessions).expect("memory takes it");
        StateHead {
            configuration,
            height: order.header.header.height,
            result_root: order.result_root,
            sessions: self.cut(&sessions),
            application: self.cut(application),
        }
    }

    fn cut(&mut self, bytes: &[u8]) -> Content {
        let mut builder = ContentBuilder::default();
        for part in bytes.chunks(CHUNK_BYTES) {
            let id = ChunkId::of(part);
            self.chunks.entry(id.digest).or_insert_with(|| Bytes::copy_from_slice(part));
            let page = builder.push(id).expect("a simulated state is small");
            self.chunks.extend(page.map(|(id, bytes)| (id.digest, bytes)));
        }
        let (content, last) = builder.finish().expect("a simulated state is small");
        self.chunks.extend(last.map(|(id, bytes)| (id.digest, bytes)));
        content
    }

    /// A snapshot that was written is there after a crash from now on.
    pub(crate) fn become_durable(&mut self, header: SignedHeader, head: &Arc<StateHead>) {
        self.durable.insert(head.height, (header, Arc::clone(head)));
    }

    pub(crate) fn begin(&mut self, head: Arc<StateHead>, header: SignedHeader) {
        self.gathered = Some((head, header));
    }

    /// The chunks of a page that are not there; `None` if the page itself is not.
    pub(crate) fn look_into(&self, page: &ChunkId) -> Option<Vec<ChunkId>> {
        let page = Page::decode(self.chunks.get(&page.digest)?).ok()?;
        Some(page.0.iter().filter(|chunk| !self.chunks.contains_key(&chunk.digest)).copied().collect())
    }

    pub(crate) fn store(&mut self, chunk: &ChunkId, bytes: Bytes) {
        self.chunks.insert(chunk.digest, bytes);
    }

    pub(crate) fn chunk(&self, digest: &Digest) -> Option<Bytes> {
        self.chunks.get(digest).cloned()
    }

    /// The state that was gathered becomes a snapshot: its application's and its session table's bytes, unless a
    /// chunk is missing.
    pub(crate) fn install(&mut self, head: &Arc<StateHead>) -> Option<(Vec<u8>, Vec<u8>)> {
        let (gathered, header) = self.gathered.take()?;
        let contents = (self.read(&gathered.application)?, self.read(&gathered.sessions)?);
        self.become_durable(header, head);
        Some(contents)
    }

    /// The newest snapshot between two heights, with its application's bytes.
    pub(crate) fn newest(&self, (lowest, highest): (Height, Height)) -> Option<(RecoveredSnapshot, Vec<u8>)> {
        let (_, (header, head)) = self.durable.range(lowest..=highest).next_back()?;
        let sessions = self.read(&head.sessions)?.into();
        let application = self.read(&head.application)?;
        Some((RecoveredSnapshot { header: *header, head: Arc::clone(head), sessions }, application))
    }

    fn read(&self, content: &Content) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for page in content.pages.iter() {
            for chunk in Page::decode(self.chunks.get(&page.digest)?).ok()?.0.iter() {
                bytes.extend_from_slice(self.chunks.get(&chunk.digest)?);
            }
        }
        Some(bytes)
    }

    /// Drops the snapshots below a height, and every chunk that only they had.
    pub(crate) fn forget_below(&mut self, height: Height) {
        self.durable.retain(|kept, _| *kept >= height);
    }
}
