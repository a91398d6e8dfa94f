//! How does one try it out? A whole cluster in this process: real replicas, real QUIC on loopback.

use quorate_consensus::{Config, Limits, Timing};
use quorate_machine::{ApplicationFactory, StateMachine};
use quorate_transport::{ClientSocket, PeerSocket, Remote};
use quorate_types::{Evidence, Genesis, Membership, ProtocolParameters, ReplicaId, Scheme, SecretKey};
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

use crate::client::{Client, ClientOptions};
use crate::config::{members, membership_of};
use crate::evidence::EvidenceBoard;
use crate::home::Home;
use crate::local_replica::LocalReplica;
use crate::meter::Meter;
use crate::network::Sockets;
use crate::node::{Node, Setup};
use crate::{Durability, Error, Result};

/// A cluster inside this process, each replica on threads of its own, connected by QUIC on loopback.
///
/// It is a test cluster: its replicas can be stopped, cut off and turned into traitors. It ends with
/// [`LocalCluster::stop`], or in the background when it is dropped.
pub struct LocalCluster<S> {
    pub(crate) genesis: Genesis,
    pub(crate) membership: Arc<Membership>,
    timing: Timing,
    application: ApplicationFactory,
    pub(crate) members: Vec<Remote>,
    client_addresses: Vec<SocketAddr>,
    evidence: EvidenceBoard,
    slots: Vec<Slot>,
    /// Pairs of replicas that are cut off from each other, the smaller number first.
    cuts: Mutex<BTreeSet<(ReplicaId, ReplicaId)>>,
    #[cfg(feature = "lab")]
    pub(crate) links: Option<crate::links::Links>,
    /// Where the randomness of traitors and links comes from.
    #[cfg(feature = "lab")]
    pub(crate) seed: u64,
    /// Removed with the cluster.
    _temporary: Option<TempDir>,
    machine: PhantomData<fn() -> S>,
}

/// Where one replica lives, whether it runs or not.
struct Slot {
    id: ReplicaId,
    key: SecretKey,
    home: Home,
    meter: Arc<Meter>,
    node: Mutex<Option<Node>>,
}

/// Settings of a [`LocalCluster`], each with a default.
#[derive(Clone, Debug)]
pub struct LocalClusterBuilder<S> {
    replicas: usize,
    durability: Durability,
    directory: Option<PathBuf>,
    timing: Timing,
    protocol: ProtocolParameters,
    scheme: Scheme,
    is_test: bool,
    #[cfg(feature = "lab")]
    pub(crate) links: Option<crate::links::Shape>,
    #[cfg(feature = "lab")]
    pub(crate) seed: Option<u64>,
    machine: PhantomData<fn() -> S>,
}

impl<S: StateMachine> LocalCluster<S> {
    /// Starts a cluster of `replicas` replicas, each with a state machine that `make` makes in its
    /// initial state. Survives `(replicas - 1) / 3` traitors.
    ///
    /// # Errors
    /// [`Error::Genesis`] for fewer than four replicas; [`Error::Transport`] if the system has no sockets.
    pub async fn start(replicas: usize, make: impl Fn() -> S + Send + Sync + 'static) -> Result<Self> {
        Self::builder().replicas(replicas).start(make).await
    }

    /// Settings to start a cluster with.
    #[must_use]
    pub fn builder() -> LocalClusterBuilder<S> {
        LocalClusterBuilder {
            replicas: 4,
            durability: Durability::Memory,
            directory: None,
            timing: Timing::default(),
            protocol: ProtocolParameters::default(),
            scheme: Scheme::Ed25519,
            is_test: true,
            #[cfg(feature = "lab")]
            links: None,
            #[cfg(feature = "lab")]
            seed: None,
            machine: PhantomData,
        }
    }

    /// A client with a new key.
    ///
    /// # Errors
    /// [`Error::Transport`] if no socket can be had.
    #[allow(clippy::unused_async, reason = "the signature leaves room to wait for connections")]
    pub async fn client(&self) -> Result<Client<S>> {
        self.client_with(&ClientOptions::default()).await
    }

