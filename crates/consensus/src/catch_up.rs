//! How a laggard learns what the others committed (rule C5).
//!
//! A peer's answer to [`Fetch::Chain`] states that it committed these headers. What the chains of
//! W peers have in common is committed: one of them is honest. A peer that names a height that it
//! does not have costs one question without an answer.

use quorate_types::certificate::SignedHeader;
use quorate_types::limited::Limited;
use quorate_types::message::{CHAIN_MAX, Data, Fetch, Message};
use quorate_types::{Digest, Height, Quorums, Rejection, ReplicaId, Unverified, Verified};
use std::collections::{BTreeMap, BTreeSet};

use crate::io::{CommitRule, Peer};
use crate::mutation::{self, Mutation};
use crate::replica::Replica;
use crate::select::BlockId;

/// So many status periods without a step or a block a laggard waits for blocks before it fetches a state as well.
const PERIODS_FOR_BLOCKS: u32 = 4;

/// Where a laggard stands.
#[derive(Clone, Debug)]
pub(crate) struct CatchUp {
    /// The highest block that is proven to be committed.
    target: Option<(BlockId, CommitRule)>,
    /// The end of the stretch that others' chains prove. What votes prove may be far above it, with nothing known in between.
    stretch: Option<BlockId>,
    /// Per peer the headers that it says it committed above the asked height.
    chains: Vec<Vec<(Digest, Verified<SignedHeader>)>>,
    /// The height above which chains were asked for, and from whom an answer is due.
    asked: Option<Height>,
    due: Vec<bool>,
    /// The own height when others were last seen above it, and for how many status periods it has been so.
    behind_at: Option<Height>,
    periods_behind: u32,
    /// The blocks of the chain that was proven last, and whether one of them came in this period.
    proven: BTreeSet<Digest>,
    is_served: bool,
}

impl CatchUp {
    pub(crate) fn new(quorums: Quorums) -> Self {
        Self {
            target: None,
            stretch: None,
            chains: vec![Vec::new(); quorums.n()],
            asked: None,
            due: vec![false; quorums.n()],
            behind_at: None,
            periods_behind: 0,
            proven: BTreeSet::new(),
            is_served: false,
        }
    }

    /// A block is proven to be committed.
    pub(crate) fn aim(&mut self, id: BlockId, rule: CommitRule) {
        if self.target.is_none_or(|(target, _)| target.0 < id.0) {
            self.target = Some((id, rule));
        }
    }

    /// Where the tip is to go next: from the bottom up, as far as others' chains lead.
    pub(crate) fn target(&self) -> Option<(BlockId, CommitRule)> {
        self.stretch.map(|stretch| (stretch, CommitRule::Proof)).or(self.target)
    }

    /// The ends of all that is proven.
    pub(crate) fn ends(&self) -> impl Iterator<Item = BlockId> {
        self.stretch.into_iter().chain(self.target.map(|(target, _)| target))
    }

    /// A block came. What nobody proved to be committed is no step.
    pub(crate) fn note_block(&mut self, digest: &Digest) {
        self.is_served |= self.proven.remove(digest);
    }

    pub(crate) fn reached(&mut self, tip: Height) {
        self.target = self.target.filter(|(target, _)| target.0 > tip);
        self.stretch = self.stretch.filter(|stretch| stretch.0 > tip);
    }

    /// What was proven is behind the state that was installed.
    pub(crate) fn restart(&mut self) {
        (self.target, self.stretch) = (None, None);
        self.behind_at = None;
        self.forget_chains();
    }

    /// How many headers of a peer's chain are kept.
    pub(crate) fn held_of(&self, peer: ReplicaId) -> usize {
        self.chains[peer.index()].len()
    }

    fn forget_chains(&mut self) {
        self.chains.iter_mut().for_each(Vec::clear);
        self.due.fill(false);
        self.asked = None;
    }
}

impl Replica {
    /// Called with each status period: whoever is behind W others and did not move since the last
    /// period asks for their chains.
    pub(crate) fn check_behind(&mut self) {
        if self.checkpoints.diverged.is_some() {
            // [K2] However far the chain is known here, the state is wrong.
            self.begin_transfer();
        }
        let tip = self.blocks.tip().0;
        let others = self.peers.committed_by_weak(self.quorums());
        if others <= tip {
            self.catch_up.behind_at = None;
            return;
        }
        let is_moving = std::mem::take(&mut self.catch_up.is_served);
        if self.catch_up.behind_at == Some(tip) && !is_moving {
            // [K3] Behind by little it fetches blocks, by more than W peers still hold a state.
            self.catch_up.periods_behind += 1;
            let is_served = self.peers.serving_above(tip) >= self.quorums().weak();
            if is_served {
                self.ask_chains();
            }
            // Who says to serve blocks need not do it.
            let is_denied =
                self.catch_up.periods_behind > PERIODS_FOR_BLOCKS && !self.is_waiting_for_itself();
            if !is_served || is_denied {
                self.begin_transfer();
            }
        } else {
            self.catch_up.periods_behind = 0;
        }
        self.catch_up.behind_at = Some(tip);
    }

