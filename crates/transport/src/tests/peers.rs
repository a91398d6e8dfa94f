//! Do replicas exchange frames, refuse strangers, and stay unharmed by a peer that is slow or cut?

use crate::network::Class;
use crate::tests::*;
use crate::{ALPN_CLIENT, ALPN_PEER, Dropped};

#[tokio::test]
async fn frames_of_all_sizes_arrive_in_both_directions() {
    let (mut replicas, _) = cluster(2, &small(Config::peers())).await;
    let sizes = [0, 1, 7, 8, 255, 2047, 2048, 2049, 65_535, 65_537, 200_000, 1 << 20];
    for (from, to) in [(0, 1), (1, 0)] {
        for class in [Class::Consensus, Class::Bulk] {
            let sent = sizes.map(|size| frame(&vec![1; size.min(1024)], &vec![2; size]));
            for frame in &sent {
                let to = ReplicaId(to as u16);
                replicas[from].network.send(to, class, frame.clone()).expect("there is room");
            }
            for frame in sent {
                let (sender, received) = replicas[to].events.frame().await;
                assert_eq!(sender, ReplicaId(from as u16));
                assert!(received == frame, "a frame of {} bytes arrived changed", frame.payload.len());
            }
        }
    }
    let counters = replicas[0].network.counters();
    assert_eq!((counters.connected, counters.frames_sent, counters.frames_received), (1, 24, 24));
    assert_eq!(counters.bytes_sent, counters.bytes_received);
}

#[tokio::test]
async fn a_stranger_is_refused_by_name_on_both_sides() {
    let (mut sockets, members) = bind(2);
    let honest = Replica::start(sockets.remove(1), R1, &members, small(Config::peers()));
    let mut believed = members.clone();
    believed[0].key = key(9).public();
    let socket = PeerSocket::bind(loopback(), &key(9)).expect("a port is free");
    let stranger = Replica::start(socket, R0, &believed, small(Config::peers()));

    until(|| honest.network.counters().ended(Reason::UnknownKey) > 0).await;
    until(|| stranger.network.counters().ended_by_peer(Reason::UnknownKey) > 0).await;
    assert_eq!(honest.network.counters().connected, 0);
    assert_eq!(stranger.network.counters().connected, 0);
    assert!(!stranger.network.is_connected(R1));
}

#[tokio::test]
async fn a_replica_with_another_key_than_the_pinned_one_is_refused_by_name_on_both_sides() {
    let (mut sockets, members) = bind(2);
    let impostor = Replica::start(sockets.remove(1), R1, &members, small(Config::peers()));
    let mut pinned = members.clone();
    pinned[1].key = key(9).public();
    let honest = Replica::start(sockets.remove(0), R0, &pinned, small(Config::peers()));

    until(|| honest.network.counters().ended(Reason::WrongKey) > 0).await;
    until(|| impostor.network.counters().ended_by_peer(Reason::WrongKey) > 0).await;
    assert_eq!(honest.network.counters().connected, 0);
}

#[tokio::test]
async fn a_client_protocol_on_the_peer_socket_is_refused_by_name() {
    let (mut sockets, members) = bind(2);
    let honest = Replica::start(sockets.remove(1), R1, &members, small(Config::peers()));
    let dialled = Hostile::new().dial(&members[1], &key(0), ALPN_CLIENT, 2).await;
    assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::WrongAlpn));
    until(|| honest.network.counters().ended(Reason::WrongAlpn) == 1).await;
}

#[tokio::test]
async fn the_replica_with_the_greater_id_may_not_dial() {
    let (mut sockets, members) = bind(2);
    let honest = Replica::start(sockets.remove(0), R0, &members, small(Config::peers()));
    let dialled = Hostile::new().dial(&members[0], &key(1), ALPN_PEER, 2).await;
    assert_eq!(Hostile::refusal(dialled).await, by_peer(Reason::WrongDirection));
    until(|| honest.network.counters().ended(Reason::WrongDirection) == 1).await;
}

#[tokio::test]
async fn a_peer_that_never_reads_costs_the_others_nothing() {
    let config = Config {
        queue_frames_max: 16,
        inbound_bytes_max: 1 << 10,
        stream_window_bytes: 64 << 10,
        send_window_bytes: 64 << 10,
        ..small(Config::peers())
    };
    let (mut replicas, _) = cluster(3, &config).await;
    let mut receiver = replicas.remove(2);
    let _never_reads = replicas.remove(1);
    let sender = replicas.remove(0).network;
    let mut rounds = 0_u64;
    while sender.counters().dropped(Dropped::QueueFull) < 100 {
        let sent = frame(&rounds.to_le_bytes(), &[3; 4096]);
        // Whether this one still fits does not matter; that the call returns does.
        let _ = sender.send(R1, Class::Consensus, sent.clone());
        sender.send(R2, Class::Consensus, sent.clone()).expect("the other peer keeps up");
        assert_eq!(receiver.events.frame().await, (R0, sent));
        rounds += 1;
    }
    assert!(sender.is_connected(R1), "a slow peer is not a lost one");
}

