//! How much does a replica hold because of others? Counts that no flood may raise above their limits; the
//! simulator and tests compare them with the limits after every input.

use quorate_types::ReplicaId;

use crate::replica::Replica;

/// What a replica holds because of one other replica. Each is a number of things of bounded size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldOfPeer {
    /// Votes, of the present view and of one later view.
    pub votes: usize,
    /// View changes.
    pub view_changes: usize,
    /// Votes for checkpoints that are not stable.
    pub checkpoint_votes: usize,
    /// Result roots that its votes told.
    pub result_roots: usize,
    /// Headers of the chain that it says it committed (rule C5).
    pub chain: usize,
    /// Proofs against it.
    pub evidence: usize,
    /// Its messages in verification.
    pub verifying: usize,
    /// Chunks of states that it waits for (rule K3).
    pub chunks_asked: usize,
    /// Chunks that it was asked for and that came, or may come, too late.
    pub chunks_late: usize,
}

/// What a replica holds because of all others and of clients together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Blocks that are not committed.
    pub pending_blocks: usize,
    /// Headers of the present view that wait to be linked, and those that were.
    pub candidates: usize,
    /// Blocks that are being fetched.
    pub wanted_blocks: usize,
    /// Headers that are being fetched.
    pub wanted_headers: usize,
    /// Messages that wait for the disk.
    pub waiting: usize,
    /// Bytes of clients' bundles.
    pub pool_bytes: usize,
    /// Most bytes of bundles of one client.
    pub pool_client_bytes: usize,
    /// Clients' bundles in verification.
    pub verifying: usize,
    /// Client sessions.
    pub sessions: usize,
}

impl Replica {
    /// What it holds because of one replica; for itself, its own part.
    ///
    /// # Panics
    /// If there is no such replica.
    #[must_use]
    pub fn held_of(&self, peer: ReplicaId) -> HeldOfPeer {
        let (checkpoint_votes, result_roots) = self.checkpoints.held_of(peer);
        HeldOfPeer {
            votes: self.tally.held_of(peer),
            view_changes: self.view.held_of(peer),
            checkpoint_votes,
            result_roots,
            chain: self.catch_up.held_of(peer),
            evidence: self.evidence.get(&peer).map_or(0, Vec::len),
            verifying: self.peers.get(peer).verifying,
            chunks_asked: self.serving.held_of(peer),
            chunks_late: self.transfer.as_ref().map_or(0, |transfer| transfer.held_of(peer)),
        }
    }

    /// What it holds because of all others together.
    #[must_use]
    pub fn held(&self) -> Held {
        let (wanted_blocks, wanted_headers) = self.fetches.held();
        let (pool_bytes, pool_client_bytes) = self.pool.held();
        Held {
            pending_blocks: self.blocks.pending_count(),
            candidates: self.chain.held(),
            wanted_blocks,
            wanted_headers,
            waiting: self.outbox.waiting(),
            pool_bytes,
            pool_client_bytes,
            verifying: self.peers.clients_verifying(),
            sessions: self.executor.sessions().count(),
        }
    }
}
