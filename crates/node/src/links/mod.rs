//! What if the network between replicas is slow, lossy or one-way? A relay of UDP datagrams stands on every link.
//!
//! What travels is encrypted and authenticated, so a link can delay, lose, double, reorder and corrupt datagrams, and
//! nothing else: lies need a replica's key, and thus an adversary. Reading order: `shape` (what a link does), `wire`
//! (one direction of one), then this file (sockets).

mod shape;
mod wire;

use quorate_types::ReplicaId;
use socket2::{Domain, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

pub use shape::{LinkCounters, QUEUE_MAX, Shape};
use wire::Wire;

/// The links between the replicas of a cluster on this machine, one in each direction between any two. They end when
/// this is dropped.
///
/// Of two replicas the one with the smaller number dials the other, so that one is told a relay's address instead: see
/// [`Links::addresses_for`].
#[derive(Debug)]
pub struct Links {
    wires: BTreeMap<(ReplicaId, ReplicaId), Arc<Mutex<Wire>>>,
    /// Where the relay listens on behalf of the second, for the first.
    fronts: BTreeMap<(ReplicaId, ReplicaId), SocketAddr>,
    replicas: Vec<SocketAddr>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Links {
    /// Puts a relay between any two of the replicas that listen for each other at these addresses, in the order of their
    /// numbers. All links begin with the same shape; whatever is drawn comes from the seed and from what travels. The
    /// system chooses the relays' ports.
    ///
    /// # Errors
    /// If the system refuses sockets or a thread.
    pub fn start(replicas: &[SocketAddr], shape: &Shape, seed: u64) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut wires, mut fronts, mut relays) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let numbers = || (0_u16..).map(ReplicaId).take(replicas.len());
        let now = Instant::now();
        let mut wire = |from: ReplicaId, to: ReplicaId| {
            let own_seed = seed ^ (u64::from(from.0) << 32 | u64::from(to.0)).wrapping_mul(SPREAD);
            let wire = Arc::new(Mutex::new(Wire::new(shape.clone(), own_seed, now)));
            wires.insert((from, to), Arc::clone(&wire));
            wire
        };
        let entered = runtime.enter();
        for (one, other) in numbers().flat_map(|one| numbers().map(move |other| (one, other))) {
            if one >= other {
                continue;
            }
            let front = bind()?;
            fronts.insert((one, other), front.local_addr()?);
            relays.push(Relay {
                front,
                back: bind()?,
                target: replicas[other.index()],
                dialler: None,
                there: wire(one, other),
                back_again: wire(other, one),
            });
        }
        drop(entered);
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("links".to_owned()).spawn(move || {
            runtime.block_on(async {
                let mut running: JoinSet<()> = relays.into_iter().map(Relay::run).collect();
                tokio::select! {
                    // However the other end goes, this is over.
                    _ = ended => {}
                    _ = running.join_next() => {}
                }
            });
        })?;
        Ok(Self { wires, fronts, replicas: replicas.to_vec(), end: Some(end), thread: Some(thread) })
    }

    /// Where a replica reaches each one, in the order of their numbers, its own address included.
    #[must_use]
    pub fn addresses_for(&self, replica: ReplicaId) -> Vec<SocketAddr> {
        let of = |(other, own): (ReplicaId, &SocketAddr)| *self.fronts.get(&(replica, other)).unwrap_or(own);
        (0_u16..).map(ReplicaId).zip(&self.replicas).map(of).collect()
    }

    /// Gives the link from one replica to another a shape. What is under way stays so.
    ///
    /// # Panics
    /// If there is no such link.
    pub fn set(&self, from: usize, to: usize, shape: Shape) {
        lock(self.wire(from, to)).shape = shape;
    }

    /// Gives all links a shape.
    pub fn set_all(&self, shape: &Shape) {
        self.wires.values().for_each(|wire| lock(wire).shape.clone_from(shape));
    }

    /// What the link from one replica to another did.
    ///
    /// # Panics
    /// If there is no such link.
    #[must_use]
    pub fn counters(&self, from: usize, to: usize) -> LinkCounters {
        lock(self.wire(from, to)).counters
    }

    fn wire(&self, from: usize, to: usize) -> &Mutex<Wire> {
        let id = |index: usize| ReplicaId(u16::try_from(index).unwrap_or(u16::MAX));
        let wire = self.wires.get(&(id(from), id(to)));
        wire.unwrap_or_else(|| panic!("there is no link from replica {from} to replica {to}"))
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}

/// The link between two replicas, in both directions.
struct Relay {
    /// Where the dialler believes the target to be.
    front: UdpSocket,
    /// What the target believes to be the dialler.
    back: UdpSocket,
    target: SocketAddr,
    /// Where the last datagram at the front came from.
    dialler: Option<SocketAddr>,
    there: Arc<Mutex<Wire>>,
    back_again: Arc<Mutex<Wire>>,
}

impl Relay {
    async fn run(mut self) {
        let (mut one, mut other) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
        loop {
            let due = lock(&self.there).due().into_iter().chain(lock(&self.back_again).due()).min();
            let due = due.unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                received = self.front.recv_from(&mut one) => {
                    // An error tells of an earlier datagram that nobody was there to take.
                    if let Ok((bytes, from)) = received {
                        self.dialler = Some(from);
                        lock(&self.there).put(Instant::now(), &one[..bytes]);
                    }
                }
                received = self.back.recv_from(&mut other) => {
                    if let Ok((bytes, from)) = received && from == self.target {
                        lock(&self.back_again).put(Instant::now(), &other[..bytes]);
                    }
                }
                () = sleep_until(due.into()) => {}
            }
            self.deliver().await;
        }
    }

    /// Sends what has arrived at the other end. What the system does not take is lost, as on any network.
    async fn deliver(&self) {
        let now = Instant::now();
        while let Some(datagram) = pop(&self.there, now) {
            let _ = self.back.send_to(&datagram, self.target).await;
        }
        while let Some(datagram) = pop(&self.back_again, now) {
            if let Some(dialler) = self.dialler {
                let _ = self.front.send_to(&datagram, dialler).await;
            }
        }
    }
}

fn pop(wire: &Mutex<Wire>, now: Instant) -> Option<Vec<u8>> {
    lock(wire).pop(now)
}

fn bind() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // The system's default holds a dozen large datagrams. It may grant less than we ask for.
    let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BYTES);
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// No operation leaves a wire half changed, so a panic elsewhere under the lock does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The largest that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Kernel buffer of a socket in each direction.
const SOCKET_BYTES: usize = 4 << 20;
/// Any odd number with many ones: neighbouring links draw from streams that have nothing in common.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Nothing is under way.
const IDLE: Duration = Duration::from_secs(3600);
