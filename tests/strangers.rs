//! What do strangers achieve? They are refused by name and counted, while service goes on.

mod common;

use common::{Journal, append_in_order, start, stop, until, within};
use quorate::prelude::*;
use quorate::types::message::ClientMessage;
use quorate::types::{Bundle, ClusterId, Digest, ReplicaId, RequestNumber, SecretKey, SessionId, Time};
use quorate_transport::{ClientEndpoint, Config, Event, Frame, PeerSocket, Reason, Remote};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_strangers_key_is_refused_between_replicas_and_both_sides_know_why() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;

    let key = SecretKey::from_seed([66; 32]);
    let socket = PeerSocket::bind("127.0.0.1:0".parse().expect("an address"), &key).expect("a port");
    let me = Remote { id: ReplicaId(0), key: key.public(), address: socket.local_addr() };
    let members = [me, cluster.members()[3].clone()];
    let (events, mut receiver) = mpsc::channel(64);
    let stranger = socket.start(ReplicaId(0), &members, Config::peers(), events).expect("it dials");

    let refused = |status: &quorate::Status| status.rejections.contains_key("peer-socket/unknown-key");
    until("replica 3 refuses the stranger", cluster.replica(3), refused).await;
    let is_told = || stranger.counters().ended_by_peer(Reason::UnknownKey) > 0;
    within("the stranger learns why", async {
        while !is_told() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(receiver.try_recv().is_err(), "it never was connected");
    append_in_order(&client, 3..6).await;
    stranger.shutdown().await;
    stop(cluster).await;
}

#[tokio::test]
async fn garbage_from_a_client_is_rejected_by_name_and_the_connection_stays() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;

    let mut hostile = Hostile::connect(&cluster, Config::clients()).await;
    let bundle = || ClientMessage::Request(vec![7; 200].into()).encode();
    let frames = [
        ("unknown-kind", Frame { head: vec![9].into(), payload: Vec::new().into() }),
        ("truncated", Frame::default()),
        ("trailing-bytes", Frame { head: vec![1, 1].into(), payload: Vec::new().into() }),
        ("unexpected-payload", Frame { head: vec![1].into(), payload: vec![1].into() }),
    ];
    for (why, frame) in frames {
        hostile.send(frame);
        let name = format!("client/{why}");
        let rejected = move |status: &quorate::Status| status.rejections.contains_key(&name);
        until(&format!("replica 0 rejects what is {why}"), cluster.replica(0), rejected).await;
    }
    // A bundle that is none: its session and requests do not decode.
    let before: u64 = sum(&cluster).await;
    hostile.send(Frame { head: bundle().head, payload: bundle().payload });
    let more = move |status: &quorate::Status| status.rejections.values().sum::<u64>() > before;
    until("replica 0 rejects the bundle", cluster.replica(0), more).await;

    assert!(hostile.endpoint.is_connected(ReplicaId(0)), "nonsense costs a client nothing but its time");
    append_in_order(&client, 3..6).await;
    hostile.endpoint.shutdown().await;
    stop(cluster).await;
}

#[tokio::test]
async fn a_forged_signature_is_rejected_by_name() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;

    let mut hostile = Hostile::connect(&cluster, Config::clients()).await;
    let victim = SecretKey::from_seed([1; 32]);
    let (here, elsewhere) = (cluster.genesis().cluster_id(), Digest::default());
    let bundles = [("wrong-sender", sign(&here, &victim)), ("bad-signature", sign(&elsewhere, &hostile.key))];
    for (why, bundle) in bundles {
        hostile.send_message(&ClientMessage::Request(bundle.raw().clone()));
        let rejected = move |status: &quorate::Status| status.rejected(why) > 0;
        until(&format!("replica 0 rejects a {why}"), cluster.replica(0), rejected).await;
    }
    append_in_order(&client, 3..6).await;
    hostile.endpoint.shutdown().await;
    stop(cluster).await;
}

#[tokio::test]
async fn an_oversized_frame_closes_its_connection_by_name_and_no_other() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;

    let mut config = Config::clients();
    config.limits.head_bytes_max *= 2;
    let mut hostile = Hostile::connect(&cluster, config).await;
    let head = vec![0; Config::clients().limits.head_bytes_max + 1];
    hostile.send(Frame { head: head.into(), payload: Vec::new().into() });

    let refused = |status: &quorate::Status| status.rejections.contains_key("client-socket/head-too-large");
    until("replica 0 refuses the frame", cluster.replica(0), refused).await;
    within("the sender is disconnected", async {
        while !matches!(hostile.events.recv().await, Some(Event::Disconnected { .. })) {}
    })
    .await;
    append_in_order(&client, 3..6).await;
    hostile.endpoint.shutdown().await;
    stop(cluster).await;
}

/// A bundle of one request by this key, signed for this cluster.
fn sign(cluster: &ClusterId, key: &SecretKey) -> Bundle {
    let session = SessionId { client: key.public(), birth: Time(1), nonce: 0 };
    Bundle::sign(cluster, key, session, &[(RequestNumber(1), vec![1_u8].into())])
}

/// A client that sends what it likes to replica 0.
struct Hostile {
    key: SecretKey,
    endpoint: ClientEndpoint,
    events: mpsc::Receiver<Event>,
}

impl Hostile {
    async fn connect(cluster: &LocalCluster<Journal>, config: Config) -> Self {
        let key = SecretKey::from_seed([67; 32]);
        let member = Remote { address: cluster.client_addresses()[0], ..cluster.members()[0].clone() };
        let (sender, mut events) = mpsc::channel(1024);
        let endpoint = ClientEndpoint::start(&key, &[member], config, sender).expect("it dials");
        let first = within("it is connected", events.recv()).await;
        assert!(matches!(first, Some(Event::Connected { .. })), "{first:?}");
        Self { key, endpoint, events }
    }

    fn send(&mut self, frame: Frame) {
        self.endpoint.send(ReplicaId(0), frame).expect("it is connected");
    }

    fn send_message(&mut self, message: &ClientMessage) {
        let frame = message.encode();
        self.send(Frame { head: frame.head, payload: frame.payload });
    }
}

async fn sum(cluster: &LocalCluster<Journal>) -> u64 {
    cluster.replica(0).status().await.expect("it runs").rejections.values().sum()
}
