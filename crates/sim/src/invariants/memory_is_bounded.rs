//! Invariant 11: what a replica holds because of its peers and clients stays within limits of its own, at every moment and
//! for each peer and queue, whoever floods.
//!
//! Things of bounded size are counted; where bytes are the limit, bytes.

use quorate_consensus::{Held, HeldOfPeer};

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "what is held for others stays within its limits";

/// Limits for one peer, from the protocol's parameters and decisions.
const OF_PEER: HeldOfPeer = HeldOfPeer {
    // 64 of the present view and 64 of one later view.
    votes: 128,
    view_changes: 8,
    checkpoint_votes: 4,
    result_roots: 64,
    // One answer to a laggard (C5).
    chain: 64,
    evidence: 8,
    verifying: 256,
    chunks_asked: 512,
    // One question, and four that came to nothing.
    chunks_late: 128 + 512,
};

/// Limits for all others together, but for [`Held::pending_blocks`] and [`Held::sessions`], which follow from the cluster.
const OF_ALL: Held = Held {
    pending_blocks: 0,
    candidates: 256,
    wanted_blocks: 512,
    wanted_headers: 256,
    // Answers to others, and above them what a replica says by itself while one sync runs: within a window of 64 blocks.
    waiting: 9 * 100 + 512,
    pool_bytes: 64 << 20,
    pool_client_bytes: 16 << 20,
    verifying: 4096,
    sessions: 0,
};

/// The limits of a cluster.
#[derive(Debug)]
pub(crate) struct MemoryIsBounded(Held);

impl MemoryIsBounded {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        let replicas = history.replicas.len();
        // Candidates, what is wanted, 64 headers in a claim of each replica, kept and in a certificate, and a proven chain.
        let pending_blocks = OF_ALL.candidates + OF_ALL.wanted_blocks + 2 * 64 * replicas + 64;
        Self(Held { pending_blocks, sessions: history.setup.parameters.sessions_max as usize, ..OF_ALL })
    }
}

impl Invariant for MemoryIsBounded {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let Observation::Held(replica, held, of_peers) = observation else { return Ok(()) };
        let found = above(held, &self.0).map(|what| format!("replica {replica} holds {what}"));
        let mut of_peers = of_peers.iter().enumerate();
        let found = found.or_else(|| {
            of_peers.find_map(|(peer, held)| {
                let what = above_of_peer(held)?;
                Some(format!("replica {replica} holds because of replica {peer}: {what}"))
            })
        });
        found.map_or(Ok(()), |what| Err(Violation::of(PROPERTY, what)))
    }
}

fn above(held: &Held, limits: &Held) -> Option<String> {
    first_above([
        ("blocks that are not committed", held.pending_blocks, limits.pending_blocks),
        ("headers of a view", held.candidates, limits.candidates),
        ("blocks to fetch", held.wanted_blocks, limits.wanted_blocks),
        ("headers to fetch", held.wanted_headers, limits.wanted_headers),
        ("messages that wait for the disk", held.waiting, limits.waiting),
        ("bytes in the pool", held.pool_bytes, limits.pool_bytes),
        ("bytes of one client in the pool", held.pool_client_bytes, limits.pool_client_bytes),
        ("bundles in verification", held.verifying, limits.verifying),
        ("sessions", held.sessions, limits.sessions),
    ])
}

fn above_of_peer(held: &HeldOfPeer) -> Option<String> {
    first_above([
        ("votes", held.votes, OF_PEER.votes),
        ("view changes", held.view_changes, OF_PEER.view_changes),
        ("checkpoint votes", held.checkpoint_votes, OF_PEER.checkpoint_votes),
        ("result roots", held.result_roots, OF_PEER.result_roots),
        ("headers of its chain", held.chain, OF_PEER.chain),
        ("pieces of evidence", held.evidence, OF_PEER.evidence),
        ("messages in verification", held.verifying, OF_PEER.verifying),
        ("chunks to send", held.chunks_asked, OF_PEER.chunks_asked),
        ("chunks to come", held.chunks_late, OF_PEER.chunks_late),
    ])
}

fn first_above<const N: usize>(all: [(&str, usize, usize); N]) -> Option<String> {
    let (what, count, limit) = all.into_iter().find(|(_, count, limit)| count > limit)?;
    Some(format!("{count} {what}, at most {limit} are allowed"))
}
