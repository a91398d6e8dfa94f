//! How do clients reach a replica? A socket of its own, open to any key that is not weak, with
//! bounds on connections in all and per key.

use quorate_types::{PublicKey, SecretKey};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

use crate::accept::{self, Accepted};
use crate::event::Origin;
use crate::link::{self, Link};
use crate::queue::Queue;
use crate::socket::{self, EndpointIdentity};
use crate::tasks::{Shared, Tasks};
use crate::tls::{self, ALPN_CLIENT, Trust};
use crate::{Config, ConnectionId, Counters, Dropped, Ending, Event, Frame, Reason, StartError};

/// A bound socket for clients that does not answer yet.
#[derive(Debug)]
pub struct ClientSocket {
    socket: UdpSocket,
    address: SocketAddr,
    key: SecretKey,
}

impl ClientSocket {
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

    /// Starts to accept clients. What happens is sent to `events`; while that channel is full,
    /// connections are not read. Runs on the current tokio runtime, and panics without one.
    ///
    /// # Errors
    /// If the runtime refuses the socket.
    pub fn start(self, config: Config, events: mpsc::Sender<Event>) -> Result<ClientServer, StartError> {
        let shared = Shared::new(config, events);
        let tls = tls::server(&self.key, ALPN_CLIENT, Trust::Anyone);
        let server = socket::server(tls, &shared.config, LANES, self.address);
        let identity = EndpointIdentity::new(&self.key, ALPN_CLIENT);
        let endpoint = socket::endpoint(self.socket, Some(server), &identity, shared.tracker.clone())?;
        let tasks = Tasks::new(endpoint.clone(), &shared);
        let clients = Arc::new(Clients { open: Mutex::default(), next: AtomicU64::new(0), shared });
        let shared = clients.shared.clone();
        let serving = clients.clone();
        tasks.spawn(accept::run(endpoint, shared, move |accepted| serving.clone().serve(accepted)));
        Ok(ClientServer { clients, tasks, address: self.address })
    }
}

/// The running connections of a replica to its clients. Dropping it closes them.
#[derive(Debug)]
pub struct ClientServer {
    clients: Arc<Clients>,
    tasks: Tasks,
    address: SocketAddr,
}

impl ClientServer {
    /// Queues a frame for a client. Never waits: what does not fit is dropped and counted.
    ///
    /// # Errors
    /// Why the frame was dropped.
    pub fn send(&self, to: ConnectionId, frame: Frame) -> Result<(), Dropped> {
        let result = self.clients.try_send(to, frame);
        if let Err(why) = result {
            self.clients.shared.tally.on_dropped(why);
        }
        result
    }

    /// Where this replica listens for clients.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.clients.shared.tally.snapshot()
    }

    /// Closes all connections with [`Reason::Shutdown`], ends all tasks and frees the port. Frames
    /// that are still queued are lost, and there are no events from then on.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}

/// The open connections.
#[derive(Debug)]
struct Clients {
    open: Mutex<Open>,
    next: AtomicU64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Open {
    queues: BTreeMap<ConnectionId, Queue>,
    per_key: BTreeMap<PublicKey, usize>,
}

impl Clients {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_send(&self, to: ConnectionId, frame: Frame) -> Result<(), Dropped> {
        if !self.shared.config.limits.allow(&frame) {
            return Err(Dropped::TooLarge);
        }
        self.open().queues.get(&to).ok_or(Dropped::UnknownPeer)?.try_push(frame)
    }

    async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { connection, key, place: _place } = accepted;
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let origin = Origin::Client(key, id);
        let ending = match self.enter(key) {
            None => link::close(&connection, Reason::TooManyConnections),
            Some(_entered) => match Link::open(connection, LANES, &self.shared).await {
                Err(ending) => ending,
                Ok((link, queues)) => self.run(link, queues, origin, id).await,
            },
        };
        self.shared.tally.on_ended(ending, &origin);
    }

    async fn run(&self, link: Link, queues: Vec<Queue>, origin: Origin, id: ConnectionId) -> Ending {
        self.open().queues.extend(queues.into_iter().map(|queue| (id, queue)));
        self.shared.tally.on_connected();
        // Nobody listening shows itself when the first frame is delivered.
        let _ = self.shared.events.send(origin.connected()).await;
        let ending = link.run(origin, &self.shared, std::future::pending()).await;
        self.open().queues.remove(&id);
        let _ = self.shared.events.send(origin.disconnected(ending)).await;
        ending
    }

    /// Counts a connection of `key`, if it may have one more.
    fn enter(&self, key: PublicKey) -> Option<Entered<'_>> {
        let mut open = self.open();
        let count = open.per_key.entry(key).or_default();
        if *count >= self.shared.config.connections_per_key_max {
            return None;
        }
        *count += 1;
        Some(Entered { clients: self, key })
    }
}

/// A counted connection of a key.
struct Entered<'a> {
    clients: &'a Clients,
    key: PublicKey,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut open = self.clients.open();
        if let Some(count) = open.per_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.per_key.remove(&self.key);
            }
        }
    }
}

/// Clients have one stream in each direction.
pub(crate) const LANES: usize = 1;
