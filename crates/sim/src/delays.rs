//! How long does it take from proposal to commit, and from client to client? In a quiet network
//! with one latency and no other costs, a time divided by the latency counts message delays.

use quorate_consensus::client::Ticket;
use quorate_types::{Digest, Header, Height, ReplicaId, View};
use std::collections::BTreeMap;

/// When blocks and requests passed their stations, in simulated nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    is_on: bool,
    blocks: BTreeMap<Digest, BlockTimes>,
    requests: BTreeMap<(usize, Ticket), (u64, Option<u64>)>,
}

/// When one block was proposed and committed.
#[derive(Clone, Debug)]
pub struct BlockTimes {
    /// Its view.
    pub view: View,
    /// Its height.
    pub height: Height,
    /// When its primary sent it first.
    pub proposed: u64,
    /// When each replica committed it.
    pub committed: BTreeMap<ReplicaId, u64>,
}

impl Delays {
    /// Begins to take times; campaigns do without.
    pub(crate) const fn switch_on(&mut self) {
        self.is_on = true;
    }

    pub(crate) fn on_propose(&mut self, now: u64, header: &Header) {
        if self.is_on {
            let (view, height) = (header.view, header.height);
            let new = || BlockTimes { view, height, proposed: now, committed: BTreeMap::new() };
            self.blocks.entry(header.digest()).or_insert_with(new);
        }
    }

    pub(crate) fn on_commit(&mut self, now: u64, replica: ReplicaId, digest: &Digest) {
        if let Some(block) = self.blocks.get_mut(digest) {
            block.committed.entry(replica).or_insert(now);
        }
    }

    pub(crate) fn on_submit(&mut self, now: u64, client: usize, ticket: Ticket) {
        if self.is_on {
            self.requests.entry((client, ticket)).or_insert((now, None));
        }
    }

    pub(crate) fn on_done(&mut self, now: u64, client: usize, ticket: Ticket) {
        if let Some((_, done)) = self.requests.get_mut(&(client, ticket)) {
            done.get_or_insert(now);
        }
    }

    /// The block times by height and view. Blocks that a commit of a descendant committed have no
    /// times of commit.
    #[must_use]
    pub fn blocks(&self) -> Vec<&BlockTimes> {
        let mut blocks: Vec<&BlockTimes> = self.blocks.values().collect();
        blocks.sort_by_key(|block| (block.height, block.view));
        blocks
    }

    /// How long each completed request took from client to client, by client and ticket.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<(usize, Ticket), u64> {
        let done = self.requests.iter().filter_map(|(key, (since, done))| Some((*key, (*done)? - since)));
        done.collect()
    }
}
