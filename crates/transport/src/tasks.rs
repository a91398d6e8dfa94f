//! What runs in the background, and how does it end? Every task of an endpoint is counted.
//!
//! Our own tasks form a tree of join sets, which are aborted from the root. QUIC's tasks, one per
//! socket and one per connection, end by themselves once the connections have said goodbye; they
//! run through [`Tracker`] as well, so that a shutdown knows when the socket is free again.

use quinn::{AsyncTimer, AsyncUdpSocket, Endpoint, Runtime, TokioRuntime};
use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::counters::Tally;
use crate::{Config, Event, Reason};

/// What every task of an endpoint knows.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) tally: Tally,
    pub(crate) tracker: Tracker,
}

impl Shared {
    pub(crate) fn new(config: Config, events: mpsc::Sender<Event>) -> Arc<Self> {
        Arc::new(Self { config, events, tally: Tally::new(), tracker: Tracker::new() })
    }
}

/// Owns the socket and the tasks of an endpoint. Dropping it ends both, without waiting.
#[derive(Debug)]
pub(crate) struct Tasks {
    endpoint: Mutex<Option<Endpoint>>,
    set: Mutex<JoinSet<()>>,
    tracker: Tracker,
}

impl Tasks {
    pub(crate) fn new(endpoint: Endpoint, shared: &Shared) -> Self {
        let tracker = shared.tracker.clone();
        Self { endpoint: Mutex::new(Some(endpoint)), set: Mutex::new(JoinSet::new()), tracker }
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.spawn(self.tracker.track(future));
    }

    /// Closes all connections with a reason, ends all tasks and frees the socket. A second call
    /// returns at once.
    pub(crate) async fn shutdown(&self) {
        let Some(endpoint) = self.close() else { return };
        let mut set = std::mem::take(&mut *self.set.lock().unwrap_or_else(PoisonError::into_inner));
        set.shutdown().await;
        let goodbye = async {
            endpoint.wait_idle().await;
            drop(endpoint);
            self.tracker.idle().await;
        };
        // Peers that do not answer cannot hold a shutdown up: what is left ends by itself.
        if tokio::time::timeout(GOODBYE_MAX, goodbye).await.is_err() {
            tracing::warn!("connections did not close in time; their tasks will end later");
        }
    }

    fn close(&self) -> Option<Endpoint> {
        let endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        endpoint.close(Reason::Shutdown.code(), Reason::Shutdown.name().as_bytes());
        Some(endpoint)
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.close();
    }
}

/// Counts running tasks, and starts QUIC's.
#[derive(Clone, Debug)]
pub(crate) struct Tracker {
    alive: Arc<watch::Sender<usize>>,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self { alive: Arc::new(watch::Sender::new(0)) }
    }

    /// Counts a task from now until it has ended and all that it owned is dropped.
    pub(crate) fn track<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        self.alive.send_modify(|alive| *alive += 1);
        let alive = Alive(self.alive.clone());
        async move {
            let _alive = alive;
            future.await
        }
    }

    async fn idle(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.alive.subscribe().wait_for(|alive| *alive == 0).await;
    }
}

impl Runtime for Tracker {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(self.track(future));
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

struct Alive(Arc<watch::Sender<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|alive| *alive -= 1);
    }
}

/// A shutdown waits for the goodbyes of connections this long at most.
const GOODBYE_MAX: Duration = Duration::from_secs(3);
