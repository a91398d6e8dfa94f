//! Which blocks were ever shown to anyone, and how do they hang together? The oracle's own tree,
//! to which blocks and votes are only ever added.

use quorate_types::certificate::ViewChangeCertificate;
use quorate_types::{Digest, Header, Height, View};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A block in the oracle's tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockRef(u32);

/// The genesis block.
pub const GENESIS: BlockRef = BlockRef(0);

/// Replicas as bits: bit i stands for replica i.
pub type ReplicaSet = u128;

/// What is known of one block.
#[derive(Debug)]
pub struct Block {
    /// Its header; the genesis block has none.
    pub header: Option<Header>,
    /// Its digest.
    pub digest: Digest,
    /// The view of its header; 0 for genesis.
    pub view: View,
    /// Its height.
    pub height: Height,
    parent: Option<BlockRef>,
    /// Who sent a vote for exactly this block.
    pub votes: ReplicaSet,
    /// Who sent a vote for it or for a descendant of its view.
    pub acks: ReplicaSet,
    /// Who sent a commit vote for it or for a descendant of its view.
    pub commits: ReplicaSet,
}

/// Most certificates that are kept for one view: a traitor may show many.
const CERTIFICATES_MAX: usize = 32;

/// All blocks.
#[derive(Debug)]
pub struct Chain {
    blocks: Vec<Block>,
    by_digest: BTreeMap<Digest, BlockRef>,
    by_place: BTreeMap<(View, Height), Vec<BlockRef>>,
    orphans: Vec<BlockRef>,
    /// The view-change certificates that were shown.
    view_changes: BTreeMap<View, Vec<Arc<ViewChangeCertificate>>>,
}

impl Chain {
    /// A tree of the genesis block alone.
    #[must_use]
    pub fn new(genesis: Digest) -> Self {
        let mut chain = Self {
            blocks: Vec::new(),
            by_digest: BTreeMap::new(),
            by_place: BTreeMap::new(),
            orphans: Vec::new(),
            view_changes: BTreeMap::new(),
        };
        chain.add(None, genesis, View(0), Height(0));
        chain
    }