#[tokio::test]
async fn bulk_data_that_waits_does_not_hold_up_consensus() {
    // 256 bytes of room for each frame: four bulk frames may wait.
    let config = Config { inbound_bytes_max: 1 << 10, ..small(Config::peers()) };
    let (mut replicas, _) = cluster(2, &config).await;
    let mut receiver = replicas.remove(1);
    let sender = &replicas[0].network;
    for _ in 0..20 {
        sender.send(R1, Class::Bulk, frame(b"bulk", b"")).expect("there is room");
    }
    let mut waiting = Vec::new();
    while waiting.len() < 4 {
        match receiver.events.next().await {
            Event::Frame { permit, .. } => waiting.push(permit),
            other => panic!("expected a frame, not {other:?}"),
        }
    }
    for _ in 0..50 {
        sender.send(R1, Class::Consensus, frame(b"vote", b"")).expect("there is room");
        assert_eq!(receiver.events.frame().await, (R0, frame(b"vote", b"")));
    }
    drop(waiting);
    for _ in 4..20 {
        assert_eq!(receiver.events.frame().await, (R0, frame(b"bulk", b"")));
    }
}

#[tokio::test]
async fn bytes_in_the_queue_are_bounded_too() {
    let config = Config { queue_bytes_max: 1 << 20, send_window_bytes: 64 << 10, ..small(Config::peers()) };
    let (replicas, _) = cluster(2, &config).await;
    let network = &replicas[0].network;
    let large = frame(b"", &vec![5; 700 << 10]);
    network.send(R1, Class::Bulk, large.clone()).expect("one frame always fits");
    // Nothing else ran in between, so the first frame still counts.
    assert_eq!(network.send(R1, Class::Bulk, large.clone()), Err(Dropped::QueueFull));
    network.send(R1, Class::Consensus, large).expect("the other lane has a queue of its own");
}

#[tokio::test]
async fn what_cannot_be_sent_is_dropped_by_name() {
    let (mut sockets, members) = bind(2);
    let alone = Replica::start(sockets.remove(0), R0, &members, small(Config::peers()));
    let network = &alone.network;
    assert_eq!(network.send(R1, Class::Bulk, frame(b"", b"")), Err(Dropped::NotConnected));
    assert_eq!(network.send(R2, Class::Bulk, frame(b"", b"")), Err(Dropped::UnknownPeer));
    assert_eq!(network.send(R1, Class::Bulk, frame(&[0; 1025], b"")), Err(Dropped::TooLarge));
    network.cut(R1);
    assert_eq!(network.send(R1, Class::Bulk, frame(b"", b"")), Err(Dropped::Cut));
    assert!(Dropped::ALL.iter().filter(|why| network.counters().dropped(**why) == 1).count() == 4);
}

#[tokio::test]
async fn a_cut_closes_the_connection_until_it_heals() {
    let (mut replicas, _) = cluster(3, &small(Config::peers())).await;
    replicas[0].network.cut(R1);
    assert_eq!(replicas[0].events.disconnected().await, (R1, by_us(Reason::Cut)));
    assert_eq!(replicas[1].events.disconnected().await, (R0, by_peer(Reason::Cut)));
    assert!(!replicas[0].network.is_connected(R1));

    replicas[0].network.send(R2, Class::Consensus, frame(b"others", b"")).expect("only one peer is cut");
    assert_eq!(replicas[2].events.frame().await, (R0, frame(b"others", b"")));

    replicas[0].network.heal(R1);
    assert_eq!(replicas[0].events.connected().await, R1);
    assert_eq!(replicas[1].events.connected().await, R0);
    replicas[1].network.send(R0, Class::Consensus, frame(b"back", b"")).expect("the link is healed");
    assert_eq!(replicas[0].events.frame().await, (R1, frame(b"back", b"")));
}

#[tokio::test]
async fn a_cut_on_the_accepting_side_refuses_the_dialler() {
    let (mut replicas, _) = cluster(2, &small(Config::peers())).await;
    replicas[1].network.cut(R0);
    assert_eq!(replicas[0].events.disconnected().await, (R1, by_peer(Reason::Cut)));
    assert_eq!(replicas[1].events.disconnected().await, (R0, by_us(Reason::Cut)));
    until(|| replicas[1].network.counters().ended(Reason::Cut) >= 3).await;
    replicas[1].network.heal(R0);
    assert_eq!(replicas[0].events.connected().await, R1);
    assert_eq!(replicas[1].events.connected().await, R0);
}
