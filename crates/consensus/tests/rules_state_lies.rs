//! What a liar can do to a state transfer: rule K3 against wrong heads, pages, chunks, certificates and heights.

mod common;
use bytes::Bytes;
use common::{Cluster, Envelope, LAGGARD, asked_for, id, is_chunk};
use quorate_types::certificate::{CheckpointCertificate, Signatures};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message, Status};
use quorate_types::state::{CHUNK_BYTES_MAX, Page};
use quorate_types::{ChunkId, Digest, Epoch, Height, Rejection, Signature, StateHead};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// Replica 0 is the first that is asked for anything.
const LIAR: usize = 0;

/// Runs the transfer with what the liar makes of its answers; gives how often it was asked.
fn run_with(lie: impl Fn(&Data) -> Option<Vec<Data>>) -> (Cluster, usize) {
    let mut cluster = Cluster::with_laggard();
    let asked = Cell::new(0);
    let tamper = |e: &Envelope| {
        let is_question = matches!(e.message, Message::Fetch(Fetch::State(_) | Fetch::Chunks(_)));
        if e.to == id(LIAR) && is_question {
            asked.set(asked.get() + 1);
        }
        match &e.message {
            Message::Data(data) if e.from == id(LIAR) => match lie(data) {
                Some(lies) => lies.into_iter().map(Message::Data).collect(),
                None => vec![e.message.clone()],
            },
            message => vec![message.clone()],
        }
    };
    let rounds = cluster.run_by(3_000, tamper, Cluster::has_caught_up);
    assert!(rounds.is_some_and(|rounds| rounds < 900), "{rounds:?} {:?}", cluster.refused_of(LIAR));
    assert_eq!(cluster.installed(LAGGARD).len(), 1);
    cluster.assert_one_history(&[]);
    (cluster, asked.get())
}

/// [K3] The head is the certified one: root, height and block. Who sends another is not asked again.
#[test]
fn k3_a_wrong_head_is_refused_and_its_sender_paused() {
    type Lie = fn(&StateHead, &mut quorate_types::certificate::SignedHeader) -> StateHead;
    let lies: [Lie; 4] = [
        |head, _| StateHead { result_root: Digest::of_bytes(b"wrong"), ..head.clone() },
        |head, _| StateHead { height: Height(head.height.0 + 4), ..head.clone() },
        |head, _| StateHead { application: head.sessions.clone(), ..head.clone() },
        |head, header| {
            header.header.time.0 += 1;
            head.clone()
        },
    ];
    for (place, lie) in lies.into_iter().enumerate() {
        let (cluster, asked) = run_with(|data| match data {
            Data::State { header, head } => {
                let mut header = *header;
                let head = Arc::new(lie(head, &mut header));
                Some(vec![Data::State { header, head }])
            }
            _ => None,
        });
        assert_eq!((place, cluster.refused_of(LIAR)), (place, vec![Rejection::WrongState]));
        assert_eq!(asked, 1, "lie {place}");
    }
}

/// [K3] A state that is right in itself, pages and chunks included, is refused at its head: the certificate names
/// another root.
#[test]
fn k3_a_consistent_lie_is_refused_at_its_head() {
    let other = Cluster::with_laggard();
    let mut invented = other.hosts[1].disk.clone();
    let (header, head) = invented.snapshots.last_key_value().map(|(_, kept)| kept.clone()).unwrap();
    let application = invented.put(&[7; 32]);
    let head = Arc::new(StateHead { application, ..(*head).clone() });
    let (cluster, asked) = run_with(|data| match data {
        Data::State { .. } => Some(vec![Data::State { header, head: Arc::clone(&head) }]),
        _ => None,
    });
    assert_eq!(cluster.refused_of(LIAR), [Rejection::WrongState]);
    assert_eq!(asked, 1);
}

