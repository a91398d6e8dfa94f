//! How fast could it be? The round trip of raw QUIC on loopback with our settings: the floor below
//! which no protocol over this transport can get.

use bytes::Bytes;
use quinn::{Connection, RecvStream};
use quorate_types::SecretKey;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::socket::{self, EndpointIdentity};
use crate::tasks::Tracker;
use crate::tls::{self, ALPN_CLIENT, Trust};
use crate::{Config, StartError};

/// Why the floor was not measured.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// No socket on loopback.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The connection to ourselves failed.
    #[error("the connection over loopback failed: {0}; check that UDP to 127.0.0.1 is not filtered")]
    Connection(String),
}

/// Sends `bytes` bytes (at least one) to and fro over one stream on loopback, `rounds` times, and returns how long
/// each round trip took. The far end has a thread and a runtime of its own, as every replica and
/// client has; this end runs where it is called.
///
/// # Errors
/// If loopback cannot be used.
pub async fn ping_pong(rounds: usize, bytes: usize) -> Result<Vec<Duration>, FloorError> {
    let bytes = bytes.max(1);
    let far_key = SecretKey::from_seed(rand::random());
    let near_key = SecretKey::from_seed(rand::random());
    let (far_socket, address) = socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let tls = tls::client(&near_key, ALPN_CLIENT, far_key.public());
    let far = tokio::task::spawn_blocking(move || -> Result<(), FloorError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(failed)?.block_on(echo(far_socket, &far_key, rounds, bytes))
    });

    let (near_socket, _) = socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let identity = EndpointIdentity::new(&near_key, ALPN_CLIENT);
    let near = socket::endpoint(near_socket, None, &identity, Tracker::new())?;
    let config = socket::client(tls, &Config::clients(), 1, address);
    let connection = near.connect_with(config, address, "quorate").map_err(failed)?.await.map_err(failed)?;
    let times = measure(&connection, rounds, bytes).await;
    near.close(0_u32.into(), b"done");
    far.await.map_err(failed)??;
    near.wait_idle().await;
    times
}

async fn measure(connection: &Connection, rounds: usize, bytes: usize) -> Result<Vec<Duration>, FloorError> {
    let mut outgoing = connection.open_uni().await.map_err(failed)?;
    let message = Bytes::from(vec![7; bytes]);
    let mut incoming: Option<RecvStream> = None;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        outgoing.write_chunk(message.clone()).await.map_err(failed)?;
        let incoming = match &mut incoming {
            Some(incoming) => incoming,
            // The stream back appears with its first bytes.
            none => none.insert(connection.accept_uni().await.map_err(failed)?),
        };
        receive(incoming, bytes).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn echo(socket: UdpSocket, key: &SecretKey, rounds: usize, bytes: usize) -> Result<(), FloorError> {
    let address = socket.local_addr().map_err(failed)?;
    let tls = tls::server(key, ALPN_CLIENT, Trust::Anyone);
    let server = socket::server(tls, &Config::clients(), 1, address);
    let identity = EndpointIdentity::new(key, ALPN_CLIENT);
    let endpoint = socket::endpoint(socket, Some(server), &identity, Tracker::new())?;
    let accepting = tokio::time::timeout(ACCEPT_MAX, endpoint.accept()).await.map_err(failed)?;
    let connection = accepting.ok_or_else(|| failed("the endpoint was closed"))?.await.map_err(failed)?;
    let mut outgoing = connection.open_uni().await.map_err(failed)?;
    let mut incoming = connection.accept_uni().await.map_err(failed)?;
    let message = Bytes::from(vec![9; bytes]);
    for _ in 0..rounds {
        receive(&mut incoming, bytes).await?;
        outgoing.write_chunk(message.clone()).await.map_err(failed)?;
    }
    // The near end closes the connection when it has read the last answer.
    connection.closed().await;
    Ok(())
}

async fn receive(stream: &mut RecvStream, bytes: usize) -> Result<(), FloorError> {
    let mut received = 0;
    while received < bytes {
        let chunk = stream.read_chunk(bytes - received, true).await.map_err(failed)?;
        received += chunk.ok_or_else(|| failed("the stream ended"))?.bytes.len();
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> FloorError {
    FloorError::Connection(error.to_string())
}

/// Without a connection in this time, loopback does not work.
const ACCEPT_MAX: Duration = Duration::from_secs(10);
