//! What do the steps cost that every request goes through? `cargo bench` prints a median for each.
#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use bytes::Bytes;
use quorate::types::certificate::{QuorumCertificate, SignedHeader, ViewChange};
use quorate::types::limited::Limited;
use quorate::types::message::Outcome;
use quorate::types::{
    Batch, Bundle, ClusterId, Digest, Epoch, Genesis, Header, Height, Member, ProtocolParameters, ReplicaId,
    RequestNumber, Scheme, SecretKey, SessionId, Signature, Statement, Time, Unverified, Verifier, View,
};
use quorate_consensus::select;
use quorate_consensus::session::{Admission, SessionTable};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    println!("{:<52}{:>12}", "step", "median");
    signatures();
    bundles();
    batches();
    selection();
    sessions();
}

fn signatures() {
    let key = SecretKey::from_seed([1; 32]);
    let cluster = Digest::of_bytes(b"cluster");
    let statement = Statement::Bundle(Digest::of_bytes(b"bundle"));
    measure("sign a statement", || statement.sign(&key, &cluster));
}

fn bundles() {
    let genesis = genesis();
    let membership = Arc::new(genesis.membership().expect("a good genesis"));
    let (key, session) = client(0);
    let cluster = membership.cluster();
    let verifier = Verifier::new(membership, ProtocolParameters::default());
    for count in [1, 64] {
        let requests = requests(count);
        measure(&format!("sign a bundle of {count}"), || Bundle::sign(&cluster, &key, session, &requests));
        let raw = Bundle::sign(&cluster, &key, session, &requests).raw().clone();
        measure(&format!("verify a bundle of {count}"), || {
            verifier.check(Unverified::Bundle(raw.clone())).expect("a good bundle")
        });
    }
}

fn batches() {
    let cluster = Digest::of_bytes(b"cluster");
    let bundle = |index| {
        let (key, session) = client(index);
        Bundle::sign(&cluster, &key, session, &requests(64))
    };
    let bundles: Vec<Bundle> = (0..32).map(bundle).collect();
    measure("put a batch of 32 bundles of 64 together", || Batch::new(bundles.clone()));
    let batch = Batch::new(bundles);
    measure("parse it", || Batch::parse(batch.raw().clone()).expect("a good batch"));
    measure("digest it", || batch.digest());
}

/// Seven view changes of ten replicas, with claims that fork in the middle.
fn selection() {
    let quorums = quorate::types::Quorums::new(10).expect("ten replicas");
    let changes: Vec<ViewChange> = (0..7).map(view_change).collect();
    let changes: Vec<&ViewChange> = changes.iter().collect();
    // The primary that forked its chain is not among the signers.
    let primary = |_| ReplicaId(9);
    measure("select among 7 forked claims of 32", || select(&changes, quorums, primary).expect("selected"));
}

/// A block's worth of requests of many sessions, admitted and completed.
fn sessions() {
    let ids: Vec<SessionId> = (0..64).map(|index| client(index).1).collect();
    let mut table = SessionTable::new(&ProtocolParameters::default());
    let mut height = Height(0);
    let time = Time(ids[0].birth.0);
    measure("admit and complete 64 requests of each of 64 sessions", || {
        let first = RequestNumber(height.0 * 64);
        height = height.next();
        for id in &ids {
            for number in (0..64).map(|offset| first.plus(offset)) {
                assert_eq!(table.admit(time, height, id, number), Admission::Execute);
            }
        }
        for id in &ids {
            for number in (0..64).map(|offset| first.plus(offset)) {
                table.complete(id, number, height, Outcome::Executed(vec![0; 8]));
            }
        }
    });
    measure("an image of that table", || table.image());
}

/// Prints the median time of a step, over many runs that take a tenth of a second together.
fn measure<T>(step: &str, mut work: impl FnMut() -> T) {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < SPAN || times.len() < RUNS_MIN {
        let begin = Instant::now();
        black_box(work());
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    println!("{step:<52}{:>9.2} us", times[times.len() / 2].as_secs_f64() * 1e6);
}

fn genesis() -> Genesis {
    let member =
        |seed| Member { key: SecretKey::from_seed([seed; 32]).public(), organisation: "bench".into() };
    Genesis {
        name: "bench".into(),
        test: true,
        scheme: Scheme::Ed25519,
        replicas: (1..=4).map(member).collect(),
        protocol: ProtocolParameters::default(),
        app_version: 0,
        start: None,
    }
}

fn client(index: u8) -> (SecretKey, SessionId) {
    let key = SecretKey::from_seed([100 + index; 32]);
    let session = SessionId { client: key.public(), birth: Time(1_000_000_000), nonce: 7 };
    (key, session)
}

fn requests(count: u64) -> Vec<(RequestNumber, Bytes)> {
    (0..count).map(|number| (RequestNumber(number), Bytes::from(vec![0xa5; 256]))).collect()
}

fn view_change(replica: u16) -> ViewChange {
    let mut parent = Digest::default();
    let headers = (1..=32).map(|height| {
        let is_forked = height > 16 && replica % 2 == 1;
        let header = header(height, parent, is_forked);
        parent = header.digest();
        SignedHeader { header, signature: Signature([0; 64]) }
    });
    ViewChange {
        epoch: Epoch(0),
        new_view: View(1),
        replica: ReplicaId(replica),
        high_qc: QuorumCertificate::genesis(Epoch(0), Digest::default()),
        claim: Limited::take(headers),
        signature: Signature([0; 64]),
    }
}

fn header(height: u64, parent: Digest, is_forked: bool) -> Header {
    Header {
        cluster: ClusterId::default(),
        epoch: Epoch(0),
        view: View(0),
        height: Height(height),
        parent,
        batch: if is_forked { Digest::of_bytes(b"fork") } else { Digest::default() },
        time: Time(height),
    }
}

const SPAN: Duration = Duration::from_millis(100);
const RUNS_MIN: usize = 10;
