//! What do strangers achieve with many connections, or with garbage at every port? They are refused, while service goes on.

mod common;

use common::{Journal, append_in_order, start, stop, until, within};
use quorate::prelude::*;
use quorate::types::{ReplicaId, SecretKey};
use quorate_transport::{ClientEndpoint, Config, Event, Reason, Remote};
use std::net::UdpSocket;
use tokio::sync::mpsc;

#[tokio::test]
async fn one_key_gets_so_many_connections_and_no_more() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;
    let key = SecretKey::from_seed([70; 32]);
    let connections_max = Config::clients().connections_per_key_max;
    let crowd: Vec<Stranger> =
        (0..connections_max + 3).map(|_| Stranger::dial(&key, &replica_0(&cluster))).collect();

    let refused =
        |status: &quorate::Status| status.rejections.get("client-socket/too-many-connections") >= Some(&3);
    until("those beyond the limit are refused", cluster.replica(0), refused).await;
    let connected = || crowd.iter().filter(|stranger| stranger.is_connected()).count();
    within("all others are connected", async {
        while connected() < connections_max {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(connected(), connections_max);
    let told = |stranger: &Stranger| stranger.endpoint.counters().ended_by_peer(Reason::TooManyConnections);
    within("they are told why", async {
        while crowd.iter().map(told).sum::<u64>() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    append_in_order(&client, 3..10).await;
    stop(cluster).await;
}

#[tokio::test]
async fn garbage_datagrams_at_every_port_change_nothing() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let peers = cluster.members().iter().map(|member| member.address);
    let ports: Vec<_> = peers.chain(cluster.client_addresses().iter().copied()).collect();
    for round in 0..200_usize {
        for port in &ports {
            // Half of them look like the first packet of a connection.
            let mut datagram: Vec<u8> = (0..1200).map(|byte| (byte * 31 + round * 17) as u8).collect();
            if round % 2 == 0 {
                datagram[..6].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8]);
            }
            // A full buffer loses them, which is fine too.
            let _ = socket.send_to(&datagram, port);
        }
        if round % 20 == 0 {
            let next = 3 + round as u64 / 20;
            append_in_order(&client, next..next + 1).await;
        }
    }
    for replica in cluster.replicas() {
        let status = replica.status().await.expect("it runs");
        assert_eq!((status.connected.len(), status.view_changes, status.halted), (3, 0, None));
    }
    stop(cluster).await;
}

fn replica_0(cluster: &LocalCluster<Journal>) -> Remote {
    Remote { address: cluster.client_addresses()[0], ..cluster.members()[0].clone() }
}

/// A client that connects to replica 0 and says nothing.
struct Stranger {
    endpoint: ClientEndpoint,
    _events: mpsc::Receiver<Event>,
}

impl Stranger {
    fn dial(key: &SecretKey, replica: &Remote) -> Self {
        let (sender, events) = mpsc::channel(64);
        let endpoint = ClientEndpoint::start(key, std::slice::from_ref(replica), Config::clients(), sender);
        Self { endpoint: endpoint.expect("it dials"), _events: events }
    }

    fn is_connected(&self) -> bool {
        self.endpoint.is_connected(ReplicaId(0))
    }
}
