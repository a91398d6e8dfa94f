//! What a replica's machine is told when it is made.

use quorate_types::{Membership, ProtocolParameters, ReplicaId, SecretKey};
use std::sync::Arc;
use std::time::Duration;

/// Identity and settings of one replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// The replica's number.
    pub id: ReplicaId,
    /// The replica's key.
    pub key: SecretKey,
    /// Names this start: a number drawn at random for each. A status that echoes another one was sent in ignorance of
    /// this start, however the clock was set in between (rule D3).
    pub start: u64,
    /// The epoch's replicas.
    pub membership: Arc<Membership>,
    /// The parameters of genesis.
    pub parameters: ProtocolParameters,
    /// Local timing; replicas may differ in it.
    pub timing: Timing,
    /// Limits on what one peer can make this replica hold.
    pub limits: Limits,
}

/// Spans of time that derive from the network, not from the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a primary waits for a full batch while blocks are in flight (rule P2).
    pub batch_delay: Duration,
    /// The least time that a view gets; it also grows with measured round trips (rule X1).
    pub view_timeout_min: Duration,
    /// The most time that a view gets, however many failed before it.
    pub view_timeout_max: Duration,
    /// How long a prepared block may wait for the fast path (rule C2).
    pub grace: Duration,
    /// Between two statuses to every peer; also paces retransmission.
    pub status_interval: Duration,
    /// How long a known request may stay unproposed (rule X1).
    pub fairness_timeout: Duration,
    /// How long before something fetched is asked for from another peer.
    pub fetch_timeout: Duration,
    /// How often one replica's wish is heard (rule D3).
    pub wish_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            batch_delay: Duration::from_micros(500),
            view_timeout_min: Duration::from_millis(500),
            view_timeout_max: Duration::from_secs(10),
            grace: Duration::from_millis(2),
            status_interval: Duration::from_millis(100),
            fairness_timeout: Duration::from_secs(2),
            fetch_timeout: Duration::from_millis(100),
            wish_interval: Duration::from_secs(3600),
        }
    }
}

/// Limits on memory that peers and clients can claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most messages of one peer in verification at a time.
    pub verifications_per_peer_max: usize,
    /// Most bytes of bundles in the pool.
    pub pool_bytes_max: usize,
    /// Most bytes of bundles of one client in the pool.
    pub pool_client_bytes_max: usize,
    /// Most pieces of evidence that are kept for one replica, at most 8.
    pub evidence_per_replica_max: usize,
    /// Bytes of committed blocks below the stable checkpoint that are kept for laggards.
    pub history_bytes_max: usize,
    /// Most bytes of committed blocks that are held in memory and on disk because a peer fetches the state below them
    /// (rule K1). What lies above the newest own checkpoint is held in any case.
    pub held_bytes_max: usize,
    /// Most bytes of states that all peers together get in a second (rule K3).
    pub serve_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            verifications_per_peer_max: 256,
            pool_bytes_max: 64 << 20,
            pool_client_bytes_max: 16 << 20,
            evidence_per_replica_max: 8,
            history_bytes_max: 16 << 20,
            held_bytes_max: 1 << 30,
            serve_bytes_per_second: 64 << 20,
        }
    }
}
