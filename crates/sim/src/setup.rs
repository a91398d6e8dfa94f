//! Who takes part, under which rules? Keys, membership and timing of a simulated cluster. Making
//! keys costs more than a short run, so each thread makes a setup once.

use quorate_consensus::client::ClientConfig;
use quorate_consensus::{Config, Limits, Timing};
use quorate_types::{
    Digest, Genesis, Member, Membership, ProtocolParameters, ReplicaId, Scheme, SecretKey, Verifier,
};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How a simulated cluster signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crypto {
    /// A checksum that costs nanoseconds. Adversaries have no access to honest keys, so that it is
    /// as good as the real one inside a simulation.
    #[default]
    Fast,
    /// Ed25519, as on real networks.
    Real,
}

/// Parameters of the protocol that plans vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// See [`ProtocolParameters::checkpoint_interval`].
    pub checkpoint_interval: u64,
    /// See [`ProtocolParameters::window`].
    pub window: u64,
    /// See [`ProtocolParameters::blocks_in_flight_max`].
    pub blocks_in_flight_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { checkpoint_interval: 4, window: 64, blocks_in_flight_max: 32 }
    }
}

/// Most clients in one simulation.
pub const CLIENTS_MAX: usize = 16;

/// Everything that is the same for all runs of one shape.
#[derive(Debug)]
pub struct Setup {
    /// The replicas.
    pub membership: Arc<Membership>,
    /// The parameters of genesis.
    pub parameters: ProtocolParameters,
    /// Spans of time of every replica.
    pub timing: Timing,
    /// The verifier that every replica's driver uses.
    pub verifier: Verifier,
    /// Who leads the first views, where that is not v mod n.
    pub first_primaries: Vec<ReplicaId>,
    /// Before a client sends to all replicas.
    client_retry: Duration,
    keys: Vec<SecretKey>,
    client_keys: Vec<SecretKey>,
}

impl Setup {
    /// The setup of a cluster of so many replicas.
    ///
    /// # Panics
    /// If there cannot be such a cluster: fewer than 4 or more than 128 replicas, or parameters out of range.
    #[must_use]
    pub fn new(replicas: u16, crypto: Crypto, parameters: ProtocolParameters, timing: Timing) -> Self {
        let scheme = match crypto {
            Crypto::Fast => Scheme::Simulated,
            Crypto::Real => Scheme::Ed25519,
        };
        let key = |kind: &str, number: u64| {
            let seed = Digest::of_parts("quorate simulation key", &[kind.as_bytes(), &number.to_le_bytes()]);
            SecretKey::with_scheme(scheme, seed.0)
        };
        let keys: Vec<SecretKey> = (0..u64::from(replicas)).map(|number| key("replica", number)).collect();
        let client_keys = (0..CLIENTS_MAX as u64).map(|number| key("client", number)).collect();
        let member = |key: &SecretKey| Member { key: key.public(), organisation: String::new() };
        let genesis = Genesis {
            name: "simulation".to_owned(),
            test: true,
            scheme,
            replicas: keys.iter().map(member).collect(),
            protocol: parameters.clone(),
            app_version: 1,
            start: None,
        };
        let membership = Arc::new(genesis.membership().unwrap_or_else(|error| panic!("{error}")));
        let verifier = Verifier::new(Arc::clone(&membership), parameters.clone());
        let (first_primaries, client_retry) = (Vec::new(), CLIENT_RETRY_MIN);
        Self { membership, parameters, timing, verifier, first_primaries, client_retry, keys, client_keys }
    }

    /// The same with other primaries in the first views, and with clients that send to all replicas after so long.
    ///
    /// # Panics
    /// If a primary is no replica.
    #[must_use]
    pub fn exploring(self, first_primaries: Vec<ReplicaId>, client_retry: Duration) -> Self {
        let membership = (*self.membership).clone().with_first_primaries(first_primaries.clone());
        let membership = Arc::new(membership);
        let verifier = Verifier::new(Arc::clone(&membership), self.parameters.clone());
        Self { membership, verifier, first_primaries, client_retry, ..self }
    }

    /// The setup of planned runs, made once per thread.
    #[must_use]
    pub fn planned(replicas: u16, crypto: Crypto, bounds: Bounds) -> Arc<Self> {
        thread_local! {
            static MADE: RefCell<BTreeMap<(u16, Crypto, Bounds), Arc<Setup>>> = const { RefCell::new(BTreeMap::new()) };
        }
        let make = || Arc::new(Self::new(replicas, crypto, parameters_of(bounds), timing()));
        MADE.with_borrow_mut(|made| Arc::clone(made.entry((replicas, crypto, bounds)).or_insert_with(make)))
    }

    /// Number of replicas.
    #[must_use]
    pub const fn replicas(&self) -> usize {
        self.keys.len()
    }

    /// The key of a replica, for itself and for those that collude with it.
    pub(crate) fn key(&self, replica: ReplicaId) -> SecretKey {
        self.keys[replica.index()].clone()
    }

    /// The key of a client.
    pub(crate) fn client_key(&self, client: usize) -> &SecretKey {
        &self.client_keys[client]
    }

    /// What a replica is told.
    pub(crate) fn config(&self, id: ReplicaId, start: u64) -> Config {
        Config {
            id,
            key: self.key(id),
            start,
            membership: Arc::clone(&self.membership),
            parameters: self.parameters.clone(),
            timing: self.timing.clone(),
            // Nothing below the stable checkpoint, so that laggards need states.
            limits: Limits { history_bytes_max: 0, ..Limits::default() },
        }
    }

    /// What a client is told.
    pub(crate) fn client_config(&self, client: usize, nonce: u64) -> ClientConfig {
        ClientConfig {
            key: self.client_key(client).clone(),
            cluster: self.membership.cluster(),
            epoch: self.membership.epoch(),
            quorums: self.membership.quorums(),
            nonce,
            parameters: self.parameters.clone(),
            retry_min: self.client_retry,
            deadline: CLIENT_DEADLINE,
            window: 64,
            bundle_max: 8,
        }
    }
}

/// The parameters of planned runs: small limits, so that they are reached.
fn parameters_of(bounds: Bounds) -> ProtocolParameters {
    ProtocolParameters {
        checkpoint_interval: bounds.checkpoint_interval,
        window: bounds.window,
        blocks_in_flight_max: bounds.blocks_in_flight_max,
        batch_bytes_max: 4096,
        command_bytes_max: 1024,
        ..ProtocolParameters::default()
    }
}

/// The timing of planned runs: latencies are about a millisecond, a view lasts five statuses,
/// as by default, and an hour of rule D3 is a third of a second.
#[must_use]
pub fn timing() -> Timing {
    Timing {
        batch_delay: Duration::from_micros(200),
        view_timeout_min: Duration::from_millis(150),
        view_timeout_max: Duration::from_millis(450),
        grace: Duration::from_millis(2),
        status_interval: Duration::from_millis(30),
        fairness_timeout: Duration::from_millis(250),
        fetch_timeout: Duration::from_millis(15),
        wish_interval: Duration::from_millis(300),
    }
}

/// Before a client of planned runs sends to all replicas.
const CLIENT_RETRY_MIN: Duration = Duration::from_millis(50);
/// Longer than every run: whether a request ends in time is the simulator's to judge.
const CLIENT_DEADLINE: Duration = Duration::from_secs(3600);

/// A span in the simulator's unit of time.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
