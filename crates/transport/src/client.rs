//! How does a client reach the replicas? It dials all of them and pins their keys.

use quorate_types::{ReplicaId, SecretKey};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::network::check_members;
use crate::peer::{Dialler, Peer, PeerTask};
use crate::server::LANES;
use crate::socket::{self, EndpointIdentity};
use crate::tasks::{Shared, Tasks};
use crate::tls::{self, ALPN_CLIENT};
use crate::{Config, Counters, Dropped, Event, Frame, Remote, StartError};

/// The running connections of a client to all replicas. Its events are those of a replica towards
/// its peers: [`Event::Connected`], [`Event::Disconnected`] and [`Event::Frame`]. Dropping it closes
/// the connections.
#[derive(Debug)]
pub struct ClientEndpoint {
    replicas: BTreeMap<ReplicaId, Arc<Peer>>,
    shared: Arc<Shared>,
    tasks: Tasks,
}

impl ClientEndpoint {
    /// Starts to dial all replicas, from a port that the system chooses. What happens is sent to
    /// `events`; while that channel is full, connections are not read. Runs on the current tokio
    /// runtime, and panics without one.
    ///
    /// # Errors
    /// If the list of replicas is contradictory or no socket can be had.
    pub fn start(
        key: &SecretKey,
        replicas: &[Remote],
        config: Config,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, StartError> {
        check_members(replicas)?;
        let any_ipv6 = replicas.iter().any(|replica| replica.address.is_ipv6());
        let unspecified =
            if any_ipv6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        let (socket, _) = socket::bind(SocketAddr::new(unspecified, 0))?;
        let shared = Shared::new(config, events);
        let identity = EndpointIdentity::new(key, ALPN_CLIENT);
        let endpoint = socket::endpoint(socket, None, &identity, shared.tracker.clone())?;
        let tasks = Tasks::new(endpoint.clone(), &shared);
        let mut peers = BTreeMap::new();
        for replica in replicas {
            let (peer, newcomers) = Peer::new(replica.id, replica.address, shared.clone());
            let tls = tls::client(key, ALPN_CLIENT, replica.key);
            let dialler = Dialler::new(endpoint.clone(), tls, LANES, &peer);
            tasks.spawn(PeerTask::new(peer.clone(), LANES, newcomers, Some(dialler)).run());
            peers.insert(replica.id, peer);
        }
        Ok(Self { replicas: peers, shared, tasks })
    }

    /// Queues a frame for a replica. Never waits: what does not fit is dropped and counted.
    ///
    /// # Errors
    /// Why the frame was dropped.
    pub fn send(&self, to: ReplicaId, frame: Frame) -> Result<(), Dropped> {
        let Some(replica) = self.replicas.get(&to) else {
            self.shared.tally.on_dropped(Dropped::UnknownPeer);
            return Err(Dropped::UnknownPeer);
        };
        replica.send(0, frame)
    }

    /// Whether frames to this replica are being sent at the moment.
    #[must_use]
    pub fn is_connected(&self, replica: ReplicaId) -> bool {
        self.replicas.get(&replica).is_some_and(|replica| replica.is_connected())
    }

    /// Says where a replica listens from now on. Matters for the next time that it is dialled.
    pub fn set_address(&self, replica: ReplicaId, address: SocketAddr) {
        if let Some(replica) = self.replicas.get(&replica) {
            replica.set_address(address);
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.snapshot()
    }

    /// Closes all connections with [`Reason::Shutdown`](crate::Reason::Shutdown) and ends all tasks.
    /// Frames that are still queued are lost, and there are no events from then on.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}
