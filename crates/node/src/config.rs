//! What stands in the files? `replica.toml`, `cluster.json`, `genesis.json` and key files, each mistake
//! answered by one sentence. Paths in a file are relative to its directory.

use quorate_consensus::Timing;
use quorate_transport::Remote;
use quorate_types::{Genesis, Membership, ReplicaId, Scheme, SecretKey, hex};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Durability, Error, Result};

/// One replica's configuration, `replica.toml`. Unknown keys are mistakes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaFile {
    /// Path of `genesis.json`.
    pub genesis: PathBuf,
    /// Path of the replica's secret key.
    pub key: PathBuf,
    /// Where it listens for the other replicas, as `0.0.0.0:7000`.
    pub listen_peers: String,
    /// Where it listens for clients.
    pub listen_clients: String,
    /// Where every replica can be reached by the others, in the order of genesis, its own address
    /// included.
    pub replicas: Vec<String>,
    /// The replica's directory, for its data and its control socket; `replica-N` by default, where N is
    /// its number in genesis.
    pub dir: Option<PathBuf>,
    /// What the log survives: `"sync"` by default, or `"memory"`.
    #[serde(default)]
    pub durability: Durability,
    /// Spans of time that derive from the network.
    #[serde(default)]
    pub timing: TimingFile,
}

/// The section `[timing]` of a replica's configuration, in milliseconds. What is absent has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimingFile {
    /// How long a primary waits for a full batch while blocks are in flight. 0.5 by default; 5 suits
    /// wide-area networks.
    pub batch_delay_ms: Option<f64>,
    /// The least time that a view gets before it is changed.
    pub view_timeout_min_ms: Option<f64>,
    /// The most time that a view gets, however many failed before it.
    pub view_timeout_max_ms: Option<f64>,
    /// Between two statuses to every peer.
    pub status_interval_ms: Option<f64>,
    /// How long a known request may stay unproposed.
    pub fairness_timeout_ms: Option<f64>,
    /// How long before something fetched is asked for from another replica.
    pub fetch_timeout_ms: Option<f64>,
    /// How often a replica that lost its disk may make this one leave its view. An hour by default.
    pub wish_interval_ms: Option<f64>,
}

/// What a client needs to know of a cluster, `cluster.json`. Unknown keys are mistakes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    /// Path of `genesis.json`.
    pub genesis: PathBuf,
    /// Where every replica listens for clients, in the order of genesis.
    pub replicas: Vec<String>,
}

/// What `cluster.json` and the genesis that it names say.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The cluster's genesis.
    pub genesis: Genesis,
    /// Where every replica listens for clients, in the order of genesis.
    pub replicas: Vec<SocketAddr>,
}

impl ClusterConfig {
    /// Reads `cluster.json` and the genesis that it names.
    ///
    /// # Errors
    /// [`Error`], one sentence for each mistake that says what to do.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file: ClusterFile = parse_json(path, &read(path, None)?)?;
        let genesis = read_genesis(&beside(path, &file.genesis), Some(path))?;
        Ok(Self { genesis, replicas: resolve_all(&file.replicas, path)? })
    }
}

/// What `replica.toml` and the files that it names say, checked against each other.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The replica's number in genesis.
    pub id: ReplicaId,
    /// Its secret key.
    pub key: SecretKey,
    /// The cluster's genesis.
    pub genesis: Genesis,
    /// The replicas of genesis, with checked keys.
    pub membership: Membership,
    /// The replicas with the addresses at which they reach each other.
    pub members: Vec<Remote>,
    /// Where it listens for the other replicas.
    pub listen_peers: SocketAddr,
    /// Where it listens for clients.
    pub listen_clients: SocketAddr,
    /// Its directory.
    pub dir: PathBuf,
    /// What its log survives.
    pub durability: Durability,
    /// Its timing.
    pub timing: Timing,
}

impl ReplicaConfig {
    /// Reads `replica.toml` and the files that it names.
    ///
    /// # Errors
    /// [`Error`], one sentence for each mistake that says what to do.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read(path, None)?;
        let file: ReplicaFile = toml::from_str(&text).map_err(|error| content(path, error.to_string()))?;
        let genesis = read_genesis(&beside(path, &file.genesis), Some(path))?;
        let membership = membership_of(&genesis)?;
        let key = read_key(&beside(path, &file.key), Some(path))?;
        let id = membership.replica_of(&key.public()).ok_or(Error::NotAMember { key: key.public() })?;
        let members = members(&membership, &resolve_all(&file.replicas, path)?)?;
        Ok(Self {
            id,
            key,
            members,
            listen_peers: resolve(&file.listen_peers, path)?,
            listen_clients: resolve(&file.listen_clients, path)?,
            dir: beside(path, &file.dir.unwrap_or_else(|| format!("replica-{id}").into())),
            durability: file.durability,
            timing: file.timing.timing().map_err(|problem| content(path, problem))?,
            genesis,
            membership,
        })
    }
}

