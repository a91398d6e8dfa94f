//! Who may come in? The loop that accepts connections, with bounds on handshakes and connections.

use quinn::{Connection, Endpoint, Incoming};
use quorate_types::PublicKey;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::tasks::Shared;
use crate::{Ending, Reason, tls};

/// A connection whose other end has proved its key.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) connection: Connection,
    pub(crate) key: PublicKey,
    /// A place among `connections_max`, to be kept as long as the connection.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Accepts connections until the endpoint closes, and serves each in a task of its own.
pub(crate) async fn run<S, F>(endpoint: Endpoint, shared: Arc<Shared>, serve: S)
where
    S: Fn(Accepted) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(shared.config.connections_max));
    let handshakes = Arc::new(Semaphore::new(shared.config.handshakes_pending_max));
    let mut tasks = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(_) = tasks.join_next() => continue,
        };
        let Some(incoming) = incoming else { return };
        let Some((incoming, handshake, place)) = admit(incoming, &handshakes, &places, &shared) else {
            continue;
        };
        let (serve, shared) = (serve.clone(), shared.clone());
        tasks.spawn(shared.tracker.clone().track(async move {
            let remote = incoming.remote_address();
            let shaken = shake_hands(incoming, &shared).await;
            drop(handshake);
            match shaken {
                Ok((connection, key)) => serve(Accepted { connection, key, place }).await,
                Err(ending) => shared.tally.on_ended(ending, &remote),
            }
        }));
    }
}

/// Finds room for a newcomer, or turns it away.
fn admit(
    incoming: Incoming,
    handshakes: &Arc<Semaphore>,
    places: &Arc<Semaphore>,
    shared: &Shared,
) -> Option<(Incoming, OwnedSemaphorePermit, OwnedSemaphorePermit)> {
    let remote = incoming.remote_address();
    let Ok(handshake) = handshakes.clone().try_acquire_owned() else {
        shared.tally.on_ended(Ending::ours(Reason::TooManyHandshakes), &remote);
        incoming.refuse();
        return None;
    };
    let is_crowded = handshakes.available_permits() < shared.config.handshakes_pending_max / 2;
    if is_crowded && !incoming.remote_address_validated() {
        // Senders of forged addresses do not get further than this; it keeps no state here.
        let _ = incoming.retry();
        return None;
    }
    let Ok(place) = places.clone().try_acquire_owned() else {
        shared.tally.on_ended(Ending::ours(Reason::TooManyConnections), &remote);
        incoming.refuse();
        return None;
    };
    Some((incoming, handshake, place))
}

async fn shake_hands(incoming: Incoming, shared: &Shared) -> Result<(Connection, PublicKey), Ending> {
    let connection = match tokio::time::timeout(shared.config.handshake_timeout, incoming).await {
        Ok(connection) => connection?,
        Err(_) => return Err(Ending::ours(Reason::HandshakeTimeout)),
    };
    let key = tls::peer_key(&connection).ok_or(Ending::ours(Reason::WeakKey))?;
    Ok((connection, key))
}
