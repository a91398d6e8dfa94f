//! The blocks that a replica holds: committed ones by height, the others by digest.

use quorate_types::certificate::SignedHeader;
use quorate_types::message::Justify;
use quorate_types::{Batch, Digest, Header, Height, Time, Verified};
use std::collections::BTreeMap;
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
    /// Whether a record of it was appended to the log.
    pub(crate) is_logged: bool,
}

impl Block {
    pub(crate) fn header(&self) -> &Header {
        &self.signed.header
    }
    pub(crate) fn id(&self) -> BlockId {
        (self.header().height, self.digest)
    }
    pub(crate) fn batch(&self) -> Option<&Arc<Verified<Batch>>> {
        if let Contents::Good(batch) = &self.contents { Some(batch) } else { None }
    }
}

/// All blocks.
#[derive(Debug)]
pub(crate) struct Blocks {
    genesis: Digest,
    /// The committed block of height h at position h - 1.
    committed: Vec<Block>,
    pending: BTreeMap<Digest, Block>,
}

impl Blocks {
    pub(crate) const fn new(genesis: Digest) -> Self {
        Self { genesis, committed: Vec::new(), pending: BTreeMap::new() }
    }

    /// The highest committed block.
    pub(crate) fn tip(&self) -> BlockId {
        self.committed.last().map_or((Height(0), self.genesis), Block::id)
    }

    /// The committed block at a height above genesis.
    pub(crate) fn committed_at(&self, height: Height) -> Option<&Block> {
        let position = usize::try_from(height.0.checked_sub(1)?).ok()?;
        self.committed.get(position)
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

    /// Whether the block is genesis, committed or pending.
    pub(crate) fn is_known(&self, id: BlockId) -> bool {
        id == (Height(0), self.genesis) || self.get(id).is_some()
    }

    /// The agreed time of a block; zero for genesis.
    pub(crate) fn time_of(&self, id: BlockId) -> Option<Time> {
        if id == (Height(0), self.genesis) {
            return Some(Time(0));
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
            Block { signed, digest, contents: Contents::Missing, justify: Justify::None, is_logged: false };
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
        self.committed.push(block);
    }

    /// Drops pending blocks that `keep` does not want.
    pub(crate) fn retain_pending(&mut self, mut keep: impl FnMut(&Block) -> bool) {
        self.pending.retain(|_, block| keep(block));
    }

    pub(crate) fn pending_count(&self) -> usize {
        self.pending.len()
    }
}