impl TimingFile {
    fn timing(&self) -> Result<Timing, String> {
        let mut timing = Timing::default();
        let settings = [
            ("batch_delay_ms", self.batch_delay_ms, &mut timing.batch_delay),
            ("view_timeout_min_ms", self.view_timeout_min_ms, &mut timing.view_timeout_min),
            ("view_timeout_max_ms", self.view_timeout_max_ms, &mut timing.view_timeout_max),
            ("status_interval_ms", self.status_interval_ms, &mut timing.status_interval),
            ("fairness_timeout_ms", self.fairness_timeout_ms, &mut timing.fairness_timeout),
            ("fetch_timeout_ms", self.fetch_timeout_ms, &mut timing.fetch_timeout),
            ("wish_interval_ms", self.wish_interval_ms, &mut timing.wish_interval),
        ];
        for (name, setting, place) in settings {
            let Some(ms) = setting else { continue };
            if !(TIMING_MS_MIN..=TIMING_MS_MAX).contains(&ms) {
                return Err(format!(
                    "`{name}` must be between {TIMING_MS_MIN} and {TIMING_MS_MAX}, not {ms}"
                ));
            }
            *place = Duration::from_secs_f64(ms / 1000.0);
        }
        if timing.view_timeout_min > timing.view_timeout_max {
            return Err("`view_timeout_min_ms` must not be above `view_timeout_max_ms`".to_owned());
        }
        Ok(timing)
    }
}

/// The membership of a genesis that a node accepts: its signatures prove something.
pub(crate) fn membership_of(genesis: &Genesis) -> Result<Membership> {
    if genesis.scheme != Scheme::Ed25519 {
        return Err(Error::SimulatedScheme);
    }
    Ok(genesis.membership()?)
}

/// Puts addresses to the replicas of a membership.
pub(crate) fn members(membership: &Membership, addresses: &[SocketAddr]) -> Result<Vec<Remote>> {
    let count = membership.quorums().n();
    if addresses.len() != count {
        return Err(Error::Setting(format!(
            "genesis has {count} replicas but `replicas` lists {} addresses; list one for each, in the order of genesis",
            addresses.len()
        )));
    }
    let keyed = membership.replicas().zip(addresses).filter_map(|(id, address)| {
        membership.public_key(id).map(|key| Remote { id, key, address: *address })
    });
    Ok(keyed.collect())
}

/// Reads a genesis.
///
/// # Errors
/// [`Error::File`] or [`Error::Content`]; its rules are checked where it is used.
pub fn read_genesis(path: &Path, named_in_file: Option<&Path>) -> Result<Genesis> {
    parse_json(path, &read(path, named_in_file)?)
}

/// Reads a secret key: 64 hexadecimal digits on one line.
///
/// # Errors
/// [`Error::File`] or [`Error::Content`].
pub fn read_key(path: &Path, named_in_file: Option<&Path>) -> Result<SecretKey> {
    let text = read(path, named_in_file)?;
    let seed = hex::decode(text.trim()).ok_or_else(|| {
        content(path, "a key file holds 64 hexadecimal digits; make one with `quorate keygen`".to_owned())
    })?;
    Ok(SecretKey::from_seed(seed))
}

fn read(path: &Path, named_in_file: Option<&Path>) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::File {
        path: path.to_owned(),
        named_in_file: named_in_file.map(Path::to_owned),
        error,
    })
}

fn parse_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| content(path, error.to_string()))
}

fn content(path: &Path, problem: String) -> Error {
    Error::Content { path: path.to_owned(), problem }
}

/// A path in a file is relative to the file's directory.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(path)
}

fn resolve_all(addresses: &[String], path: &Path) -> Result<Vec<SocketAddr>> {
    addresses.iter().map(|address| resolve(address, path)).collect()
}

/// The first address of `host:port`; a name is looked up once.
fn resolve(address: &str, path: &Path) -> Result<SocketAddr> {
    let refused = |error| Error::Address { address: address.to_owned(), path: path.to_owned(), error };
    let mut found = address.to_socket_addrs().map_err(refused)?;
    found.next().ok_or_else(|| refused(std::io::Error::other("the name has no address")))
}

/// Less is below what a timer can do.
const TIMING_MS_MIN: f64 = 0.05;
/// An hour. More would be a mistake of units.
const TIMING_MS_MAX: f64 = 3_600_000.0;
