//! Is every way to break the rules refused by name, while service for the others goes on?

use quorate_types::{PublicKey, SecretKey};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::sync::Arc;

use crate::tests::*;
use crate::{ALPN_CLIENT, ALPN_PEER, ClientEndpoint, ClientServer};

/// Opens outgoing lanes as the protocol wants it.
pub(crate) async fn open_lanes(connection: &Connection, lanes: u8) -> Vec<quinn::SendStream> {
    let mut streams = Vec::new();
    for lane in 0..lanes {
        let mut stream = soon(connection.open_uni()).await.expect("the connection is open");
        stream.write_all(&[lane]).await.expect("the connection is open");
        streams.push(stream);
    }
    streams
}

/// A server with one honest client, which must be served until the end.
struct Scene {
    server: ClientServer,
    events: Events,
    replica: Remote,
    honest: ClientEndpoint,
}

impl Scene {
    async fn new() -> Self {
        let (server, mut events, replica) = serve(small(Config::clients()));
        let (sender, mut receiver) = mpsc::channel(8);
        let replicas = [replica.clone()];
        let honest = ClientEndpoint::start(&key(50), &replicas, small(Config::clients()), sender);
        events.client_connected().await;
        assert!(matches!(soon(receiver.recv()).await, Some(Event::Connected { .. })));
        Self { server, events, replica, honest: honest.expect("the client starts") }
    }

    /// A hostile client that connects properly, then writes `bytes` and ends the stream if told to.
    async fn attack(&mut self, bytes: &[u8], finish: bool) -> (quinn::Connection, Ending) {
        let hostile = Hostile::new();
        let connection = hostile.dial(&self.replica, &key(66), ALPN_CLIENT, 1).await.expect("any key may");
        let mut lanes = open_lanes(&connection, 1).await;
        let (client, id) = self.events.client_connected().await;
        assert_eq!(client, key(66).public());
        lanes[0].write_all(bytes).await.expect("the connection is open");
        if finish {
            lanes[0].finish().expect("the stream is open");
        }
        let (ended, ending) = self.events.client_disconnected().await;
        assert_eq!(ended, id);
        assert_eq!(ending, Ending { by_peer: false, ..Hostile::refusal(Ok(connection.clone())).await });
        assert!(self.server.counters().ended(ending.reason) > 0);
        (connection, ending)
    }

    async fn assert_service_goes_on(mut self) {
        self.honest.send(R0, frame(b"still", b"here")).expect("the honest client is connected");
        let (client, _, request) = self.events.request().await;
        assert_eq!((client, request), (key(50).public(), frame(b"still", b"here")));
    }
}

fn header(head: u32, payload: u32) -> Vec<u8> {
    [head.to_le_bytes(), payload.to_le_bytes()].concat()
}

#[tokio::test]
async fn an_oversized_head_is_refused_before_it_is_buffered() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.attack(&header(1025, 0), false).await.1, by_us(Reason::HeadTooLarge));
    assert_eq!(scene.attack(&header(u32::MAX, u32::MAX), false).await.1.reason, Reason::HeadTooLarge);
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn an_oversized_payload_is_refused_before_it_is_buffered() {
    let mut scene = Scene::new().await;
    let (connection, ending) = scene.attack(&header(1024, (1 << 20) + 1), false).await;
    assert_eq!(ending, by_us(Reason::PayloadTooLarge));
    let told = connection.close_reason().expect("it was closed").to_string();
    assert!(told.contains("payload-too-large"), "the other end reads the reason in {told:?}");
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn a_truncated_frame_is_refused() {
    let mut scene = Scene::new().await;
    let truncated = [header(4, 4), b"headpa".to_vec()].concat();
    assert_eq!(scene.attack(&truncated, true).await.1, by_us(Reason::FrameTruncated));
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn a_truncated_header_is_refused() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.attack(&header(4, 4)[..7], true).await.1, by_us(Reason::FrameTruncated));
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn a_lane_that_ends_between_frames_ends_the_connection() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.attack(b"", true).await.1, by_us(Reason::LaneEnded));
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn a_wrong_lane_number_is_refused() {
    let scene = Scene::new().await;
    let hostile = Hostile::new();
    let connection = hostile.dial(&scene.replica, &key(66), ALPN_CLIENT, 1).await.expect("any key may");
    let mut stream = soon(connection.open_uni()).await.expect("the connection is open");
    stream.write_all(&[7]).await.expect("the connection is open");
    assert_eq!(Hostile::refusal(Ok(connection)).await, by_peer(Reason::LaneUnexpected));
    until(|| scene.server.counters().ended(Reason::LaneUnexpected) == 1).await;
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn a_client_that_opens_no_lane_is_refused_in_time() {
    let config = Config { handshake_timeout: Duration::from_millis(200), ..small(Config::clients()) };
    let (server, _events, replica) = serve(config);
    let dialled = Hostile::new().dial(&replica, &key(66), ALPN_CLIENT, 1).await;
    assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::HandshakeTimeout));
    until(|| server.counters().ended(Reason::HandshakeTimeout) == 1).await;
}

