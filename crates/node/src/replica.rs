//! How does one run a replica for real? From a configuration file, until it is stopped.

use quorate_consensus::{Config, Limits};
use quorate_machine::{ApplicationFactory, StateMachine};
use quorate_store::MemoryDisk;
use quorate_transport::{ClientSocket, PeerSocket};
use quorate_types::ReplicaId;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::ReplicaConfig;
use crate::evidence::EvidenceBoard;
use crate::network::Sockets;
use crate::node::{Node, Setup};
use crate::{Error, Result, Status};

/// A running replica. It stops with [`Replica::stop`] or when it is dropped.
#[derive(Debug)]
pub struct Replica {
    id: ReplicaId,
    node: Node,
    peer_address: SocketAddr,
    client_address: SocketAddr,
}

impl Replica {
    /// Starts the replica that a configuration file describes, with a state machine that `make` makes
    /// in its initial state. It serves when this returns.
    ///
    /// Its log is kept in memory: after a restart of the process it knows nothing, so run it
    /// only where that is wanted.
    ///
    /// # Errors
    /// [`Error`], one sentence for each mistake in the files that says what to do.
    pub fn open<S: StateMachine>(
        path: impl AsRef<Path>,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start(ReplicaConfig::read(path)?, make)
    }

    /// As [`Replica::open`], with a configuration that was read already.
    ///
    /// # Errors
    /// [`Error`], if the configuration cannot be used on this machine.
    pub fn start<S: StateMachine>(
        config: ReplicaConfig,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Self> {
        let id = config.id;
        let sockets = Sockets {
            peers: PeerSocket::bind(config.listen_peers, &config.key)?,
            clients: ClientSocket::bind(config.listen_clients, &config.key)?,
        };
        let (peer_address, client_address) = (sockets.peers.local_addr(), sockets.clients.local_addr());
        tracing::warn!(
            replica = %id,
            "the log is kept in memory: this replica forgets everything when its process ends"
        );
        let node = Node::start(Setup {
            config: Config {
                id,
                key: config.key,
                membership: Arc::new(config.membership),
                parameters: config.genesis.protocol.clone(),
                timing: config.timing,
                limits: Limits::default(),
            },
            is_test: config.genesis.test,
            application: ApplicationFactory::new(make),
            log: Box::new(MemoryDisk::new().open()),
            durability: crate::Durability::Memory,
            is_fresh: true,
            sockets,
            members: config.members,
            evidence: EvidenceBoard::new(),
            meter: Arc::default(),
            verifier_threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        })?;
        tracing::info!(replica = %id, peers = %peer_address, clients = %client_address, "serves");
        Ok(Self { id, node, peer_address, client_address })
    }

    /// Runs until Ctrl-C, or until it is stopped elsewhere, then ends everything.
    ///
    /// # Errors
    /// [`Error::Halted`] as soon as the replica halts, with the reason; [`Error::StillRunning`].
    pub async fn run(&self) -> Result {
        let halted = self.node.wait_for(Box::new(|status| status.halted.is_some()));
        tokio::select! {
            halted = halted => {
                // An error here says that it was stopped elsewhere.
                let why = halted.ok().and_then(|status| status.halted);
                self.stop().await?;
                why.map_or(Ok(()), |why| Err(Error::Halted { replica: self.id, why }))
            }
            // Without the signal there is only `stop`.
            Ok(()) = tokio::signal::ctrl_c() => self.stop().await,
        }
    }

    /// Stops it and waits until its threads have ended and its ports are free.
    ///
    /// # Errors
    /// [`Error::StillRunning`] if its state machine does not return from a command in time.
    pub async fn stop(&self) -> Result {
        self.node.stop().await.map(drop)
    }

    /// Its number in genesis.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.id
    }

    /// Where it listens for the other replicas.
    #[must_use]
    pub const fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// Where it listens for clients.
    #[must_use]
    pub const fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// How it is doing, or what it said last if it is stopped.
    pub async fn status(&self) -> Status {
        self.node.status().await
    }
}
