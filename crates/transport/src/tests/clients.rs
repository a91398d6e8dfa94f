//! Are clients served side by side, within bounds on connections, handshakes and memory?

use crate::tests::*;
use crate::{ALPN_CLIENT, ClientEndpoint, ConnectionId, Dropped};

fn connect(number: u8, replicas: &[Remote]) -> (ClientEndpoint, Events) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let client = ClientEndpoint::start(&key(number), replicas, small(Config::clients()), sender);
    (client.expect("the client starts"), Events(receiver))
}

#[tokio::test]
async fn a_client_reaches_all_replicas_and_gets_answers() {
    let mut servers = Vec::new();
    let mut replicas = Vec::new();
    for i in 0..3 {
        let (server, events, mut member) = serve(small(Config::clients()));
        member.id = ReplicaId(i);
        // Keys are told apart by the membership check, so each replica has its own.
        drop((server, events));
        let socket = ClientSocket::bind(loopback(), &key(i as u8)).expect("a port is free");
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        member.key = key(i as u8).public();
        member.address = socket.local_addr();
        let server = socket.start(small(Config::clients()), sender).expect("the replica starts");
        servers.push((server, Events(receiver)));
        replicas.push(member);
    }
    let (client, mut events) = connect(40, &replicas);
    for _ in 0..3 {
        events.connected().await;
    }
    for (id, (server, requests)) in (0..).map(ReplicaId).zip(&mut servers) {
        let (_, connection) = requests.client_connected().await;
        client.send(id, frame(b"add", b"5")).expect("it is connected");
        assert_eq!(requests.request().await, (key(40).public(), connection, frame(b"add", b"5")));
        server.send(connection, frame(b"sum", b"5")).expect("it is connected");
        assert_eq!(events.frame().await, (id, frame(b"sum", b"5")));
    }
    client.shutdown().await;
    for (_, requests) in &mut servers {
        assert_eq!(requests.client_disconnected().await.1, by_peer(Reason::Shutdown));
    }
}

#[tokio::test]
async fn one_key_may_have_several_connections_and_answers_do_not_mix() {
    let (server, mut requests, replica) = serve(small(Config::clients()));
    let replicas = [replica];
    let (first, mut first_events) = connect(40, &replicas);
    let (_, first_id) = requests.client_connected().await;
    let (second, mut second_events) = connect(40, &replicas);
    let (_, second_id) = requests.client_connected().await;
    first_events.connected().await;
    second_events.connected().await;

    first.send(R0, frame(b"from", b"first")).expect("it is connected");
    assert_eq!(requests.request().await, (key(40).public(), first_id, frame(b"from", b"first")));
    second.send(R0, frame(b"from", b"second")).expect("it is connected");
    assert_eq!(requests.request().await, (key(40).public(), second_id, frame(b"from", b"second")));
    server.send(second_id, frame(b"to", b"second")).expect("it is connected");
    server.send(first_id, frame(b"to", b"first")).expect("it is connected");
    assert_eq!(first_events.frame().await, (R0, frame(b"to", b"first")));
    assert_eq!(second_events.frame().await, (R0, frame(b"to", b"second")));

    first.shutdown().await;
    assert_eq!(requests.client_disconnected().await, (first_id, by_peer(Reason::Shutdown)));
    assert_eq!(server.send(first_id, frame(b"", b"")), Err(Dropped::UnknownPeer));
    server.send(second_id, frame(b"", b"")).expect("the other connection stays");
}

#[tokio::test]
async fn a_client_finds_a_restarted_replica_again() {
    let (server, mut requests, replica) = serve(small(Config::clients()));
    let (client, mut events) = connect(40, std::slice::from_ref(&replica));
    events.connected().await;
    requests.client_connected().await;
    server.shutdown().await;
    assert_eq!(events.disconnected().await, (R0, by_peer(Reason::Shutdown)));
    assert_eq!(client.send(R0, frame(b"", b"")), Err(Dropped::NotConnected));

    let socket = ClientSocket::bind(replica.address, &key(0)).expect("the port is free again");
    let (sender, _requests) = mpsc::channel(EVENTS_MAX);
    let _restarted = socket.start(small(Config::clients()), sender).expect("the replica starts");
    assert_eq!(events.connected().await, R0);
}

#[tokio::test]
async fn a_replica_with_another_key_than_the_pinned_one_is_not_trusted() {
    let (server, _requests, mut replica) = serve(small(Config::clients()));
    replica.key = key(9).public();
    let (client, _events) = connect(40, &[replica]);
    until(|| client.counters().ended(Reason::WrongKey) > 0).await;
    until(|| server.counters().ended_by_peer(Reason::WrongKey) > 0).await;
    assert_eq!(client.counters().connected, 0);
}

#[tokio::test]
async fn a_flood_of_connections_is_refused_beyond_the_maximum() {
    let (server, mut requests, replica) = serve(Config { connections_max: 4, ..small(Config::clients()) });
    let hostile = Hostile::new();
    let mut kept = Vec::new();
    for number in 0..4 {
        let dialled = hostile.dial(&replica, &key(60 + number), ALPN_CLIENT, 1).await.expect("there is room");
        kept.push((hostile::open_lanes(&dialled, 1).await, dialled));
        requests.client_connected().await;
    }
    for number in 0..20 {
        let dialled = hostile.dial(&replica, &key(100 + number), ALPN_CLIENT, 1).await;
        assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::TooManyConnections));
    }
    assert_eq!(server.counters().ended(Reason::TooManyConnections), 20);
    // A place that becomes free can be taken.
    kept.pop().expect("four were kept").1.close(0_u32.into(), b"");
    requests.client_disconnected().await;
    let (_client, mut events) = connect(40, &[replica]);
    assert_eq!(events.connected().await, R0);
}