#[tokio::test]
async fn no_more_streams_can_be_opened_than_there_are_lanes() {
    let scene = Scene::new().await;
    let hostile = Hostile::new();
    let connection = hostile.dial(&scene.replica, &key(66), ALPN_CLIENT, 1).await.expect("any key may");
    let _lanes = open_lanes(&connection, 1).await;
    tokio::select! {
        biased;
        _ = connection.open_uni() => panic!("a second stream was granted"),
        _ = connection.open_bi() => panic!("a stream in both directions was granted"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(connection.max_datagram_size(), None);
}

#[tokio::test]
async fn a_weak_key_is_refused_by_name() {
    let scene = Scene::new().await;
    // The neutral element of the curve: every signature verifies under it somewhere.
    let mut weak = PublicKey([0; 32]);
    weak.0[0] = 1;
    let tls = tls::client_with(forged(weak), ALPN_CLIENT, scene.replica.key);
    let config = socket::client(tls, &Config::clients(), 1, scene.replica.address);
    let dialled = Hostile::new().dial_with(&scene.replica, config).await;
    assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::WeakKey));
    until(|| scene.server.counters().ended(Reason::WeakKey) == 1).await;
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn a_key_without_its_secret_is_refused() {
    let scene = Scene::new().await;
    let tls = tls::client_with(forged(key(50).public()), ALPN_CLIENT, scene.replica.key);
    let config = socket::client(tls, &Config::clients(), 1, scene.replica.address);
    let dialled = Hostile::new().dial_with(&scene.replica, config).await;
    assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::HandshakeFailed));
    until(|| scene.server.counters().ended(Reason::HandshakeFailed) == 1).await;
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn another_protocol_is_refused_by_name() {
    let scene = Scene::new().await;
    for alpn in [ALPN_PEER, b"h3", b"quorate-client/2"] {
        let dialled = Hostile::new().dial(&scene.replica, &key(66), alpn, 1).await;
        assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::WrongAlpn));
    }
    until(|| scene.server.counters().ended(Reason::WrongAlpn) == 3).await;
    scene.assert_service_goes_on().await;
}

#[tokio::test]
async fn garbage_datagrams_change_nothing() {
    let scene = Scene::new().await;
    let socket = tokio::net::UdpSocket::bind(loopback()).await.expect("a port is free");
    for first in 0..=255 {
        let garbage: Vec<u8> = (0..1200_u32).map(|i| (i * 31) as u8 ^ first).collect();
        socket.send_to(&garbage, scene.replica.address).await.expect("loopback");
    }
    scene.assert_service_goes_on().await;
}

/// A key pair that pretends to own `public`.
fn forged(public: PublicKey) -> Arc<CertifiedKey> {
    let spki = [&tls::SPKI_PREFIX, public.0.as_slice()].concat();
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], Arc::new(Forger)))
}

/// Signs with a key that does not belong to the one presented.
#[derive(Debug)]
struct Forger;

impl SigningKey for Forger {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Forger {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(SecretKey::from_seed([200; 32]).sign(message).0.to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
