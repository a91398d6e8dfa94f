//! The oracle's own reading of `select`: from which block does a view go on, given what its
//! signers told?

use crate::chain::{BlockRef, Chain, ReplicaSet};
use crate::history::{Contribution, bit};
use quorate_types::ReplicaId;

/// The block to go on from; `None` if the certificate is not valid, because its claims fork and
/// the primary that forked them is a signer.
pub(crate) fn selected(
    chain: &Chain,
    replicas: u32,
    support: u32,
    told: &[(ReplicaId, Contribution)],
) -> Option<BlockRef> {
    let rank = |block: BlockRef| (chain[block].view, chain[block].height);
    let highest = told.iter().map(|(_, told)| told.certified).max_by_key(|block| rank(*block))?;
    let view = chain[highest].view;
    let in_view = told.iter().filter(|(_, told)| chain[told.certified].view == view);
    let tips: Vec<BlockRef> = in_view
        .map(|(_, told)| told.tip)
        .filter(|tip| *tip != highest && chain.is_ancestor(highest, *tip))
        .collect();
    let Some(longest) = tips.iter().copied().max_by_key(|tip| chain[*tip].height) else {
        return Some(highest);
    };
    if tips.iter().all(|tip| chain.is_ancestor(*tip, longest)) {
        return Some(longest);
    }
    let primary = view.0 % u64::from(replicas);
    if told.iter().any(|(signer, _)| u64::from(signer.0) == primary) {
        return None;
    }
    Some(longest_supported(chain, highest, &tips, support))
}

/// The highest block above the certified one that at least `support` claims contain.
fn longest_supported(chain: &Chain, certified: BlockRef, tips: &[BlockRef], support: u32) -> BlockRef {
    let mut best = certified;
    for tip in tips {
        let mut block = *tip;
        while block != certified {
            let claims = tips.iter().filter(|tip| chain.is_ancestor(block, **tip)).count();
            if claims >= support as usize && chain[block].height > chain[best].height {
                best = block;
            }
            let Some(parent) = chain.parent(block) else { break };
            block = parent;
        }
    }
    best
}

/// All sets of `size` members among the replicas in `from`.
pub(crate) fn subsets(from: ReplicaSet, size: u32, mut visit: impl FnMut(ReplicaSet) -> bool) -> bool {
    fn go(
        from: ReplicaSet,
        size: u32,
        chosen: ReplicaSet,
        visit: &mut dyn FnMut(ReplicaSet) -> bool,
    ) -> bool {
        if size == 0 {
            return visit(chosen);
        }
        if from.count_ones() < size {
            return true;
        }
        let lowest = from & from.wrapping_neg();
        go(from & !lowest, size - 1, chosen | lowest, visit) && go(from & !lowest, size, chosen, visit)
    }
    go(from, size, 0, &mut visit)
}

/// Whether the replica is in the set.
pub(crate) const fn contains(set: ReplicaSet, replica: ReplicaId) -> bool {
    set & bit(replica) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::GENESIS;
    use quorate_types::{Digest, Epoch, Header, Height, Time, View};

    fn tree() -> (Chain, [BlockRef; 3]) {
        let genesis = Digest([1; 32]);
        let header = |height, parent, time| Header {
            cluster: Digest::default(),
            epoch: Epoch(0),
            view: View(0),
            height: Height(height),
            parent,
            batch: Digest::default(),
            time: Time(time),
        };
        let one = header(1, genesis, 0);
        let (two, fork) = (header(2, one.digest(), 0), header(2, one.digest(), 1));
        let mut chain = Chain::new(genesis);
        let blocks = [chain.note(&one), chain.note(&two), chain.note(&fork)];
        (chain, blocks)
    }

    fn told(signer: u16, tip: BlockRef) -> (ReplicaId, Contribution) {
        (ReplicaId(signer), Contribution { certified: GENESIS, tip })
    }

    #[test]
    fn the_longest_claim_wins_without_a_fork() {
        let (chain, [one, two, _]) = tree();
        let base = selected(&chain, 4, 2, &[told(1, one), told(2, two), told(3, GENESIS)]);
        assert_eq!(base, Some(two));
    }

    #[test]
    fn a_fork_excludes_its_primary_and_needs_support() {
        let (chain, [one, two, fork]) = tree();
        assert_eq!(selected(&chain, 4, 2, &[told(0, fork), told(1, two), told(2, two)]), None);
        assert_eq!(selected(&chain, 4, 2, &[told(3, fork), told(1, two), told(2, two)]), Some(two));
        assert_eq!(selected(&chain, 4, 2, &[told(3, fork), told(1, two), told(2, one)]), Some(one));
    }

    #[test]
    fn every_subset_is_visited_once() {
        let mut seen = Vec::new();
        subsets(0b1011, 2, |set| {
            seen.push(set);
            true
        });
        assert_eq!(seen, [0b0011, 0b1001, 0b1010]);
    }
}