#[tokio::test]
async fn one_key_cannot_take_all_connections() {
    let config = Config { connections_per_key_max: 2, ..small(Config::clients()) };
    let (server, mut requests, replica) = serve(config);
    let hostile = Hostile::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let dialled = hostile.dial(&replica, &key(60), ALPN_CLIENT, 1).await.expect("there is room");
        kept.push((hostile::open_lanes(&dialled, 1).await, dialled));
        requests.client_connected().await;
    }
    let dialled = hostile.dial(&replica, &key(60), ALPN_CLIENT, 1).await;
    assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::TooManyConnections));
    assert_eq!(server.counters().ended(Reason::TooManyConnections), 1);
    let (_other, mut events) = connect(40, &[replica]);
    assert_eq!(events.connected().await, R0);
}

#[tokio::test]
async fn handshakes_that_nobody_finishes_do_not_pile_up() {
    let handshake_timeout = Duration::from_secs(1);
    let config = Config { handshakes_pending_max: 4, handshake_timeout, ..small(Config::clients()) };
    let (server, _requests, replica) = serve(config);
    // Connection attempts whose answers are never read, from sockets without QUIC behind them:
    // real first packets, recorded by a relay that passes nothing back.
    let relay = tokio::net::UdpSocket::bind(loopback()).await.expect("a port is free");
    let through = Remote { address: relay.local_addr().expect("it is bound"), ..replica.clone() };
    let mut datagram = vec![0; 65_536];
    for number in 0..4 {
        let hostile = Hostile::new();
        let tls = tls::client(&key(60 + number), ALPN_CLIENT, replica.key);
        let config = socket::client(tls, &Config::clients(), 1, through.address);
        let connecting = hostile.endpoint.connect_with(config, through.address, "hostile");
        let (len, _) = soon(relay.recv_from(&mut datagram)).await.expect("the first packet");
        drop(connecting);
        let forger = tokio::net::UdpSocket::bind(loopback()).await.expect("a port is free");
        forger.send_to(&datagram[..len], replica.address).await.expect("loopback");
    }
    // Later attempts must prove their address and then succeed: there is still room for them.
    let (_client, mut events) = connect(40, std::slice::from_ref(&replica));
    assert_eq!(events.connected().await, R0);
    until(|| server.counters().ended(Reason::HandshakeTimeout) > 0).await;
}

#[tokio::test]
async fn a_flooding_client_is_not_read_further_and_starves_nobody() {
    let config =
        Config { inbound_bytes_max: 4 << 10, stream_window_bytes: 16 << 10, ..small(Config::clients()) };
    let (_server, mut requests, replica) = serve(config);
    let replicas = [replica];
    let (flooder, mut flooder_events) = connect(66, &replicas);
    flooder_events.connected().await;
    requests.client_connected().await;
    // 4 KiB of room and 256 bytes for each frame: 16 frames may wait, and no more.
    let mut unhandled = Vec::new();
    while flooder.send(R0, frame(b"flood", b"")).is_ok() && unhandled.len() < 16 {
        match requests.next().await {
            Event::ClientFrame { permit, .. } => unhandled.push(permit),
            other => panic!("expected a frame, not {other:?}"),
        }
    }
    while flooder.counters().dropped(Dropped::QueueFull) == 0 {
        let _ = flooder.send(R0, frame(b"flood", &[1; 1 << 10]));
    }

    let (honest, mut honest_events) = connect(40, &replicas);
    honest_events.connected().await;
    requests.client_connected().await;
    for _ in 0..100 {
        honest.send(R0, frame(b"please", b"")).expect("the honest client has its own room");
        assert_eq!(requests.request().await.0, key(40).public(), "nothing more of the flooder was read");
    }
    drop(unhandled);
    assert_eq!(requests.request().await.0, key(66).public(), "its frames were only waiting");
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed_after_the_idle_timeout() {
    let config = Config {
        idle_timeout: Duration::from_millis(500),
        keep_alive: Duration::from_millis(100),
        ..small(Config::clients())
    };
    let (_server, mut requests, replica) = serve(config);
    let machine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let machine = machine.expect("a runtime");
    let vanishing = {
        let _inside = machine.enter();
        connect(40, &[replica])
    };
    let (_, id) = requests.client_connected().await;
    let vanish = tokio::task::spawn_blocking(move || machine.shutdown_timeout(Duration::from_secs(10)));
    vanish.await.expect("all tasks are dropped");
    drop(vanishing);
    assert_eq!(requests.client_disconnected().await, (id, by_us(Reason::IdleTimeout)));
}

#[tokio::test]
async fn answers_to_unknown_connections_are_dropped_by_name() {
    let (server, _requests, _) = serve(small(Config::clients()));
    assert_eq!(server.send(ConnectionId(7), frame(b"", b"")), Err(Dropped::UnknownPeer));
    assert_eq!(server.send(ConnectionId(7), frame(&[0; 1025], b"")), Err(Dropped::TooLarge));
    assert_eq!(server.counters().dropped(Dropped::UnknownPeer), 1);
}