    /// Every block, in the order in which they were shown.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = BlockRef> + use<> {
        (0..u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)).map(BlockRef)
    }

    /// For how many heights of a view there are several blocks.
    #[must_use]
    pub fn forks(&self) -> usize {
        self.by_place.values().filter(|blocks| blocks.len() > 1).count()
    }

    /// Notes a header; the same header twice is one block.
    pub fn note(&mut self, header: &Header) -> BlockRef {
        if let Some(block) = self.find_header(header) {
            return block;
        }
        let digest = header.digest();
        let block = self.add(Some(*header), digest, header.view, header.height);
        let (resolved, orphans): (Vec<_>, Vec<_>) = self
            .orphans
            .drain(..)
            .partition(|orphan| self.blocks[orphan.0 as usize].parent_digest() == Some(digest));
        self.orphans = orphans;
        for orphan in resolved {
            self.blocks[orphan.0 as usize].parent = Some(block);
        }
        block
    }

    /// Notes a view-change certificate with the headers in its claims.
    pub fn note_certificate(&mut self, certificate: &Arc<ViewChangeCertificate>) {
        let known = self.view_changes.entry(certificate.view()).or_default();
        let is_known = known.iter().any(|other| Arc::ptr_eq(other, certificate) || other == certificate);
        if is_known || known.len() >= CERTIFICATES_MAX {
            return;
        }
        known.push(Arc::clone(certificate));
        for signed in certificate.view_changes.iter().flat_map(|view_change| view_change.claim.iter()) {
            self.note(&signed.header);
        }
    }

    /// The view-change certificates of a view that anyone was shown.
    #[must_use]
    pub fn certificates(&self, view: View) -> &[Arc<ViewChangeCertificate>] {
        self.view_changes.get(&view).map_or(&[], Vec::as_slice)
    }

    /// The block with this digest, if anyone ever showed it.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<BlockRef> {
        self.by_digest.get(digest).copied()
    }

    /// The block with this header, if anyone ever showed it.
    #[must_use]
    pub fn find_header(&self, header: &Header) -> Option<BlockRef> {
        let known = self.by_place.get(&(header.view, header.height))?;
        known.iter().copied().find(|block| self[*block].header.as_ref() == Some(header))
    }

    /// Other blocks of the same view and height that its primary signed.
    pub fn rivals(&self, block: BlockRef) -> impl Iterator<Item = BlockRef> + '_ {
        let place = (self[block].view, self[block].height);
        self.by_place.get(&place).into_iter().flatten().copied().filter(move |rival| *rival != block)
    }

    /// The block before it; `None` for genesis and where it was never shown.
    #[must_use]
    pub fn parent(&self, block: BlockRef) -> Option<BlockRef> {
        self[block].parent
    }

    /// Whether the first block is the second or an ancestor of it.
    #[must_use]
    pub fn is_ancestor(&self, ancestor: BlockRef, block: BlockRef) -> bool {
        self.at_height(block, self[ancestor].height) == Some(ancestor)
    }

    /// Whether one of the blocks is an ancestor of the other, or they are the same.
    #[must_use]
    pub fn is_one_chain(&self, one: BlockRef, other: BlockRef) -> bool {
        self.is_ancestor(one, other) || self.is_ancestor(other, one)
    }

    /// The ancestor at this height; `None` if the block is lower or the way down is not known.
    #[must_use]
    pub fn at_height(&self, mut block: BlockRef, height: Height) -> Option<BlockRef> {
        while self[block].height > height {
            block = self.parent(block)?;
        }
        (self[block].height == height).then_some(block)
    }

    /// Whether it is the first block of its view: the genesis block counts as that of view 0.
    #[must_use]
    pub fn is_first_of_view(&self, block: BlockRef) -> bool {
        self.parent(block).is_none_or(|parent| self[parent].view != self[block].view)
    }

    /// The first block of this block's view on its chain.
    #[must_use]
    pub fn first_of_view(&self, mut block: BlockRef) -> BlockRef {
        while !self.is_first_of_view(block) {
            let Some(parent) = self.parent(block) else { break };
            block = parent;
        }
        block
    }

    /// Adds a replica to the votes of a block; gives the blocks of its view that it newly
    /// acknowledges by that, the highest first.
    pub(crate) fn vote(&mut self, block: BlockRef, replica: ReplicaSet) -> Vec<BlockRef> {
        self.blocks[block.0 as usize].votes |= replica;
        self.mark(block, replica, |block| &mut block.acks)
    }

    /// The same for a commit vote.
    pub(crate) fn commit(&mut self, block: BlockRef, replica: ReplicaSet) -> Vec<BlockRef> {
        self.mark(block, replica, |block| &mut block.commits)
    }

    fn mark(
        &mut self,
        mut block: BlockRef,
        replica: ReplicaSet,
        field: impl Fn(&mut Block) -> &mut ReplicaSet,
    ) -> Vec<BlockRef> {
        let view = self[block].view;
        let mut marked = Vec::new();
        loop {
            let set = field(&mut self.blocks[block.0 as usize]);
            if *set & replica != 0 {
                return marked;
            }
            *set |= replica;
            marked.push(block);
            match self.parent(block) {
                Some(parent) if self[parent].view == view => block = parent,
                _ => return marked,
            }
        }
    }

    fn add(&mut self, header: Option<Header>, digest: Digest, view: View, height: Height) -> BlockRef {
        let block = BlockRef(u32::try_from(self.blocks.len()).expect("a run has fewer than 2^32 blocks"));
        let parent = header.and_then(|header| self.find(&header.parent));
        // A header that lies about its height has no place in any chain.
        let parent = parent.filter(|parent| self[*parent].height.next() == height);
        if parent.is_none() && header.is_some() {
            self.orphans.push(block);
        }
        let (votes, acks, commits) = (0, 0, 0);
        self.blocks.push(Block { header, digest, view, height, parent, votes, acks, commits });
        self.by_digest.insert(digest, block);
        self.by_place.entry((view, height)).or_default().push(block);
        block
    }
}

impl Block {
    fn parent_digest(&self) -> Option<Digest> {
        self.header.map(|header| header.parent)
    }
}

impl std::ops::Index<BlockRef> for Chain {
    type Output = Block;
    fn index(&self, block: BlockRef) -> &Block {
        &self.blocks[block.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_types::{Epoch, Time};

    fn header(view: u64, height: u64, parent: Digest, time: u64) -> Header {
        let (view, height) = (View(view), Height(height));
        Header {
            cluster: Digest::default(),
            epoch: Epoch(0),
            view,
            height,
            parent,
            batch: Digest::default(),
            time: Time(time),
        }
    }

    #[test]
    fn blocks_hang_together_in_whatever_order_they_come() {
        let genesis = Digest([1; 32]);
        let mut chain = Chain::new(genesis);
        let one = header(0, 1, genesis, 1);
        let two = header(0, 2, one.digest(), 2);
        let fork = header(0, 2, one.digest(), 3);
        let (two, fork, one) = (chain.note(&two), chain.note(&fork), chain.note(&one));
        assert!(chain.is_ancestor(one, two) && chain.is_ancestor(GENESIS, fork));
        assert!(!chain.is_one_chain(two, fork));
        assert!(!chain.is_first_of_view(one));
        assert_eq!(chain.first_of_view(two), GENESIS);
    }

    #[test]
    fn a_vote_acknowledges_the_ancestors_in_its_view() {
        let genesis = Digest([1; 32]);
        let mut chain = Chain::new(genesis);
        let one = header(0, 1, genesis, 1);
        let first = header(3, 2, one.digest(), 2);
        let next = header(3, 3, first.digest(), 2);
        let (one, first, next) = (chain.note(&one), chain.note(&first), chain.note(&next));
        assert_eq!(chain.vote(next, 0b10), [next, first]);
        assert_eq!((chain[one].acks, chain[first].acks, chain[first].votes), (0, 0b10, 0));
        assert_eq!(chain.first_of_view(next), first);
    }
}
