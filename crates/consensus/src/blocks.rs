//! The blocks that a replica holds: committed ones by height, the others by digest.

use quorate_types::certificate::SignedHeader;
use quorate_types::message::Justify;
use quorate_types::{Batch, Digest, Header, Height, Time, Verified};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::select::BlockId;

/// What is known of a block's batch.
#[derive(Clone, Debug)]
pub(crate) enum Contents {
    /// It has to be fetched.
    Missing,
    /// It is authentic and within the limits.
    Good(Arc<Verified<Batch>>),
    /// The primary signed a header for a batch that breaks a rule: nobody votes for it.
    Bad,
}

/// A block with a verified header.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) signed: Verified<SignedHeader>,
    pub(crate) digest: Digest,
    pub(crate) contents: Contents,
    /// The justification of an own proposal.
    pub(crate) justify: Justify,
    /// The number under which a record of it was appended to the log.
    pub(crate) logged: Option<u64>,
}

impl Block {
    pub(crate) fn header(&self) -> &Header {
        &self.signed.header
    }
    pub(crate) fn id(&self) -> BlockId {
        (self.header().height, self.digest)
    }
    /// What it counts for in memory: its batch, and a little for a block without one.
    fn bytes(&self) -> usize {
        BLOCK_OVERHEAD + self.batch().map_or(0, |batch| batch.raw().len())
    }
    pub(crate) fn batch(&self) -> Option<&Arc<Verified<Batch>>> {
        if let Contents::Good(batch) = &self.contents { Some(batch) } else { None }
    }
}

/// All blocks.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// The committed block on which the held ones stand; its header unless it is genesis.
    base: (BlockId, Option<Verified<SignedHeader>>),
    /// The committed blocks above the base, without gaps.
    committed: VecDeque<Block>,
    /// Bytes of the batches of committed blocks.
    committed_bytes: usize,
    pending: BTreeMap<Digest, Block>,
}

impl Blocks {
    pub(crate) const fn new(genesis: Digest) -> Self {
        Self {
            base: ((Height(0), genesis), None),
            committed: VecDeque::new(),
            committed_bytes: 0,
            pending: BTreeMap::new(),
        }
    }

    /// Starts again from a block that is known to be committed, with nothing above it.
    pub(crate) fn restart_on(&mut self, base: Verified<SignedHeader>) {
        let id = (base.header.height, base.header.digest());
        self.base = (id, Some(base));
        self.committed.clear();
        self.committed_bytes = 0;
        self.pending.retain(|_, block| block.header().height > id.0);
    }

    /// The block on which the held ones stand.
    pub(crate) const fn base(&self) -> BlockId {
        self.base.0
    }

    /// The header of a committed block that is held, or of the base.
    pub(crate) fn header_at(&self, height: Height) -> Option<Verified<SignedHeader>> {
        if height == self.base.0.0 {
            self.base.1
        } else {
            self.committed_at(height).map(|block| block.signed)
        }
    }

    /// The digest of a committed block that is held, or of the base.
    pub(crate) fn digest_at(&self, height: Height) -> Option<Digest> {
        let (base, digest) = self.base.0;
        if height == base { Some(digest) } else { self.committed_at(height).map(|block| block.digest) }
    }

    /// The highest committed block.
    pub(crate) fn tip(&self) -> BlockId {
        self.committed.back().map_or(self.base.0, Block::id)
    }

    /// The header of the highest committed block; `None` for genesis.
    pub(crate) fn tip_header(&self) -> Option<&Header> {
        match self.committed.back() {
            Some(block) => Some(block.header()),
            None => self.base.1.as_ref().map(|signed| &signed.header),
        }
    }

    /// The committed block at a height above the base.
    pub(crate) fn committed_at(&self, height: Height) -> Option<&Block> {
        let position = usize::try_from(height.0.checked_sub(self.base.0.0.0 + 1)?).ok()?;
        self.committed.get(position)
    }

