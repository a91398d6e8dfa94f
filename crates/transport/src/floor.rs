//! How fast could it be? The round trip of raw QUIC on loopback with our settings: the floor below
//! which no protocol over this transport can get.

use bytes::Bytes;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use quorate_types::SecretKey;
use std::net::{Ipv4Addr, SocketAddr};
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

/// Sends `bytes` bytes to and fro over one stream on loopback, `rounds` times, and returns how long
/// each round trip took. Two endpoints of the current runtime talk to each other.
///
/// # Errors
/// If loopback cannot be used.
pub async fn ping_pong(rounds: usize, bytes: usize) -> Result<Vec<Duration>, FloorError> {
    let server_key = SecretKey::from_seed(rand::random());
    let client_key = SecretKey::from_seed(rand::random());
    let config = Config::clients();
    let tracker = Tracker::new();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));

    let (socket, address) = socket::bind(loopback)?;
    let tls = tls::server(&server_key, ALPN_CLIENT, Trust::Anyone);
    let server = socket::server(tls, &config, 1, address);
    let identity = EndpointIdentity::new(&server_key, ALPN_CLIENT);
    let server = socket::endpoint(socket, Some(server), &identity, tracker.clone())?;

    let (socket, _) = socket::bind(loopback)?;
    let identity = EndpointIdentity::new(&client_key, ALPN_CLIENT);
    let client = socket::endpoint(socket, None, &identity, tracker)?;
    let tls = tls::client(&client_key, ALPN_CLIENT, server_key.public());
    let dialled = socket::client(tls, &config, 1, address);
    let connecting = client.connect_with(dialled, address, "quorate").map_err(failed)?;

    let echo = tokio::spawn(echo(server.clone(), rounds, bytes));
    let connection = connecting.await.map_err(failed)?;
    let times = measure(&connection, rounds, bytes).await?;
    client.close(0_u32.into(), b"done");
    echo.await.map_err(failed)??;
    server.close(0_u32.into(), b"done");
    client.wait_idle().await;
    server.wait_idle().await;
    Ok(times)
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

async fn echo(server: Endpoint, rounds: usize, bytes: usize) -> Result<(), FloorError> {
    let incoming = server.accept().await.ok_or_else(|| failed("the endpoint was closed"))?;
    let connection = incoming.await.map_err(failed)?;
    let mut outgoing: SendStream = connection.open_uni().await.map_err(failed)?;
    let mut incoming = connection.accept_uni().await.map_err(failed)?;
    let message = Bytes::from(vec![9; bytes]);
    for _ in 0..rounds {
        receive(&mut incoming, bytes).await?;
        outgoing.write_chunk(message.clone()).await.map_err(failed)?;
    }
    // Keep the connection until the other end has read the last answer and closes it.
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
