//! How do replicas reach each other? Every pair holds one connection with two lanes, dialled by the
//! replica with the smaller id.

use quinn::Connection;
use quorate_types::{PublicKey, ReplicaId, Scheme, SecretKey, VerifyKey};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::accept::{self, Accepted};
use crate::event::Origin;
use crate::peer::{Dialler, Peer, PeerTask};
use crate::socket::{self, EndpointIdentity};
use crate::tasks::{Shared, Tasks};
use crate::tls::{self, ALPN_PEER, Trust};
use crate::{Config, Counters, Dropped, Event, Frame, Reason, StartError, link};

/// A replica, as its peers and clients dial it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its position in the membership.
    pub id: ReplicaId,
    /// Its key, which the handshake must prove.
    pub key: PublicKey,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a frame between replicas is. Each class has a queue and a stream of its own, so that bulk
/// data never stands before a vote. Frames of one class arrive in the order in which they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Protocol messages; sent first.
    Consensus = 0,
    /// Large data that can wait: fetched blocks and batches.
    Bulk = 1,
}

/// A bound socket between replicas that does not answer yet. Binding comes first, so that a cluster
/// with ports chosen by the system can learn all addresses before anybody dials.
#[derive(Debug)]
pub struct PeerSocket {
    socket: UdpSocket,
    address: SocketAddr,
    key: SecretKey,
}

impl PeerSocket {
    /// Binds the address; port 0 lets the system choose. Needs no runtime.
    ///
    /// # Errors
    /// If the address cannot be bound, with a sentence that says what to do.
    pub fn bind(address: SocketAddr, key: &SecretKey) -> Result<Self, StartError> {
        let (socket, address) = socket::bind(address)?;
        Ok(Self { socket, address, key: key.clone() })
    }

    /// Where the socket is bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Starts to dial and accept the other members. `members` names all of them, and this replica
    /// `me` too. What happens is sent to `events`; while that channel is full, connections are not
    /// read. Runs on the current tokio runtime, and panics without one.
    ///
    /// # Errors
    /// If the membership is contradictory or the runtime refuses the socket.
    pub fn start(
        self,
        me: ReplicaId,
        members: &[Remote],
        config: Config,
        events: mpsc::Sender<Event>,
    ) -> Result<PeerNetwork, StartError> {
        check_members(members)?;
        let own = members.iter().find(|member| member.id == me).ok_or(StartError::NotAMember { me })?;
        if own.key != self.key.public() {
            return Err(StartError::KeyMismatch { me });
        }
        let others = || members.iter().filter(|member| member.id != me);
        let shared = Shared::new(config, events);
        let trust = Trust::Members(others().map(|member| member.key).collect());
        let tls = tls::server(&self.key, ALPN_PEER, trust);
        let server = socket::server(tls, &shared.config, LANES, self.address);
        let identity = EndpointIdentity::new(&self.key, ALPN_PEER);
        let endpoint = socket::endpoint(self.socket, Some(server), &identity, shared.tracker.clone())?;

        let tasks = Tasks::new(endpoint.clone(), &shared);
        let mut peers = BTreeMap::new();
        let mut ids = BTreeMap::new();
        for member in others() {
            let (peer, newcomers) = Peer::new(member.id, member.address, shared.clone());
            let dialler = (me < member.id).then(|| {
                let tls = tls::client(&self.key, ALPN_PEER, member.key);
                Dialler::new(endpoint.clone(), tls, LANES, &peer)
            });
            tasks.spawn(PeerTask::new(peer.clone(), LANES, newcomers, dialler).run());
            ids.insert(member.key, member.id);
            peers.insert(member.id, peer);
        }
        let peers = Arc::new(peers);
        let door = Door { me, ids: Arc::new(ids), peers: peers.clone(), shared: shared.clone() };
        tasks
            .spawn(accept::run(endpoint, shared.clone(), move |accepted| door.clone().on_accepted(accepted)));
        Ok(PeerNetwork { peers, shared, tasks, address: self.address })
    }
}