    /// Drops committed blocks up to a height, but for the newest of them within so many bytes: laggards may ask
    /// for those.
    pub(crate) fn forget_to(&mut self, height: Height, history_bytes_max: usize) {
        while self.committed_bytes > history_bytes_max
            && self.committed.front().is_some_and(|block| block.header().height <= height)
            && let Some(block) = self.committed.pop_front()
        {
            self.committed_bytes -= block.bytes();
            self.base = (block.id(), Some(block.signed));
        }
    }

    /// Bytes of the committed blocks that are held.
    pub(crate) const fn committed_bytes(&self) -> usize {
        self.committed_bytes
    }

    /// The lowest number under which a block above this height was appended to the log.
    pub(crate) fn first_logged_above(&self, height: Height) -> Option<u64> {
        let all = self.committed.iter().chain(self.pending.values());
        all.filter(|block| block.header().height > height).filter_map(|block| block.logged).min()
    }

    pub(crate) fn get(&self, (height, digest): BlockId) -> Option<&Block> {
        self.pending.get(&digest).or_else(|| self.committed_at(height).filter(|block| block.digest == digest))
    }

    pub(crate) fn pending(&self, digest: &Digest) -> Option<&Block> {
        self.pending.get(digest)
    }

    pub(crate) fn pending_mut(&mut self, digest: &Digest) -> Option<&mut Block> {
        self.pending.get_mut(digest)
    }

    /// Whether the block is the base, committed or pending.
    pub(crate) fn is_known(&self, id: BlockId) -> bool {
        id == self.base.0 || self.get(id).is_some()
    }

    /// The agreed time of a block; zero for genesis.
    pub(crate) fn time_of(&self, id: BlockId) -> Option<Time> {
        if id == self.base.0 {
            return Some(self.base.1.as_ref().map_or(Time(0), |signed| signed.header.time));
        }
        self.get(id).map(|block| block.header().time)
    }

    /// Adds a header, or does nothing if the block is there already.
    pub(crate) fn insert(&mut self, signed: Verified<SignedHeader>, digest: Digest) {
        let height = signed.header.height;
        if height <= self.tip().0 {
            return;
        }
        let block =
            Block { signed, digest, contents: Contents::Missing, justify: Justify::None, logged: None };
        self.pending.entry(digest).or_insert(block);
    }

    /// Puts a batch to its block, unless it is there already.
    pub(crate) fn set_contents(&mut self, digest: &Digest, contents: Contents) {
        if let Some(block) = self.pending.get_mut(digest)
            && matches!(block.contents, Contents::Missing)
        {
            block.contents = contents;
        }
    }

    /// The blocks from above `from` up to `to`, in rising order, if all headers are held and lead
    /// there. `Err` names the first missing block on the way down, or is `None` if the way passes
    /// by `from`.
    pub(crate) fn path(&self, from: BlockId, to: BlockId) -> Result<Vec<&Block>, Option<BlockId>> {
        let mut path = Vec::new();
        let mut next = to;
        while next.0 > from.0 {
            let block = self.get(next).ok_or(Some(next))?;
            path.push(block);
            next = (Height(next.0.0 - 1), block.header().parent);
        }
        if next != from {
            return Err(None);
        }
        path.reverse();
        Ok(path)
    }

    /// Moves the child of the tip into the committed chain.
    pub(crate) fn commit(&mut self, digest: &Digest) {
        let tip = self.tip();
        let block = self.pending.remove(digest).expect("a block is held before it commits");
        assert_eq!(block.header().height, tip.0.next(), "blocks commit in height order");
        assert_eq!(block.header().parent, tip.1, "a committed block extends the tip");
        self.committed_bytes += block.bytes();
        self.committed.push_back(block);
    }

    /// Drops pending blocks that `keep` does not want.
    pub(crate) fn retain_pending(&mut self, mut keep: impl FnMut(&Block) -> bool) {
        self.pending.retain(|_, block| keep(block));
    }

    pub(crate) fn count(&self) -> usize {
        self.committed.len() + self.pending.len()
    }

    pub(crate) fn pending_count(&self) -> usize {
        self.pending.len()
    }
}

/// Bytes of a block besides its batch, about.
const BLOCK_OVERHEAD: usize = 512;
