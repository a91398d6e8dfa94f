//! What does a client achieve that asks for more than it takes? Replies wait for it in a bounded memory, and the rest is
//! dropped. A program of its own, because it looks at the memory of the whole process.

mod common;

use common::{stop, until, within};
use quorate::prelude::*;
use quorate::types::message::ClientMessage;
use quorate::types::{Bundle, ReplicaId, RequestNumber, SecretKey, SessionId, Time};
use quorate_transport::{ClientEndpoint, Config, Event, Frame, Remote};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

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
    let stranger = Stranger::dial(&key, &cluster);
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

/// A client that connects to replica 0 and takes one event and no more.
struct Stranger {
    endpoint: ClientEndpoint,
    _events: mpsc::Receiver<Event>,
}

impl Stranger {
    fn dial(key: &SecretKey, cluster: &LocalCluster<Megaphone>) -> Self {
        let replica = Remote { address: cluster.client_addresses()[0], ..cluster.members()[0].clone() };
        let (sender, events) = mpsc::channel(1);
        let endpoint = ClientEndpoint::start(key, &[replica], Config::clients(), sender);
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
const ROUNDS: u64 = 60;
const LETTERS: u32 = 32_768;
/// As a command.
const LETTERS_ENCODED: [u8; 3] = [0x80, 0x80, 0x02];
/// What a process needs besides.
const SLACK: u64 = 48 << 20;
