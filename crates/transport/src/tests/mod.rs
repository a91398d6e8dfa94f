//! What do the tests share? Replicas and clients on loopback, a hostile end that speaks QUIC without
//! our rules, and waiting with a deadline.

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use quorate_types::{PublicKey, ReplicaId, SecretKey};
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::socket::{self, EndpointIdentity};
use crate::tasks::Tracker;
use crate::{
    ClientServer, ClientSocket, Config, Ending, Event, Frame, FrameLimits, PeerNetwork, PeerSocket, Reason,
    Remote, tls,
};

mod clients;
mod hostile;
mod peers;
mod restarts;
mod start;

pub(crate) const R0: ReplicaId = ReplicaId(0);
pub(crate) const R1: ReplicaId = ReplicaId(1);
pub(crate) const R2: ReplicaId = ReplicaId(2);

/// The key of a replica, client or stranger, by number.
pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_seed([number; 32])
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

pub(crate) fn frame(head: &[u8], payload: &[u8]) -> Frame {
    Frame { head: Bytes::copy_from_slice(head), payload: Bytes::copy_from_slice(payload) }
}

/// Small limits, so that tests reach them, and quick retries.
pub(crate) fn small(config: Config) -> Config {
    Config {
        limits: FrameLimits { head_bytes_max: 1 << 10, payload_bytes_max: 1 << 20 },
        reconnect_max: Duration::from_millis(100),
        ..config
    }
}

/// Fails the test instead of hanging it.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens before the deadline")
}

/// Waits until something holds that no event announces.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "it holds before the deadline");
        tokio::task::yield_now().await;
    }
}

/// A replica's end of the peer network, and its events.
pub(crate) struct Replica {
    pub(crate) network: PeerNetwork,
    pub(crate) events: Events,
}

impl Replica {
    pub(crate) fn start(socket: PeerSocket, me: ReplicaId, members: &[Remote], config: Config) -> Self {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let network = socket.start(me, members, config, sender).expect("the replica starts");
        Self { network, events: Events(receiver) }
    }
}

/// Binds the sockets of replicas 0 to n - 1, whose keys are `key(0)` to `key(n - 1)`.
pub(crate) fn bind(n: u8) -> (Vec<PeerSocket>, Vec<Remote>) {
    let sockets: Vec<_> =
        (0..n).map(|i| PeerSocket::bind(loopback(), &key(i)).expect("a port is free")).collect();
    let members = (0..n).zip(&sockets).map(|(i, socket)| Remote {
        id: ReplicaId(i.into()),
        key: key(i).public(),
        address: socket.local_addr(),
    });
    let members = members.collect();
    (sockets, members)
}

/// Replicas that are all connected with each other.
pub(crate) async fn cluster(n: u8, config: &Config) -> (Vec<Replica>, Vec<Remote>) {
    let (sockets, members) = bind(n);
    let mut replicas: Vec<_> = (0..)
        .map(ReplicaId)
        .zip(sockets)
        .map(|(id, socket)| Replica::start(socket, id, &members, config.clone()))
        .collect();
    for replica in &mut replicas {
        for _ in 1..n {
            replica.events.connected().await;
        }
    }
    (replicas, members)
}

/// A replica's end towards its clients, with `key(0)`.
pub(crate) fn serve(config: Config) -> (ClientServer, Events, Remote) {
    let socket = ClientSocket::bind(loopback(), &key(0)).expect("a port is free");
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let server = socket.start(config, sender).expect("the replica starts");
    let member = Remote { id: R0, key: key(0).public(), address: server.local_addr() };
    (server, Events(receiver), member)
}

/// Events that are taken one by one, and in the expected order.
pub(crate) struct Events(pub(crate) mpsc::Receiver<Event>);

impl Events {
    pub(crate) async fn next(&mut self) -> Event {
        soon(self.0.recv()).await.expect("the endpoint runs")
    }

    pub(crate) async fn connected(&mut self) -> ReplicaId {
        match self.next().await {
            Event::Connected { peer } => peer,
            other => panic!("expected a connection, not {other:?}"),
        }
    }

    pub(crate) async fn disconnected(&mut self) -> (ReplicaId, Ending) {
        match self.next().await {
            Event::Disconnected { peer, ending } => (peer, ending),
            other => panic!("expected a disconnection, not {other:?}"),
        }
    }

    pub(crate) async fn frame(&mut self) -> (ReplicaId, Frame) {
        match self.next().await {
            Event::Frame { peer, frame, .. } => (peer, frame),
            other => panic!("expected a frame, not {other:?}"),
        }
    }

    /// A client's next frame.
    pub(crate) async fn request(&mut self) -> (PublicKey, crate::ConnectionId, Frame) {
        match self.next().await {
            Event::ClientFrame { client, connection, frame, .. } => (client, connection, frame),
            other => panic!("expected a client's frame, not {other:?}"),
        }
    }

    pub(crate) async fn client_connected(&mut self) -> (PublicKey, crate::ConnectionId) {
        match self.next().await {
            Event::ClientConnected { client, connection } => (client, connection),
            other => panic!("expected a client, not {other:?}"),
        }
    }

    pub(crate) async fn client_disconnected(&mut self) -> (crate::ConnectionId, Ending) {
        match self.next().await {
            Event::ClientDisconnected { connection, ending, .. } => (connection, ending),
            other => panic!("expected a client's disconnection, not {other:?}"),
        }
    }
}

/// An end that has keys and speaks QUIC, but not our rules.
pub(crate) struct Hostile {
    endpoint: Endpoint,
}

impl Hostile {
    pub(crate) fn new() -> Self {
        let (socket, _) = socket::bind(loopback()).expect("a port is free");
        let identity = EndpointIdentity::new(&key(99), b"hostile");
        let endpoint = socket::endpoint(socket, None, &identity, Tracker::new()).expect("QUIC starts");
        Self { endpoint }
    }

    /// Connects to a replica, with any key and protocol. May be refused only later.
    pub(crate) async fn dial(
        &self,
        to: &Remote,
        key: &SecretKey,
        alpn: &[u8],
        lanes: usize,
    ) -> Result<Connection, Ending> {
        let tls = tls::client(key, alpn, to.key);
        let config = socket::client(tls, &Config::peers(), lanes, to.address);
        self.dial_with(to, config).await
    }

    pub(crate) async fn dial_with(
        &self,
        to: &Remote,
        config: quinn::ClientConfig,
    ) -> Result<Connection, Ending> {
        let connecting = self.endpoint.connect_with(config, to.address, "hostile");
        Ok(soon(connecting.expect("the address is valid")).await?)
    }

    /// Why a connection was refused, be it during the handshake or after it.
    pub(crate) async fn refusal(dialled: Result<Connection, Ending>) -> Ending {
        match dialled {
            Ok(connection) => soon(connection.closed()).await.into(),
            Err(ending) => ending,
        }
    }
}

pub(crate) const fn by_peer(reason: Reason) -> Ending {
    Ending { reason, by_peer: true }
}

pub(crate) const fn by_us(reason: Reason) -> Ending {
    Ending { reason, by_peer: false }
}

const DEADLINE: Duration = Duration::from_secs(20);
const EVENTS_MAX: usize = 64;
