//! What all replicas of a cluster agreed on before its first block.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::quorum::{Quorums, REPLICAS_MAX, REPLICAS_MIN};
use crate::{
    ClusterId, Digest, DigestBuilder, Epoch, Height, KeyError, PublicKey, ReplicaId, Scheme, VerifyKey, View,
};

/// The content of `genesis.json`. Its digest is the cluster's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The cluster's name, for people.
    pub name: String,
    /// Whether this is a test cluster. Only a test cluster accepts an adversary.
    pub test: bool,
    /// How the cluster signs.
    pub scheme: Scheme,
    /// The first epoch's replicas, in the order of their numbers.
    pub replicas: Vec<Member>,
    /// Parameters that must be equal everywhere.
    pub protocol: ProtocolParameters,
    /// Version of the application's behaviour.
    pub app_version: u64,
    /// Where the application's state begins, if another cluster left it; else it begins as the program makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
}

/// The application's state with which a cluster begins, taken over from another one that cannot go on. Client
/// sessions are not taken over: clients start anew, as they do in every cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The cluster that certified it.
    pub cluster: ClusterId,
    /// The height at which it did.
    pub height: Height,
    /// The root of the application's state.
    pub application: Digest,
}

/// One replica in genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The replica's public key.
    pub key: PublicKey,
    /// Who runs it.
    pub organisation: String,
}

/// Parameters that decide whether a block is in order, so that they must be equal everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolParameters {
    /// Blocks between two checkpoints (rule K1). 1 or more.
    pub checkpoint_interval: u64,
    /// Bytes of batches after which a checkpoint is taken even earlier (rule K1).
    pub checkpoint_bytes: u64,
    /// Blocks above the stable checkpoint that may be proposed. At least twice the interval.
    pub window: u64,
    /// Most uncommitted blocks that a primary proposes at a time, 1 to 32 (rule P1).
    pub blocks_in_flight_max: u64,
    /// Most bytes in one batch.
    pub batch_bytes_max: u32,
    /// Most bytes in one command.
    pub command_bytes_max: u32,
    /// Most client sessions in the session table.
    pub sessions_max: u32,
    /// How long after its birth a session may be opened, in milliseconds (rule R1).
    pub session_open_max_ms: u64,
    /// How far a block's time may be ahead of a replica's clock, in milliseconds (rule V5).
    pub clock_bound_ms: u64,
}

impl Default for ProtocolParameters {
    fn default() -> Self {
        Self {
            checkpoint_interval: 1024,
            checkpoint_bytes: 256 << 20,
            window: 4096,
            blocks_in_flight_max: 32,
            batch_bytes_max: 1 << 20,
            command_bytes_max: 256 << 10,
            sessions_max: 16_384,
            session_open_max_ms: 60_000,
            clock_bound_ms: 2_000,
        }
    }
}

impl ProtocolParameters {
    /// How far a block's time may be ahead of a replica's clock.
    #[must_use]
    pub const fn clock_bound(&self) -> Duration {
        Duration::from_millis(self.clock_bound_ms)
    }
    /// How long after its birth a session may be opened.
    #[must_use]
    pub const fn session_open_max(&self) -> Duration {
        Duration::from_millis(self.session_open_max_ms)
    }
}

/// Why a genesis is refused; each sentence says what to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Too few or too many replicas.
    #[error(
        "a cluster needs {REPLICAS_MIN} to {REPLICAS_MAX} replicas to survive one that lies, this genesis has {0}; add or remove replicas"
    )]
    ReplicaCount(usize),
    /// Two replicas have one key.
    #[error("replicas {0} and {1} have the same key; give each replica its own with `quorate keygen`")]
    DuplicateKey(ReplicaId, ReplicaId),
    /// A key is not usable.
    #[error("the key of replica {0} is refused: {1}; make a new one with `quorate keygen`")]
    Key(ReplicaId, KeyError),
    /// A parameter is out of range.
    #[error("the genesis parameter {0} must be {1}")]
    Parameter(&'static str, &'static str),
}

