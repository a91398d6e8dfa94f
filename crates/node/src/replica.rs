//! How does one run a replica for real? From a configuration file, until it is stopped.

use quorate_consensus::{Config, Limits};
use quorate_machine::{ApplicationFactory, StateMachine};
use quorate_transport::{ClientSocket, PeerSocket};
use quorate_types::ReplicaId;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::config::ReplicaConfig;
use crate::control::{ControlServer, ControlSocket};
use crate::evidence::EvidenceBoard;
use crate::network::Sockets;
use crate::node::{Node, Setup};
use crate::{Error, Result, Status, directory};

/// A running replica. It stops with [`Replica::stop`] or when it is dropped.
#[derive(Debug)]
pub struct Replica {
    id: ReplicaId,
    /// Dropped before the node: it holds a handle on it.
    _control: ControlServer,
    node: Node,
    peer_address: SocketAddr,
    client_address: SocketAddr,
}

impl Replica {
    /// Prepares the directory of the replica that a configuration file describes: it never ran before, so
    /// nothing is signed with its key. Do this once for each key, and never after a loss.
    ///
    /// # Errors
    /// [`Error`], also if the directory holds something already.
    pub fn init(path: impl AsRef<Path>) -> Result<ReplicaId> {
        let config = ReplicaConfig::read(path)?;
        directory::init(&config)?;
        Ok(config.id)
    }

    /// Starts the replica that a configuration file describes, with a state machine that `make` makes
    /// in its initial state. It serves when this returns.
    ///
    /// Its directory must have been prepared by [`Replica::init`], once; else it counts as one that lost
    /// its disk, and waits until the others let it take part again (rule D3).
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
        let directory = directory::open(&config.dir, config.membership.cluster(), config.key.public())?;
        let control = ControlSocket::bind(&config.dir)?;
        let sockets = Sockets {
            peers: PeerSocket::bind(config.listen_peers, &config.key)?,
            clients: ClientSocket::bind(config.listen_clients, &config.key)?,
        };
        let (peer_address, client_address) = (sockets.peers.local_addr(), sockets.clients.local_addr());
        let disk = directory::disk(directory, config.durability)?;
        let others = config.members.iter().map(|member| member.id).filter(|other| *other != id).collect();
        let node = Node::start(Setup {
            config: Config {
                id,
                key: config.key,
                start: rand::random(),
                membership: Arc::new(config.membership),
                parameters: config.genesis.protocol.clone(),
                timing: config.timing,
                limits: Limits::default(),
            },
            is_test: config.genesis.test,
            start: config.genesis.start,
            application: ApplicationFactory::new(make),
            disk,
            sockets,
            members: config.members,
            evidence: EvidenceBoard::new(),
            meter: Arc::default(),
            verifier_threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        })?;
        let control = ControlServer::start(control, node.clone(), others)
            .map_err(|error| Error::Thread { replica: id, error })?;
        tracing::info!(replica = %id, peers = %peer_address, clients = %client_address, "serves");
        Ok(Self { id, _control: control, node, peer_address, client_address })
    }

    /// Runs until Ctrl-C or SIGTERM, or until it is stopped elsewhere, then ends everything.
    ///
    /// # Errors
    /// [`Error::Halted`] as soon as the replica halts, with the reason; [`Error::StillRunning`].
    pub async fn run(&self) -> Result {
        let halted = self.node.wait_for(Box::new(|status| status.halted.is_some() && !status.is_dumping));
        tokio::select! {
            halted = halted => {
                // An error here says that it was stopped elsewhere.
                let why = halted.ok().and_then(|status| status.halted);
                self.stop().await?;
                why.map_or(Ok(()), |why| Err(Error::Halted { replica: self.id, why }))
            }
            () = signalled() => self.stop().await,
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

/// Waits for Ctrl-C or SIGTERM. Where the system gives neither there is only `stop`.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