/// [K3] Nothing but what was asked of a peer is kept of it, whatever it sends instead. It is named, and it is not
/// asked again.
#[test]
fn k3_each_wrong_chunk_is_refused_by_name() {
    let junk = |number: usize| Data::Chunk(Bytes::from(format!("junk {number}")));
    let listing = Page(Limited::take([ChunkId::of(b"junk")])).encode();
    let own = Cluster::with_laggard();
    let known = own.hosts[1].disk.chunks.values().find(|bytes| bytes.len() == 8).cloned().unwrap();
    type Lies<'a> = Box<dyn Fn(&Bytes) -> Vec<Data> + 'a>;
    let lies: [(&str, Rejection, Lies<'_>); 7] = [
        ("other bytes", Rejection::WrongState, Box::new(|_| vec![junk(1)])),
        ("another page", Rejection::WrongState, Box::new(|_| vec![Data::Chunk(listing.clone())])),
        (
            "too large",
            Rejection::Oversized,
            Box::new(|_| vec![Data::Chunk(vec![0; CHUNK_BYTES_MAX + 1].into())]),
        ),
        ("nothing", Rejection::Oversized, Box::new(|_| vec![Data::Chunk(Bytes::new())])),
        ("repeated", Rejection::WrongState, Box::new(|bytes| vec![Data::Chunk(bytes.clone()); 40])),
        ("one for all", Rejection::WrongState, Box::new(|_| vec![Data::Chunk(known.clone())])),
        ("endless", Rejection::Unrequested, Box::new(|_| (0..500).map(junk).collect())),
    ];
    for (name, expected, lie) in &lies {
        let (cluster, asked) = run_with(|data| match data {
            Data::Chunk(bytes) => Some(lie(bytes)),
            _ => None,
        });
        let refused = cluster.refused_of(LIAR);
        assert!(refused.contains(expected), "{name}: {refused:?}");
        let asked_max = if *name == "repeated" { 6 } else { 3 };
        assert!(asked <= asked_max, "{name}: asked {asked} times");
        let junk = |bytes: &&Bytes| bytes.starts_with(b"junk") || bytes.len() > CHUNK_BYTES_MAX;
        assert_eq!(cluster.hosts[LAGGARD].disk.chunks.values().filter(junk).count(), 0, "{name}");
    }
}

/// [K3] In whatever order chunks come, they are taken; who sends them backwards did nothing wrong.
#[test]
fn k3_the_order_of_chunks_does_not_matter() {
    let mut cluster = Cluster::with_laggard();
    for _ in 0..1_000 {
        let mut sent: Vec<_> = cluster.wire.drain(..).collect();
        sent.reverse();
        cluster.wire.extend(sent);
        cluster.round();
        cluster.pass(Duration::from_millis(1));
    }
    assert!(cluster.has_caught_up());
    assert!(!cluster.is_refused(LAGGARD, Rejection::WrongState));
}

/// [K3] Chunks, heads and absences that nobody asked for change nothing.
#[test]
fn k3_what_nobody_asked_for_is_refused() {
    let mut cluster = Cluster::with_laggard();
    assert!(cluster.run_until(2_000, Cluster::has_caught_up));
    cluster.run_until(50, |_| false);
    cluster.hosts[LAGGARD].rejections.clear();
    let (height, (header, head)) = cluster.hosts[1].disk.snapshots.first_key_value().unwrap();
    assert!(*height < Height(50));
    let stale = Data::State { header: *header, head: Arc::clone(head) };
    let held = cluster.hosts[LAGGARD].disk.chunks.len();
    for data in [stale, Data::Chunk(Bytes::from_static(b"junk")), Data::Absent(Limited::default())] {
        cluster.deliver(LIAR, LAGGARD, Message::Data(data));
    }
    assert_eq!(cluster.refused_of(LIAR), [Rejection::Unrequested; 2]);
    assert_eq!(cluster.hosts[LAGGARD].disk.chunks.len(), held);
    assert_eq!(cluster.installed(LAGGARD).len(), 1);
}

/// [K3] A certificate needs Q signatures of this cluster and epoch; no other starts anything.
#[test]
fn k3_certificates_are_checked() {
    let mut cluster = Cluster::with_laggard();
    let good = (**cluster.hosts[1].certified.last().unwrap()).clone();
    let with = |count: usize| Signatures::take(good.signatures.iter().take(count).copied());
    let mut other_epoch = good.clone();
    other_epoch.checkpoint.epoch = Epoch(1);
    let other_root = quorate_types::CheckpointStatement { state_root: Digest::default(), ..good.checkpoint };
    let foreign = Signatures::take(good.signatures.iter().map(|(signer, _)| (*signer, Signature([9; 64]))));
    let twice = Signatures::take([0, 0, 1].map(|place: usize| good.signatures[place]));
    let lies = [
        (CheckpointCertificate { signatures: with(2), ..good.clone() }, Rejection::BadCertificate),
        (CheckpointCertificate { signatures: with(0), ..good.clone() }, Rejection::BadCertificate),
        (CheckpointCertificate { signatures: twice, ..good.clone() }, Rejection::BadCertificate),
        (other_epoch, Rejection::WrongEpoch),
        (CheckpointCertificate { signatures: foreign, ..good.clone() }, Rejection::BadSignature),
        (CheckpointCertificate { checkpoint: other_root, ..good.clone() }, Rejection::BadSignature),
    ];
    let before = cluster.hosts[LAGGARD].replica.status().stable;
    for (lie, expected) in lies {
        cluster.hosts[LAGGARD].rejections.clear();
        cluster.deliver(LIAR, LAGGARD, Message::Data(Data::Checkpoint(Arc::new(lie))));
        assert_eq!(cluster.refused_of(LIAR), [expected]);
    }
    assert_eq!(cluster.hosts[LAGGARD].replica.status().stable, before);
    assert!(cluster.fetching(LAGGARD).is_empty());
    cluster.deliver(LIAR, LAGGARD, Message::Data(Data::Checkpoint(Arc::new(good))));
    assert_eq!(cluster.hosts[LAGGARD].replica.status().stable, Height(48));
}

/// [K3] Heights that f replicas name start nothing, at a replica that is up to date or at one that is not.
#[test]
fn k3_a_height_lie_starts_nothing() {
    for height in [1_000_000_000, u64::MAX] {
        let mut cluster = Cluster::without_history(4);
        cluster.run_requests(1..=6);
        let height = Height(height);
        let lie = |message: &Message| match message {
            Message::Status(status) => {
                let digest = status.committed.1;
                vec![Message::Status(Status {
                    committed: (height, digest),
                    stable: height,
                    base: height,
                    ..*status
                })]
            }
            message => vec![message.clone()],
        };
        assert_eq!(cluster.run_with_liar(LIAR, 1_500, lie, |_| false), None);
        for i in 1..4 {
            assert!(cluster.fetching(i).is_empty(), "replica {i}");
        }
        cluster.run_requests(7..=10);
        assert!((1..4).all(|i| cluster.committed(i) == Height(10)));
    }
    let mut cluster = Cluster::with_laggard();
    let lie = |message: &Message| match message {
        Message::Status(status) => vec![Message::Status(Status { stable: Height(u64::MAX), ..*status })],
        Message::Data(Data::State { .. } | Data::Chunk(_)) => Vec::new(),
        message => vec![message.clone()],
    };
    assert!(cluster.run_with_liar(LIAR, 1_500, lie, Cluster::has_caught_up).is_some());
    assert_eq!(cluster.fetching(LAGGARD), [Height(48)]);
}

/// [K3] An older certificate and its state move nobody back.
#[test]
fn k3_a_stale_state_is_not_installed() {
    let mut cluster = Cluster::without_history(4);
    cluster.run_requests(1..=4);
    cluster.run_until(5, |_| false);
    let old = Arc::clone(cluster.hosts[1].certified.last().unwrap());
    let (header, head) = cluster.hosts[1].disk.snapshots[&Height(4)].clone();
    cluster.run_requests(5..=50);
    cluster.hosts[LAGGARD].rejections.clear();
    cluster.deliver(LIAR, LAGGARD, Message::Data(Data::Checkpoint(old)));
    cluster.deliver(LIAR, LAGGARD, Message::Data(Data::State { header, head }));
    cluster.run_until(500, |_| false);
    assert_eq!(cluster.refused_of(LIAR), [Rejection::Unrequested]);
    assert!(cluster.fetching(LAGGARD).is_empty());
    assert_eq!(cluster.committed(LAGGARD), Height(50));
    assert_eq!(cluster.hosts[LAGGARD].replica.status().stable, Height(48));
}

/// [K3] Who is asked for chunks it may owe is asked for a bounded number at a time.
#[test]
fn k3_a_peer_owes_a_bounded_number_of_chunks() {
    let mut cluster = Cluster::with_laggard();
    let most = Cell::new(0);
    let owed = Cell::new(0usize);
    let watch = |e: &Envelope| {
        if e.to == id(LIAR) {
            owed.set(owed.get() + asked_for(&e.message).len());
        }
        if e.from == id(LIAR) && is_chunk(&e.message) {
            owed.set(owed.get().saturating_sub(1));
        }
        most.set(most.get().max(owed.get()));
        vec![e.message.clone()]
    };
    assert!(cluster.run_by(2_000, watch, Cluster::has_caught_up).is_some());
    assert!((1..=128).contains(&most.get()), "{}", most.get());
}

/// [K3] Who says to hold blocks that it does not send keeps no laggard waiting: a state does as well.
#[test]
fn k3_who_claims_to_hold_blocks_delays_a_transfer_only() {
    let mut cluster = Cluster::with_laggard();
    let boast = |e: &Envelope| match &e.message {
        Message::Status(status) if e.to == id(LAGGARD) && e.from.0 < 2 => {
            vec![Message::Status(Status { base: Height(0), ..*status })]
        }
        message => vec![message.clone()],
    };
    assert!(cluster.run_by(3_000, boast, Cluster::has_caught_up).is_some());
    assert_eq!(cluster.installed(LAGGARD).len(), 1);
    cluster.assert_one_history(&[]);
}