    fn ask_chains(&mut self) {
        let tip = self.blocks.tip().0;
        self.catch_up.forget_chains();
        self.catch_up.asked = Some(tip);
        let ahead: Vec<ReplicaId> = self
            .peers
            .iter()
            .filter(|(_, known)| known.serves_above(tip))
            .map(|(replica, _)| replica)
            .collect();
        for replica in ahead {
            if let Some(due) = self.catch_up.due.get_mut(replica.index()) {
                *due = true;
            }
            self.send_to(replica, Message::Fetch(Fetch::Chain(tip)));
        }
    }

    /// Answers with the headers above a height that this replica committed.
    pub(crate) fn serve_chain(&mut self, to: ReplicaId, above: Height) {
        let mut headers = Vec::new();
        let mut height = above.next();
        while headers.len() < CHAIN_MAX
            && let Some(block) = self.blocks.committed_at(height)
        {
            headers.push(*block.signed);
            height = height.next();
        }
        if !headers.is_empty() {
            self.send_to(to, Message::Data(Data::Chain(Limited::take(headers))));
        }
    }

    /// A peer's chain: it must start directly above the asked height and have no gap.
    pub(crate) fn on_chain(&mut self, from: ReplicaId, headers: Vec<SignedHeader>) -> Result<(), Rejection> {
        let Some(asked) = self.catch_up.asked.filter(|_| self.catch_up.due[from.index()]) else {
            return Err(Rejection::Unrequested);
        };
        self.catch_up.due[from.index()] = false;
        let mut expected = asked.next();
        for signed in &headers {
            if signed.header.height != expected {
                return Err(Rejection::BrokenChain);
            }
            expected = expected.next();
        }
        self.verify(Peer::Replica(from), Unverified::Headers(headers));
        Ok(())
    }

    /// The headers of a peer's chain, or one fetched header, were verified.
    pub(crate) fn on_headers(
        &mut self,
        peer: Peer,
        headers: Vec<Verified<SignedHeader>>,
    ) -> Result<(), Rejection> {
        let Peer::Replica(from) = peer else { return Err(Rejection::Unrequested) };
        if let [single] = headers.as_slice() {
            let id = (single.header.height, single.header.digest());
            if self.fetches.header_arrived(&id) {
                return self.on_header(*single, id, false);
            }
        }
        let Some(asked) = self.catch_up.asked else { return Ok(()) };
        if headers.first().is_none_or(|first| first.header.height != asked.next()) {
            return Ok(());
        }
        let mut parent = self.blocks.digest_at(asked).unwrap_or_default();
        let mut chain = Vec::with_capacity(headers.len());
        for signed in headers {
            if signed.header.parent != parent {
                return Err(Rejection::BrokenChain);
            }
            parent = signed.header.digest();
            chain.push((parent, signed));
        }
        self.catch_up.chains[from.index()] = chain;
        self.try_prove();
        Ok(())
    }

    /// [C5] The longest chain that W peers state is committed.
    fn try_prove(&mut self) {
        let needed = if mutation::is(Mutation::ProofByOne) { 1 } else { self.quorums().weak() };
        let chains = &self.catch_up.chains;
        let longest = chains.iter().map(Vec::len).max().unwrap_or(0);
        let proven = (0..longest).rev().find_map(|place| {
            let mut votes: BTreeMap<Digest, (usize, usize)> = BTreeMap::new();
            for (peer, chain) in chains.iter().enumerate() {
                if let Some((digest, _)) = chain.get(place) {
                    votes.entry(*digest).or_insert((0, peer)).0 += 1;
                }
            }
            votes.values().find(|(count, _)| *count >= needed).map(|(_, peer)| (*peer, place))
        });
        let Some((peer, place)) = proven else { return };
        let headers: Vec<_> = self.catch_up.chains[peer].iter().take(place + 1).copied().collect();
        let Some((digest, last)) = headers.last() else { return };
        let target = (last.header.height, *digest);
        if target.0 <= self.blocks.tip().0 {
            return;
        }
        self.catch_up.proven = headers.iter().map(|(digest, _)| *digest).collect();
        for (digest, signed) in headers {
            self.blocks.insert(signed, digest);
        }
        self.catch_up.aim(target, CommitRule::Proof);
        self.catch_up.stretch = Some(target);
        self.want_missing();
    }

    /// After a stretch was committed by proof: asks for the next one at once, and once, if there is one.
    pub(crate) fn continue_catch_up(&mut self) {
        let tip = self.blocks.tip().0;
        let is_asked = self.catch_up.asked.is_none_or(|asked| asked == tip);
        let is_stretch_done = !is_asked && self.catch_up.stretch.is_none();
        let is_behind = self.peers.committed_by_weak(self.quorums()) > tip;
        if is_stretch_done && is_behind && self.peers.serving_above(tip) >= self.quorums().weak() {
            self.ask_chains();
        }
    }
}
