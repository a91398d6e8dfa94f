//! Do replicas find each other again after a stop, a crash, a move and a second connection?

use crate::ALPN_PEER;
use crate::network::Class;
use crate::tests::*;

#[tokio::test]
async fn a_restarted_peer_is_dialled_again() {
    let (mut replicas, members) = cluster(2, &small(Config::peers())).await;
    let stopped = replicas.remove(1);
    stopped.network.shutdown().await;
    assert_eq!(replicas[0].events.disconnected().await, (R1, by_peer(Reason::Shutdown)));

    let socket = PeerSocket::bind(members[1].address, &key(1)).expect("the port is free again");
    let mut restarted = Replica::start(socket, R1, &members, small(Config::peers()));
    assert_eq!(replicas[0].events.connected().await, R1);
    assert_eq!(restarted.events.connected().await, R0);
    restarted.network.send(R0, Class::Consensus, frame(b"again", b"")).expect("it is connected");
    assert_eq!(replicas[0].events.frame().await, (R1, frame(b"again", b"")));
}

#[tokio::test]
async fn a_crashed_peer_is_noticed_as_soon_as_it_is_back() {
    let (mut sockets, members) = bind(2);
    // Longer than the deadline: the idle timeout does not help.
    let config = Config { idle_timeout: Duration::from_secs(60), ..small(Config::peers()) };
    let machine = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let machine = machine.expect("a runtime");
    let crashing = {
        let _inside = machine.enter();
        Replica::start(sockets.remove(1), R1, &members, config.clone())
    };
    let mut witness = Replica::start(sockets.remove(0), R0, &members, config.clone());
    assert_eq!(witness.events.connected().await, R1);
    // No task of the replica runs after this, so it cannot say goodbye.
    let crash = tokio::task::spawn_blocking(move || machine.shutdown_timeout(Duration::from_secs(10)));
    crash.await.expect("all tasks are dropped");
    drop(crashing);

    let socket = PeerSocket::bind(members[1].address, &key(1)).expect("the port is free again");
    let _restarted = Replica::start(socket, R1, &members, config);
    assert_eq!(witness.events.disconnected().await, (R1, by_peer(Reason::Reset)));
    assert_eq!(witness.events.connected().await, R1);
}

#[tokio::test]
async fn a_peer_that_moved_is_found_at_its_new_address() {
    let (mut replicas, mut members) = cluster(2, &small(Config::peers())).await;
    let stopped = replicas.remove(1);
    stopped.network.shutdown().await;
    replicas[0].events.disconnected().await;

    let socket = PeerSocket::bind(loopback(), &key(1)).expect("a port is free");
    members[1].address = socket.local_addr();
    let _moved = Replica::start(socket, R1, &members, small(Config::peers()));
    replicas[0].network.set_address(R1, members[1].address);
    assert_eq!(replicas[0].events.connected().await, R1);
}

#[tokio::test]
async fn the_newest_connection_of_a_peer_wins() {
    let (mut sockets, members) = bind(2);
    let mut honest = Replica::start(sockets.remove(1), R1, &members, small(Config::peers()));
    let hostile = Hostile::new();
    let older = hostile.dial(&members[1], &key(0), ALPN_PEER, 2).await.expect("a member's key");
    let _lanes = hostile::open_lanes(&older, 2).await;
    assert_eq!(honest.events.connected().await, R0);

    let newer = hostile.dial(&members[1], &key(0), ALPN_PEER, 2).await.expect("a member's key");
    let _newer_lanes = hostile::open_lanes(&newer, 2).await;
    assert_eq!(honest.events.disconnected().await, (R0, by_us(Reason::Replaced)));
    assert_eq!(honest.events.connected().await, R0);
    assert_eq!(Hostile::refusal(Ok(older)).await, by_peer(Reason::Replaced));
    assert!(newer.close_reason().is_none());
}

#[tokio::test]
async fn shutdown_leaves_no_task_and_no_port_behind() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let (replicas, members) = cluster(3, &small(Config::peers())).await;
    assert!(alive() > before);
    for replica in &replicas {
        replica.network.shutdown().await;
        // Once more does no harm.
        replica.network.shutdown().await;
    }
    until(|| alive() == before).await;
    for member in members {
        PeerSocket::bind(member.address, &key(0)).expect("the port is free again");
    }
}

#[tokio::test]
async fn dropping_an_endpoint_ends_its_tasks() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let (replicas, _) = cluster(2, &small(Config::peers())).await;
    drop(replicas);
    until(|| alive() == before).await;
}
