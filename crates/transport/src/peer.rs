//! How is one replica kept connected? A task per replica that dials, or waits to be dialled, and
//! serves one connection at a time. Whatever happens to one peer happens in its task alone.

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint};
use quorate_types::ReplicaId;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

use crate::event::Origin;
use crate::link::{self, Link};
use crate::queue::Queue;
use crate::tasks::Shared;
use crate::{Dropped, Ending, Frame, Reason, socket};

/// What others know and control of a peer.
#[derive(Debug)]
pub(crate) struct Peer {
    id: ReplicaId,
    /// The queues of the current connection, one per lane.
    queues: Mutex<Option<Vec<Queue>>>,
    is_cut: watch::Sender<bool>,
    address: watch::Sender<SocketAddr>,
    newcomers: mpsc::Sender<Connection>,
    shared: Arc<Shared>,
}

impl Peer {
    /// A peer that is not connected, and the connections that it will accept.
    pub(crate) fn new(
        id: ReplicaId,
        address: SocketAddr,
        shared: Arc<Shared>,
    ) -> (Arc<Self>, mpsc::Receiver<Connection>) {
        let (newcomers, receiver) = mpsc::channel(NEWCOMERS_MAX);
        let peer = Self {
            id,
            queues: Mutex::new(None),
            is_cut: watch::Sender::new(false),
            address: watch::Sender::new(address),
            newcomers,
            shared,
        };
        (Arc::new(peer), receiver)
    }

    pub(crate) fn send(&self, lane: usize, frame: Frame) -> Result<(), Dropped> {
        let result = self.try_send(lane, frame);
        if let Err(why) = result {
            self.shared.tally.on_dropped(why);
        }
        result
    }

    fn try_send(&self, lane: usize, frame: Frame) -> Result<(), Dropped> {
        if *self.is_cut.borrow() {
            return Err(Dropped::Cut);
        }
        if !self.shared.config.limits.allow(&frame) {
            return Err(Dropped::TooLarge);
        }
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.as_ref().and_then(|queues| queues.get(lane));
        queue.ok_or(Dropped::NotConnected)?.try_push(frame)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn set_cut(&self, is_cut: bool) {
        self.is_cut.send_if_modified(|current| std::mem::replace(current, is_cut) != is_cut);
    }

    pub(crate) fn set_address(&self, address: SocketAddr) {
        self.address.send_replace(address);
    }

    /// Takes over a connection from the peer. The newest wins.
    pub(crate) fn on_accepted(&self, connection: Connection) {
        if let Err(error) = self.newcomers.try_send(connection) {
            let ending = link::close(&error.into_inner(), Reason::TooManyConnections);
            self.shared.tally.on_ended(ending, &Origin::Replica(self.id));
        }
    }

    /// Opens the lanes of a connection and moves frames until it ends, or `stop` says why it must.
    async fn run_link(
        &self,
        connection: Connection,
        lanes: usize,
        stop: impl Future<Output = Reason>,
    ) -> Ending {
        let origin = Origin::Replica(self.id);
        tokio::pin!(stop);
        let opened = tokio::select! {
            opened = Link::open(connection.clone(), lanes, &self.shared) => opened,
            reason = &mut stop => Err(link::close(&connection, reason)),
        };
        let (link, queues) = match opened {
            Ok(opened) => opened,
            Err(ending) => return ending,
        };
        self.set_queues(Some(queues));
        self.shared.tally.on_connected();
        // That nobody listens shows itself in the loop of `PeerTask::run`.
        let _ = self.shared.events.send(origin.connected()).await;
        let ending = link.run(origin, &self.shared, stop).await;
        self.set_queues(None);
        let _ = self.shared.events.send(origin.disconnected(ending)).await;
        ending
    }

    fn set_queues(&self, queues: Option<Vec<Queue>>) {
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = queues;
    }
}

/// Keeps a peer connected, for ever.
pub(crate) struct PeerTask {
    peer: Arc<Peer>,
    lanes: usize,
    newcomers: mpsc::Receiver<Connection>,
    is_cut: watch::Receiver<bool>,
    dialler: Option<Dialler>,
}

impl PeerTask {
    /// Without a dialler the task waits for connections from the peer.
    pub(crate) fn new(
        peer: Arc<Peer>,
        lanes: usize,
        newcomers: mpsc::Receiver<Connection>,
        dialler: Option<Dialler>,
    ) -> Self {
        let is_cut = peer.is_cut.subscribe();
        Self { peer, lanes, newcomers, is_cut, dialler }
    }

