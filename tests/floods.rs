//! What do strangers achieve by asking for much? Connections, silence, replies that nobody takes and garbage are bounded,
//! while service goes on.

mod common;

use common::{append_in_order, start, stop, until, within};
use quorate::prelude::*;
use quorate::types::message::ClientMessage;
use quorate::types::{Bundle, ReplicaId, RequestNumber, SecretKey, SessionId, Time};
use quorate_transport::{ClientEndpoint, Config, Event, Frame, Reason, Remote};
use std::net::UdpSocket;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

#[tokio::test]
async fn one_key_gets_so_many_connections_and_no_more() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..3).await;
    let key = SecretKey::from_seed([70; 32]);
    let connections_max = Config::clients().connections_per_key_max;
    let crowd: Vec<Stranger> =
        (0..connections_max + 3).map(|_| Stranger::dial(&key, &replica_0(&cluster), 64)).collect();

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

/// Answers with as many letters as it is asked for; asked for none, it says how many there were.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Megaphone {
    letters: u64,
}

impl StateMachine for Megaphone {
    type Command = u32;
    type Reply = String;
    type Query = ();
    type Answer = ();

    fn apply(&mut self, letters: u32, _: &Context) -> String {
        self.letters += u64::from(letters);
        if letters == 0 { self.letters.to_string() } else { "x".repeat(letters as usize) }
    }

    fn query(&self, (): ()) {}
}

#[tokio::test]
async fn a_client_that_never_reads_costs_a_bounded_memory() {
    let cluster = LocalCluster::start(4, Megaphone::default).await.expect("it starts");
    let client = cluster.client().await.expect("a client");
    within("a request", client.submit(0)).await.expect("it finishes");
    // Its events end in a queue of one, and it never takes the second.
    let key = SecretKey::from_seed([71; 32]);
    let stranger = Stranger::dial(&key, &replica_0(&cluster), 1);
    within("it is connected", async {
        while !stranger.is_connected() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = resident_bytes();
    let session = SessionId { client: key.public(), birth: now(), nonce: 0 };
    for round in 0..ROUNDS {
        stranger.send(&cluster, &key, session, round);
        // All of it runs before the next round.
        let goal = (round + 1) * REQUESTS * u64::from(LETTERS);
        within("the replies are made", async {
            let made = || async { client.submit(0).await.expect("others are served").reply };
            while made().await.parse::<u64>().expect("a number") < goal {}
        })
        .await;
        if round % 10 == 0 {
            eprintln!("{round} {}", (resident_bytes() - before) >> 20);
        }
    }
    let dropped = |status: &quorate::Status| status.frames_dropped > 0;
    until("replies that nobody takes are dropped", cluster.replica(0), dropped).await;

    let grown = resident_bytes().saturating_sub(before);
    let config = Config::clients();
    let connection = config.queue_bytes_max as u64 + config.send_window_bytes;
    // A session keeps the replies of its window too, at every replica.
    let most = connection + 4 * REQUESTS * u64::from(LETTERS) + SLACK;
    let made = ROUNDS * REQUESTS * u64::from(LETTERS);
    assert!(
        made > most && grown < most,
        "{grown} bytes are held for {made} bytes of replies, not below {most}"
    );
    stop(cluster).await;
}

fn replica_0<S: StateMachine>(cluster: &LocalCluster<S>) -> Remote {
    Remote { address: cluster.client_addresses()[0], ..cluster.members()[0].clone() }
}

/// A client that connects to replica 0 and takes no events beyond what its queue holds.
struct Stranger {
    endpoint: ClientEndpoint,
    _events: mpsc::Receiver<Event>,
}

impl Stranger {
    fn dial(key: &SecretKey, replica: &Remote, queue: usize) -> Self {
        let (sender, events) = mpsc::channel(queue);
        let endpoint = ClientEndpoint::start(key, std::slice::from_ref(replica), Config::clients(), sender);
        Self { endpoint: endpoint.expect("it dials"), _events: events }
    }

    fn is_connected(&self) -> bool {
        self.endpoint.is_connected(ReplicaId(0))
    }

    /// Sends a bundle of signed requests for loud replies.
    fn send(&self, cluster: &LocalCluster<Megaphone>, key: &SecretKey, session: SessionId, round: u64) {
        let numbers = (1..=REQUESTS).map(|number| RequestNumber(REQUESTS * round + number));
        let requests: Vec<_> = numbers.map(|number| (number, LETTERS_ENCODED.to_vec().into())).collect();
        let bundle = Bundle::sign(&cluster.genesis().cluster_id(), key, session, &requests);
        let frame = ClientMessage::Request(bundle.raw().clone()).encode();
        let frame = Frame { head: frame.head, payload: frame.payload };
        self.endpoint.send(ReplicaId(0), frame).expect("it is connected");
    }
}

fn now() -> Time {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Time(u64::try_from(since_1970.as_nanos()).expect("so far"))
}

/// Memory of this process that is in use.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is told");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

/// As many as a session's window has.
const REQUESTS: u64 = 64;
const ROUNDS: u64 = 160;
const LETTERS: u32 = 32_768;
/// As a command.
const LETTERS_ENCODED: [u8; 3] = [0x80, 0x80, 0x02];
/// What a process needs besides.
const SLACK: u64 = 48 << 20;