impl Genesis {
    /// The digest of the genesis, which names the cluster. A genesis without a start has the same as before there
    /// were any.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        let mut digest = DigestBuilder::new("quorate genesis");
        digest.part(&crate::wire::canonical(self));
        digest.finish()
    }

    /// Checks every rule of a genesis and gives the first epoch's membership.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn membership(&self) -> Result<Membership, GenesisError> {
        let count = self.replicas.len();
        let quorums = Quorums::new(count).ok_or(GenesisError::ReplicaCount(count))?;
        self.check_parameters()?;
        let mut keys = Vec::with_capacity(count);
        for (id, member) in (0..).map(ReplicaId).zip(&self.replicas) {
            if let Some((other, _)) =
                (0..).map(ReplicaId).zip(&self.replicas).take(id.index()).find(|(_, m)| m.key == member.key)
            {
                return Err(GenesisError::DuplicateKey(other, id));
            }
            let verify =
                VerifyKey::new(self.scheme, &member.key).map_err(|why| GenesisError::Key(id, why))?;
            keys.push((member.key, verify));
        }
        let cluster = self.cluster_id();
        Ok(Membership {
            cluster,
            epoch: Epoch(0),
            scheme: self.scheme,
            keys,
            quorums,
            first_primaries: Vec::new(),
            genesis_block: Digest::of_parts("quorate genesis block", &[&cluster.0]),
        })
    }

    fn check_parameters(&self) -> Result<(), GenesisError> {
        let p = &self.protocol;
        let rules = [
            (p.checkpoint_interval >= 1, "checkpoint_interval", "1 or more"),
            (p.checkpoint_bytes >= 1, "checkpoint_bytes", "1 or more"),
            (
                p.window >= p.checkpoint_interval.saturating_mul(2),
                "window",
                "at least twice checkpoint_interval",
            ),
            ((1..=32).contains(&p.blocks_in_flight_max), "blocks_in_flight_max", "between 1 and 32"),
            ((1024..=8 << 20).contains(&p.batch_bytes_max), "batch_bytes_max", "between 1 KiB and 8 MiB"),
            (
                p.command_bytes_max <= p.batch_bytes_max / 2,
                "command_bytes_max",
                "at most half of batch_bytes_max",
            ),
            ((1..=1 << 20).contains(&p.sessions_max), "sessions_max", "between 1 and 1,048,576"),
            (p.clock_bound_ms >= 1, "clock_bound_ms", "1 or more"),
            (p.session_open_max_ms >= p.clock_bound_ms, "session_open_max_ms", "at least clock_bound_ms"),
        ];
        match rules.iter().find(|(holds, ..)| !holds) {
            Some((_, name, range)) => Err(GenesisError::Parameter(name, range)),
            None => Ok(()),
        }
    }
}

/// The replicas of one epoch with their checked keys.
#[derive(Clone, Debug)]
pub struct Membership {
    cluster: ClusterId,
    epoch: Epoch,
    scheme: Scheme,
    keys: Vec<(PublicKey, VerifyKey)>,
    quorums: Quorums,
    /// Who leads the first views; empty outside explorations.
    first_primaries: Vec<ReplicaId>,
    genesis_block: Digest,
}

impl Membership {
    /// The same replicas with other primaries in the first views, so that an exploration of a small scope can let anybody
    /// lead any view, the same replica twice in a row included. No genesis says so: a real cluster cannot.
    ///
    /// # Panics
    /// If one of them is no member.
    #[must_use]
    pub fn with_first_primaries(self, first_primaries: Vec<ReplicaId>) -> Self {
        assert!(
            first_primaries.iter().all(|primary| primary.index() < self.keys.len()),
            "primaries are members"
        );
        Self { first_primaries, ..self }
    }

    /// The cluster's identity.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }
    /// The epoch's number.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
    /// How the cluster signs.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// The thresholds.
    #[must_use]
    pub const fn quorums(&self) -> Quorums {
        self.quorums
    }
    /// The digest that the first block names as its parent.
    #[must_use]
    pub const fn genesis_block(&self) -> Digest {
        self.genesis_block
    }
    /// The primary of a view: v mod n.
    #[must_use]
    pub fn primary(&self, view: View) -> ReplicaId {
        let first = usize::try_from(view.0).ok().and_then(|view| self.first_primaries.get(view));
        let position = || u16::try_from(view.0 % self.keys.len() as u64).unwrap_or(0);
        first.copied().unwrap_or_else(|| ReplicaId(position()))
    }
    /// All replicas.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        (0..u16::try_from(self.keys.len()).unwrap_or(u16::MAX)).map(ReplicaId)
    }
    /// The key of a replica, if it is a member.
    #[must_use]
    pub fn public_key(&self, replica: ReplicaId) -> Option<PublicKey> {
        self.keys.get(replica.index()).map(|(key, _)| *key)
    }
    /// The replica with this key, if it is a member.
    #[must_use]
    pub fn replica_of(&self, key: &PublicKey) -> Option<ReplicaId> {
        let index = self.keys.iter().position(|(member, _)| member == key)?;
        u16::try_from(index).ok().map(ReplicaId)
    }
    pub(crate) fn verify_key(&self, replica: ReplicaId) -> Option<&VerifyKey> {
        self.keys.get(replica.index()).map(|(_, verify)| verify)
    }
}