    /// Runs until nobody listens to the events any more.
    pub(crate) async fn run(mut self) {
        let mut newer = None;
        while !self.peer.shared.events.is_closed() {
            let connection = match newer.take() {
                Some(connection) => connection,
                None => self.next_connection().await,
            };
            let since = Instant::now();
            newer = self.serve(connection).await;
            if let Some(dialler) = &mut self.dialler {
                dialler.backoff.on_connection_ended(since.elapsed());
            }
        }
    }

    async fn next_connection(&mut self) -> Connection {
        let who = Origin::Replica(self.peer.id);
        loop {
            let is_cut = *self.is_cut.borrow_and_update();
            tokio::select! {
                Some(newcomer) = self.newcomers.recv() => {
                    if !is_cut {
                        return newcomer;
                    }
                    self.peer.shared.tally.on_ended(link::close(&newcomer, Reason::Cut), &who);
                }
                Ok(()) = self.is_cut.changed() => {
                    // Dial at once when healed.
                    if let Some(dialler) = &mut self.dialler {
                        dialler.backoff.reset();
                    }
                }
                dialled = dial(self.dialler.as_mut().filter(|_| !is_cut), &self.peer.shared) => {
                    match dialled {
                        Ok(connection) => return connection,
                        Err(ending) => self.peer.shared.tally.on_ended(ending, &who),
                    }
                }
            }
        }
    }

    /// Serves a connection until it ends. Returns the newer connection if one took its place.
    async fn serve(&mut self, connection: Connection) -> Option<Connection> {
        let mut newer = None;
        let ending = {
            let stop = async {
                tokio::select! {
                    Ok(_) = self.is_cut.wait_for(|is_cut| *is_cut) => Reason::Cut,
                    Some(connection) = self.newcomers.recv() => {
                        newer = Some(connection);
                        Reason::Replaced
                    }
                }
            };
            self.peer.run_link(connection, self.lanes, stop).await
        };
        self.peer.shared.tally.on_ended(ending, &Origin::Replica(self.peer.id));
        newer
    }
}

/// Dials one peer, ever more slowly while it does not answer.
pub(crate) struct Dialler {
    endpoint: Endpoint,
    tls: Arc<QuicClientConfig>,
    lanes: usize,
    address: watch::Receiver<SocketAddr>,
    backoff: Backoff,
}

impl Dialler {
    pub(crate) fn new(endpoint: Endpoint, tls: Arc<QuicClientConfig>, lanes: usize, peer: &Peer) -> Self {
        let backoff = Backoff::new(peer.shared.config.reconnect_min, peer.shared.config.reconnect_max);
        Self { endpoint, tls, lanes, address: peer.address.subscribe(), backoff }
    }

    async fn dial(&mut self, shared: &Shared) -> Result<Connection, Ending> {
        tokio::select! {
            () = tokio::time::sleep(self.backoff.delay) => {}
            Ok(()) = self.address.changed() => {}
        }
        self.backoff.on_attempt();
        let address = *self.address.borrow_and_update();
        let config = socket::client(self.tls.clone(), &shared.config, self.lanes, address);
        let connecting = self.endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| {
            tracing::warn!(%address, %error, "this address cannot be dialled");
            Ending::ours(Reason::HandshakeFailed)
        })?;
        match tokio::time::timeout(shared.config.handshake_timeout, connecting).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Ending::ours(Reason::HandshakeTimeout)),
        }
    }
}

/// Dials, or waits for ever without a dialler.
async fn dial(dialler: Option<&mut Dialler>, shared: &Shared) -> Result<Connection, Ending> {
    match dialler {
        Some(dialler) => dialler.dial(shared).await,
        None => std::future::pending().await,
    }
}

/// Exponential backoff with jitter. The first attempt is made at once.
#[derive(Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    /// How long the next attempt waits.
    delay: Duration,
    next: Duration,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, delay: Duration::ZERO, next: min }
    }

    fn reset(&mut self) {
        self.delay = Duration::ZERO;
        self.next = self.min;
    }

    /// Between half and all of the current step, so that replicas do not dial in lockstep.
    fn on_attempt(&mut self) {
        self.delay = self.next.mul_f64(rand::random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.max);
    }

    /// A connection that lasted shows that the peer is well.
    fn on_connection_ended(&mut self, lasted: Duration) {
        if lasted >= self.max {
            self.reset();
        }
    }
}

/// Connections of one peer that wait for the current one to be closed.
const NEWCOMERS_MAX: usize = 4;
/// TLS wants a name; keys are what counts.
const SERVER_NAME: &str = "quorate";
