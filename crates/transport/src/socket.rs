//! How is a socket bound and QUIC tuned? For loopback and local networks: large datagrams where the
//! path takes them, large bounded windows, few acknowledgements, no artificial delay.

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    AckFrequencyConfig, ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig,
    IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt,
};
use quorate_types::{Digest, SecretKey};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::Config;
use crate::StartError;
use crate::tasks::Tracker;

/// Binds a UDP socket and tells where. Port 0 lets the system choose.
pub(crate) fn bind(address: SocketAddr) -> Result<(UdpSocket, SocketAddr), StartError> {
    let bind = || -> io::Result<(UdpSocket, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        if address.is_ipv6() {
            // Some systems refuse; then the socket serves IPv6 alone.
            let _ = socket.set_only_v6(false);
        }
        // The system's default holds a dozen large datagrams. It may grant less than we ask for.
        let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BYTES);
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    bind().map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { address },
        io::ErrorKind::AddrNotAvailable => StartError::AddressNotLocal { address },
        io::ErrorKind::PermissionDenied => StartError::PortNotPermitted { address },
        _ => StartError::Bind { address, error },
    })
}

/// Starts QUIC on a bound socket. `server` is absent where nobody is to connect.
pub(crate) fn endpoint(
    socket: UdpSocket,
    server: Option<ServerConfig>,
    identity: &EndpointIdentity,
    tracker: Tracker,
) -> Result<Endpoint, StartError> {
    let mut config = EndpointConfig::new(Arc::new(identity.clone()));
    config.cid_generator(|| Box::new(RandomIds));
    config.max_udp_payload_size(DATAGRAM_BYTES_MAX).expect("it lies within what QUIC allows");
    Endpoint::new(config, server, socket, Arc::new(tracker)).map_err(StartError::Runtime)
}

/// The accepting side's settings. `local` is where the socket is bound.
pub(crate) fn server(
    tls: Arc<QuicServerConfig>,
    config: &Config,
    lanes: usize,
    local: SocketAddr,
) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(tls);
    server.transport_config(transport(config, lanes, local.ip().is_loopback()));
    server.migration(false);
    server.max_incoming(config.handshakes_pending_max);
    server.incoming_buffer_size(INCOMING_BYTES_MAX);
    server.incoming_buffer_size_total(INCOMING_BYTES_MAX * config.handshakes_pending_max as u64);
    server
}

/// The dialling side's settings.
pub(crate) fn client(
    tls: Arc<QuicClientConfig>,
    config: &Config,
    lanes: usize,
    remote: SocketAddr,
) -> ClientConfig {
    let mut client = ClientConfig::new(tls);
    client.transport_config(transport(config, lanes, remote.ip().is_loopback()));
    client
}

fn transport(config: &Config, lanes: usize, is_loopback: bool) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let lanes = u32::try_from(lanes).expect("lanes are few");
    transport.max_concurrent_uni_streams(lanes.into());
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport.stream_receive_window(config.stream_window_bytes.into());
    transport.receive_window(config.stream_window_bytes.saturating_mul(lanes).into());
    transport.send_window(config.send_window_bytes);
    transport.send_fairness(false);

    transport.max_idle_timeout(IdleTimeout::try_from(config.idle_timeout).ok());
    transport.keep_alive_interval(Some(config.keep_alive));
    transport.initial_rtt(INITIAL_RTT);

    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(DATAGRAM_BYTES_MAX);
    transport.mtu_discovery_config(Some(discovery));
    if is_loopback {
        transport.initial_mtu(DATAGRAM_BYTES_MAX);
    }
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW_BYTES);
    transport.congestion_controller_factory(Arc::new(cubic));

    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(ACK_THRESHOLD.into());
    transport.ack_frequency_config(Some(acknowledgements));
    Arc::new(transport)
}

/// What a restarted endpoint shares with its former self: a peer that still sends on a connection
/// of before the restart is told so at once, instead of waiting for its idle timeout.
#[derive(Clone)]
pub(crate) struct EndpointIdentity {
    secret: Digest,
}

impl EndpointIdentity {
    /// Derived from the secret key, apart for each purpose (the ALPN).
    pub(crate) fn new(key: &SecretKey, purpose: &[u8]) -> Self {
        Self { secret: Digest::of_parts("quorate stateless reset", &[&key.to_seed(), purpose]) }
    }

    fn mac(&self, data: &[u8]) -> [u8; 32] {
        Digest::of_parts("quorate reset token", &[&self.secret.0, data]).0
    }
}

impl HmacKey for EndpointIdentity {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.mac(data));
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if signature == self.mac(data) { Ok(()) } else { Err(CryptoError) }
    }
}

/// Connection ids that say nothing. QUIC's default ones carry a checksum under a key of the process,
/// which would make a restarted endpoint ignore the connections of its former self.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; CONNECTION_ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Length of a connection id: never guessed, never met twice.
const CONNECTION_ID_BYTES: usize = 8;
/// Kernel buffer of a socket in each direction.
const SOCKET_BYTES: usize = 4 << 20;
/// Largest datagram that is sent or received. Loopback takes it; elsewhere discovery finds what the
/// path takes. QUIC hands up to ten datagrams to the kernel in one call, which takes 65,507 bytes in
/// all and silently drops more, so a larger one would lose every full burst.
const DATAGRAM_BYTES_MAX: u16 = 6 << 10;
/// Bytes sent before the first acknowledgement.
const INITIAL_WINDOW_BYTES: u64 = 256 << 10;
/// Round-trip time assumed before it was measured: decides when a lost handshake packet is repeated.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// Packets that may wait for one acknowledgement, unless data goes the other way anyway.
const ACK_THRESHOLD: u32 = 8;
/// Bytes buffered for a handshake that has not been looked at yet.
const INCOMING_BYTES_MAX: u64 = 64 << 10;
