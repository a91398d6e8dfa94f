//! The own chain of the present view: which of the primary's blocks link up, and from where.

use quorate_types::{Digest, Height};
use std::collections::BTreeMap;

use crate::replica::Replica;
use crate::select::BlockId;
use crate::timer::Timer;

/// Most headers of one view that wait to be linked.
const CANDIDATES_MAX: usize = 256;
/// How many links below the tip are kept, so that certificates can still be built there.
const LINKS_KEPT: u64 = 128;

/// The blocks of the present view.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// The height of the view's first block R_v, once its certificate showed it. Genesis is R_0.
    pub(crate) first: Option<Height>,
    /// A height at which a block of the view is certified or committed, so that R_v is not above it.
    floor: Option<Height>,
    /// The block on which the lowest link stands.
    anchor: BlockId,
    /// The blocks above the anchor, without gaps.
    links: BTreeMap<Height, Digest>,
    /// The first header that came for each height.
    candidates: BTreeMap<Height, Digest>,
    /// The block that is being certified.
    pub(crate) certifying: Option<BlockId>,
    /// Whether the grace of the prepared block is over (C2).
    pub(crate) is_grace_over: bool,
    /// Whether a peer needs a commit vote for what this replica committed by votes alone.
    pub(crate) is_help_wanted: bool,
    /// Whether a peer cannot vote before it has a certificate above the state that it installed (K3).
    pub(crate) is_certificate_wanted: bool,
    /// The greatest commit vote that was sent.
    pub(crate) commit_sent: Height,
}

impl Chain {
    /// View 0, whose first block is genesis.
    pub(crate) fn at_genesis(genesis: Digest) -> Self {
        Self { first: Some(Height(0)), ..Self::on((Height(0), genesis)) }
    }

    /// A view of which nothing is known but a block below it.
    pub(crate) const fn on(anchor: BlockId) -> Self {
        Self {
            first: None,
            floor: None,
            anchor,
            links: BTreeMap::new(),
            candidates: BTreeMap::new(),
            certifying: None,
            is_grace_over: false,
            is_help_wanted: false,
            is_certificate_wanted: false,
            commit_sent: Height(0),
        }
    }

    /// [V3] The first block of the view extends this one. Links that stand on another block are
    /// not of the view's chain, unless a certificate or commit showed that they are; says whether
    /// they were dropped.
    pub(crate) fn set_base(&mut self, base: BlockId) -> bool {
        self.first = Some(base.0.next());
        if self.floor.is_some() || self.anchor == base {
            return false;
        }
        self.restart_on(base);
        true
    }

    /// Starts again from a block of the view.
    fn restart_on(&mut self, anchor: BlockId) {
        self.anchor = anchor;
        self.links.clear();
    }

    pub(crate) fn top(&self) -> BlockId {
        self.links.last_key_value().map_or(self.anchor, |(height, digest)| (*height, *digest))
    }

    /// The height of the lowest link that there is or could be.
    pub(crate) fn lowest(&self) -> Height {
        self.anchor.0.next()
    }

    /// Whether the block is linked, or is what the links stand on.
    pub(crate) fn contains(&self, height: Height, digest: &Digest) -> bool {
        self.links.get(&height).map_or(self.anchor == (height, *digest), |link| link == digest)
    }

    pub(crate) fn at(&self, height: Height) -> Option<BlockId> {
        self.links.get(&height).map(|digest| (height, *digest))
    }

    pub(crate) fn candidate(&self, height: Height) -> Option<Digest> {
        self.candidates.get(&height).copied()
    }

    /// [C1] Whether a block at this height is known to stand above the view's first block.
    pub(crate) fn is_above_first(&self, height: Height) -> bool {
        self.first.or(self.floor).is_some_and(|first| height > first)
    }

    /// How many headers of the view are kept.
    pub(crate) fn held(&self) -> usize {
        self.candidates.len()
    }