    /// A client with a new key and other settings.
    ///
    /// # Errors
    /// As [`LocalCluster::client`].
    #[allow(clippy::unused_async, reason = "the signature leaves room to wait for connections")]
    pub async fn client_with(&self, options: &ClientOptions) -> Result<Client<S>> {
        let key = SecretKey::from_seed(rand::random());
        Client::start(&self.genesis, &self.client_addresses, key, options)
    }

    /// One of the replicas, counted from 0. Whether it exists shows when something is asked of it.
    #[must_use]
    pub const fn replica(&self, index: usize) -> LocalReplica<'_, S> {
        LocalReplica::new(self, index)
    }

    /// All replicas, running or not.
    pub fn replicas(&self) -> impl Iterator<Item = LocalReplica<'_, S>> {
        (0..self.slots.len()).map(|index| self.replica(index))
    }

    /// The verified proofs of misbehaviour that replicas have reported; waits up to ten seconds for
    /// the first. [`EvidenceFile`](quorate_types::EvidenceFile) makes a file of one, which `quorate verify` judges.
    ///
    /// # Errors
    /// [`Error::NoEvidence`] if none came.
    pub async fn evidence(&self) -> Result<Vec<Arc<Evidence>>> {
        self.evidence.first(EVIDENCE_WAIT_MAX).await
    }

    /// Cuts every replica of one group off from every replica of the other, in both directions, until
    /// [`LocalCluster::heal`]. Clients still reach all.
    ///
    /// # Errors
    /// [`Error::NoSuchReplica`].
    pub async fn cut(
        &self,
        one: impl IntoIterator<Item = usize>,
        other: impl IntoIterator<Item = usize>,
    ) -> Result {
        let other: Vec<ReplicaId> =
            other.into_iter().map(|index| self.id_of(index)).collect::<Result<_>>()?;
        let mut pairs = Vec::new();
        for index in one {
            let one = self.id_of(index)?;
            pairs.extend(other.iter().filter(|other| **other != one).map(|other| (one, *other)));
        }
        for (one, other) in pairs {
            lock(&self.cuts).insert((one.min(other), one.max(other)));
            self.set_cut(one, other, true).await;
            self.set_cut(other, one, true).await;
        }
        Ok(())
    }

    /// Ends all cuts.
    pub async fn heal(&self) {
        let cuts = std::mem::take(&mut *lock(&self.cuts));
        for (one, other) in cuts {
            self.set_cut(one, other, false).await;
            self.set_cut(other, one, false).await;
        }
    }

    /// Stops all replicas and waits until their threads have ended and their ports are free.
    ///
    /// # Errors
    /// [`Error::StillRunning`] if a state machine does not return from a command in time.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn stop(&self) -> Result {
        let nodes: Vec<Node> = self.slots.iter().filter_map(|slot| lock(&slot.node).clone()).collect();
        let stops: Vec<_> =
            nodes.into_iter().map(|node| tokio::spawn(async move { node.stop().await })).collect();
        for stop in stops {
            stop.await.expect("stopping does not panic")?;
        }
        Ok(())
    }

    /// The cluster's genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Where each replica listens for clients, in the order of their numbers.
    #[must_use]
    pub fn client_addresses(&self) -> &[SocketAddr] {
        &self.client_addresses
    }

    /// The replicas with their keys and the addresses at which they reach each other.
    #[must_use]
    pub fn members(&self) -> &[Remote] {
        &self.members
    }

    pub(crate) fn node(&self, index: usize) -> Result<Node> {
        let slot = self.slot(index)?;
        lock(&slot.node).clone().ok_or(Error::Stopped { replica: slot.id })
    }

    pub(crate) fn meter(&self, index: usize) -> Result<&Meter> {
        self.slot(index).map(|slot| &*slot.meter)
    }

    /// Starts a stopped or halted replica again, at its addresses and on what its log holds.
    pub(crate) async fn restart(&self, index: usize) -> Result {
        let slot = self.slot(index)?;
        let old = lock(&slot.node).clone();
        if let Some(node) = old {
            let status = node.status().await;
            if status.is_running && status.halted.is_none() {
                return Err(Error::Running { replica: slot.id });
            }
            node.stop().await?;
        }
        let peer_address = self.members.get(index).map(|member| member.address);
        let (Some(peers), Some(clients)) = (peer_address, self.client_addresses.get(index)) else {
            return Err(self.no_such(index));
        };
        let sockets = Sockets {
            peers: PeerSocket::bind(peers, &slot.key)?,
            clients: ClientSocket::bind(*clients, &slot.key)?,
        };
        let node = self.start_node(slot, sockets)?;
        let cuts = lock(&self.cuts).clone();
        for (one, other) in cuts {
            for (me, peer) in [(one, other), (other, one)] {
                if me == slot.id {
                    node.set_cut(peer, true).await;
                }
            }
        }
        *lock(&slot.node) = Some(node);
        Ok(())
    }

    fn start_node(&self, slot: &Slot, sockets: Sockets) -> Result<Node> {
        let config = Config {
            id: slot.id,
            key: slot.key.clone(),
            start: rand::random(),
            membership: Arc::clone(&self.membership),
            parameters: self.genesis.protocol.clone(),
            timing: self.timing.clone(),
            limits: Limits::default(),
        };
        Node::start(Setup {
            config,
            is_test: self.genesis.test,
            start: self.genesis.start,
            application: self.application.clone(),
            disk: slot.home.open(self.membership.cluster(), slot.key.public())?,
            sockets,
            members: self.members_for(slot.id),
            evidence: self.evidence.clone(),
            meter: Arc::clone(&slot.meter),
            verifier_threads: 1,
        })
    }

    /// The replicas with the addresses at which one of them reaches them.
    #[cfg(not(feature = "lab"))]
    fn members_for(&self, _: ReplicaId) -> Vec<Remote> {
        self.members.clone()
    }

    /// A replica's number and key.
    #[cfg(feature = "lab")]
    pub(crate) fn identity(&self, index: usize) -> Result<(ReplicaId, SecretKey)> {
        self.slot(index).map(|slot| (slot.id, slot.key.clone()))
    }

    /// Stops a replica and replaces its disk by an empty one.
    pub(crate) async fn wipe(&self, index: usize) -> Result {
        let slot = self.slot(index)?;
        let old = lock(&slot.node).clone();
        if let Some(node) = old {
            node.stop().await?;
        }
        *lock(&slot.node) = None;
        slot.home.wipe()
    }

    async fn set_cut(&self, replica: ReplicaId, peer: ReplicaId, is_cut: bool) {
        if let Ok(node) = self.node(replica.index()) {
            node.set_cut(peer, is_cut).await;
        }
    }

    fn slot(&self, index: usize) -> Result<&Slot> {
        self.slots.get(index).ok_or_else(|| self.no_such(index))
    }

    fn id_of(&self, index: usize) -> Result<ReplicaId> {
        self.slot(index).map(|slot| slot.id)
    }

    fn no_such(&self, replica: usize) -> Error {
        Error::NoSuchReplica { replica, count: self.slots.len() }
    }
}