/// The running connections of a replica to its peers. Dropping it closes them.
#[derive(Debug)]
pub struct PeerNetwork {
    peers: Arc<BTreeMap<ReplicaId, Arc<Peer>>>,
    shared: Arc<Shared>,
    tasks: Tasks,
    address: SocketAddr,
}

impl PeerNetwork {
    /// Queues a frame for a peer. Never waits: what does not fit is dropped and counted.
    ///
    /// # Errors
    /// Why the frame was dropped.
    pub fn send(&self, to: ReplicaId, class: Class, frame: Frame) -> Result<(), Dropped> {
        let Some(peer) = self.peers.get(&to) else {
            self.shared.tally.on_dropped(Dropped::UnknownPeer);
            return Err(Dropped::UnknownPeer);
        };
        peer.send(class as usize, frame)
    }

    /// Whether frames to this peer are being sent at the moment.
    #[must_use]
    pub fn is_connected(&self, peer: ReplicaId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.is_connected())
    }

    /// Closes the connection to a peer and keeps it closed: frames to it are dropped, and it is
    /// refused. Frames that were already delivered as events remain.
    pub fn cut(&self, peer: ReplicaId) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.set_cut(true);
        }
    }

    /// Lets a peer connect again that was cut off.
    pub fn heal(&self, peer: ReplicaId) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.set_cut(false);
        }
    }

    /// Says where a peer listens from now on. Matters for the next time that it is dialled.
    pub fn set_address(&self, peer: ReplicaId, address: SocketAddr) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.set_address(address);
        }
    }

    /// Where this replica listens for its peers.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.tally.snapshot()
    }

    /// Closes all connections with [`Reason::Shutdown`], ends all tasks and frees the port. Frames
    /// that are still queued are lost, and there are no events from then on.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}

/// Refuses a membership with two members of one id or key, or with a weak key.
pub(crate) fn check_members(members: &[Remote]) -> Result<(), StartError> {
    let mut ids: BTreeMap<PublicKey, ReplicaId> = BTreeMap::new();
    for (position, member) in members.iter().enumerate() {
        let id = member.id;
        if members.iter().take(position).any(|other| other.id == id) {
            return Err(StartError::DuplicateId { id });
        }
        if let Some(other) = ids.insert(member.key, id) {
            return Err(StartError::DuplicateKey { id, other });
        }
        VerifyKey::new(Scheme::Ed25519, &member.key).map_err(|error| StartError::Key { id, error })?;
    }
    Ok(())
}

/// Leads accepted connections to their peers.
#[derive(Clone)]
struct Door {
    me: ReplicaId,
    ids: Arc<BTreeMap<PublicKey, ReplicaId>>,
    peers: Arc<BTreeMap<ReplicaId, Arc<Peer>>>,
    shared: Arc<Shared>,
}

impl Door {
    async fn on_accepted(self, accepted: Accepted) {
        match self.peer_of(&accepted) {
            Ok(peer) => peer.on_accepted(accepted.connection),
            Err((id, reason)) => self.refuse(&accepted.connection, id, reason),
        }
    }

    fn peer_of(&self, accepted: &Accepted) -> Result<&Arc<Peer>, (ReplicaId, Reason)> {
        // The handshake lets only members in; a stranger here would be our own mistake.
        let id = *self.ids.get(&accepted.key).ok_or((self.me, Reason::UnknownKey))?;
        if id > self.me {
            return Err((id, Reason::WrongDirection));
        }
        self.peers.get(&id).ok_or((id, Reason::UnknownKey))
    }

    fn refuse(&self, connection: &Connection, id: ReplicaId, reason: Reason) {
        self.shared.tally.on_ended(link::close(connection, reason), &Origin::Replica(id));
    }
}

/// One per [`Class`].
const LANES: usize = 2;