    /// Takes the first header of its height; says whether there was room.
    pub(crate) fn add_candidate(&mut self, id: BlockId) -> bool {
        if self.candidates.len() >= CANDIDATES_MAX {
            return false;
        }
        self.candidates.insert(id.0, id.1);
        true
    }

    /// The lowest header that waits above the links.
    pub(crate) fn lowest_unlinked(&self) -> Option<BlockId> {
        let above = self.candidates.range(self.top().0.next()..).next()?;
        Some((*above.0, *above.1))
    }

    fn prune(&mut self, tip: Height) {
        let lowest = tip.minus(LINKS_KEPT);
        while let Some(entry) = self.links.first_entry()
            && *entry.key() < lowest
        {
            self.anchor = (*entry.key(), *entry.get());
            entry.remove();
        }
        while let Some(entry) = self.candidates.first_entry()
            && *entry.key() < lowest
        {
            entry.remove();
        }
    }
}

impl Replica {
    /// Links the headers that came to the chain of the view.
    pub(crate) fn try_link(&mut self) -> bool {
        self.try_restart_chain();
        let mut progress = false;
        loop {
            let top = self.chain.top();
            let Some(digest) = self.chain.candidate(top.0.next()) else { break };
            let id = (top.0.next(), digest);
            let Some(block) = self.blocks.get(id) else { break };
            if block.header().parent != top.1 {
                break;
            }
            self.chain.links.insert(id.0, id.1);
            self.tally.on_linked(id.0, id.1);
            // [V7] Votes that came before the header may be for another one.
            for (voter, other) in self.tally.others_at(id) {
                self.fetch_header(voter, other);
            }
            self.note_proposed(id);
            progress = true;
        }
        if self.chain.lowest_unlinked().is_some() {
            self.want_missing();
        }
        if progress {
            self.chain.prune(self.blocks.tip().0);
        }
        progress
    }

    /// Skips what it does not need: a certificate of the view, or a committed block of the view,
    /// above the links is a place to go on from, as long as its own last vote lies below it (V2).
    fn try_restart_chain(&mut self) {
        let certified = self.safety.high_qc().vote;
        let has_voted = self.safety.last_vote().is_some_and(|vote| vote.view == self.view.entered);
        if certified.view == self.view.entered {
            self.chain.floor.get_or_insert(certified.height);
            let id = (certified.height, certified.digest);
            if !has_voted && id.0 >= self.chain.anchor.0 && !self.chain.contains(id.0, &id.1) {
                self.restart_chain_on(id);
            }
        }
        let tip = self.blocks.tip();
        let is_of_view = self.blocks.tip_header().is_some_and(|header| header.view == self.view.entered);
        if is_of_view {
            self.chain.floor.get_or_insert(tip.0);
            if tip.0 > self.chain.top().0 && self.is_past_last_vote() {
                self.restart_chain_on(tip);
            }
        }
    }

    /// What was acknowledged on other links does not count on the new ones.
    fn restart_chain_on(&mut self, anchor: BlockId) {
        self.chain.restart_on(anchor);
        self.tally.forget_acknowledged();
    }

    /// [K3] A state was installed: the chain of the view goes on from there, wherever it was.
    pub(crate) fn restart_chain_on_tip(&mut self) {
        let view_first = self.chain.first;
        self.chain = Chain::on(self.blocks.tip());
        self.chain.first = view_first;
        self.tally.forget_acknowledged();
        self.timers.stop(Timer::View);
        self.timers.stop(Timer::Grace);
    }

    /// [V3] The first block of the view extends this one.
    pub(crate) fn set_base(&mut self, base: BlockId) {
        if self.chain.set_base(base) {
            self.tally.forget_acknowledged();
        }
    }

    /// Whether the committed chain contains the last vote of this view, if there is one.
    fn is_past_last_vote(&self) -> bool {
        let last = self.safety.last_vote().filter(|vote| vote.view == self.view.entered);
        last.is_none_or(|vote| self.is_committed(&vote))
    }
}