impl<S: StateMachine> LocalClusterBuilder<S> {
    /// How many replicas. 4 by default, at least 4.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// What the logs survive. [`Durability::Memory`] by default.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Where replicas keep their data, each in a directory of its own, which is new. This means
    /// [`Durability::Sync`]; without it, that durability uses a temporary directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self.durability = Durability::Sync;
        self
    }

    /// The replicas' timing.
    #[must_use]
    pub const fn timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The parameters that stand in genesis.
    #[must_use]
    pub const fn protocol(mut self, protocol: ProtocolParameters) -> Self {
        self.protocol = protocol;
        self
    }

    /// How the cluster signs. A node refuses what proves nothing.
    #[must_use]
    pub const fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// Whether genesis calls it a test cluster, which accepts adversaries. True by default.
    #[must_use]
    pub const fn test(mut self, is_test: bool) -> Self {
        self.is_test = is_test;
        self
    }

    /// Starts the cluster, each replica with a state machine that `make` makes in its initial state.
    ///
    /// # Errors
    /// As [`LocalCluster::start`], and for parameters that genesis does not allow.
    #[allow(clippy::unused_async, reason = "the signature leaves room to wait for connections")]
    pub async fn start(self, make: impl Fn() -> S + Send + Sync + 'static) -> Result<LocalCluster<S>> {
        let keys: Vec<SecretKey> = (0..self.replicas).map(|_| SecretKey::from_seed(rand::random())).collect();
        let genesis = Genesis {
            name: "local".to_owned(),
            test: self.is_test,
            scheme: self.scheme,
            replicas: keys.iter().map(member_in_genesis).collect(),
            protocol: self.protocol.clone(),
            app_version: 0,
            start: None,
        };
        let membership = Arc::new(membership_of(&genesis)?);
        let sockets: Vec<Sockets> = keys.iter().map(bind).collect::<Result<_>>()?;
        let peer_addresses: Vec<SocketAddr> =
            sockets.iter().map(|sockets| sockets.peers.local_addr()).collect();
        let temporary = match (self.durability, &self.directory) {
            (Durability::Sync, None) => Some(TempDir::with_prefix("quorate-").map_err(Error::Temporary)?),
            _ => None,
        };
        let directory = self.directory.as_deref().or(temporary.as_ref().map(TempDir::path));
        let directory = directory.filter(|_| self.durability == Durability::Sync);
        let slot = |(id, key): (ReplicaId, SecretKey)| {
            let home = match directory {
                Some(path) => {
                    let path = path.join(format!("replica-{id}"));
                    Home::in_directory(&path, membership.cluster(), key.public())?
                }
                None => Home::in_memory(),
            };
            Ok(Slot { id, key, home, meter: Arc::default(), node: Mutex::new(None) })
        };
        let slots: Vec<Slot> = membership.replicas().zip(keys).map(slot).collect::<Result<_>>()?;
        #[cfg(feature = "lab")]
        let seed = self.seed.unwrap_or_else(rand::random);
        #[cfg(feature = "lab")]
        let links =
            self.links.map(|shape| crate::links::Links::start(&peer_addresses, &shape, seed)).transpose();
        let cluster = LocalCluster {
            members: members(&membership, &peer_addresses)?,
            client_addresses: sockets.iter().map(|sockets| sockets.clients.local_addr()).collect(),
            genesis,
            membership,
            timing: self.timing,
            application: ApplicationFactory::new(make),
            evidence: EvidenceBoard::new(),
            slots,
            _temporary: temporary,
            cuts: Mutex::default(),
            #[cfg(feature = "lab")]
            links: links.map_err(Error::Links)?,
            #[cfg(feature = "lab")]
            seed,
            machine: PhantomData,
        };
        for (slot, sockets) in cluster.slots.iter().zip(sockets) {
            *lock(&slot.node) = Some(cluster.start_node(slot, sockets)?);
        }
        Ok(cluster)
    }
}

impl<S> std::fmt::Debug for LocalCluster<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCluster").field("members", &self.members).finish_non_exhaustive()
    }
}

fn member_in_genesis(key: &SecretKey) -> quorate_types::Member {
    quorate_types::Member { key: key.public(), organisation: "local".to_owned() }
}

fn bind(key: &SecretKey) -> Result<Sockets> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(Sockets { peers: PeerSocket::bind(any_port, key)?, clients: ClientSocket::bind(any_port, key)? })
}

/// No operation leaves what is locked half changed, so a panic elsewhere under the lock does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const EVIDENCE_WAIT_MAX: Duration = Duration::from_secs(10);
