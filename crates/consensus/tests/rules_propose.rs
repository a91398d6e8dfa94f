//! What a primary proposes and when: rules P1 to P3.

mod common;
use common::{Cluster, id};
use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{Batch, ProtocolParameters, RequestNumber};
use std::time::Duration;

/// The blocks that replica 0 proposed, each once.
fn proposals(cluster: &Cluster, i: usize) -> Vec<Propose> {
    let mut found: Vec<Propose> = Vec::new();
    for (from, message) in &cluster.promises {
        if let Message::Propose(propose) = message
            && *from == id(i)
            && found.iter().all(|other| other.header != propose.header)
        {
            found.push(propose.clone());
        }
    }
    found
}

/// [P1] At most `blocks_in_flight_max` blocks wait to be committed.
#[test]
fn p1_the_pipeline_is_bounded() {
    let parameters = ProtocolParameters {
        blocks_in_flight_max: 3,
        window: 64,
        checkpoint_interval: 4,
        ..Default::default()
    };
    let mut cluster = Cluster::with(4, parameters);
    for number in 1..=6 {
        cluster.request(0, number);
        cluster.pass(Duration::from_millis(1));
    }
    let blocks = proposals(&cluster, 0);
    assert_eq!(blocks.len(), 3);
    assert!(blocks.windows(2).all(|pair| pair[1].header.header.parent == pair[0].header.header.digest()));
    assert!(cluster.run_until(50, |c| (0..4).all(|i| c.commands(i).len() == 6)));
}

/// [P1] Nothing is proposed above the window until a checkpoint moves it.
#[test]
fn p1_the_window_stops_the_primary() {
    let mut cluster = Cluster::new(4);
    let no_checkpoint = |e: &common::Envelope| !matches!(e.message, Message::CheckpointVote(_));
    for number in 1..=20 {
        cluster.request(0, number);
        for _ in 0..4 {
            cluster.round_where(no_checkpoint);
            cluster.pass(Duration::from_millis(1));
        }
    }
    assert!((0..4).all(|i| cluster.committed(i).0 == 16));
    assert_eq!(proposals(&cluster, 0).len(), 16);
    assert!(cluster.run_until(1_000, |c| (0..4).all(|i| c.commands(i).len() == 20)), "lost votes come again");
}

/// [P1] A certificate of the view goes with the first block above R_v and then every 32 blocks.
#[test]
fn p1_certificates_come_every_32_blocks() {
    let mut cluster = Cluster::new(4);
    for number in 1..=140 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    let certified: Vec<u64> = proposals(&cluster, 0)
        .iter()
        .filter(|propose| matches!(propose.justify, Justify::Quorum(_)))
        .map(|propose| propose.header.header.height.0)
        .collect();
    assert!(certified.len() >= 4 && certified[0] <= 33, "{certified:?}");
    assert!(certified.windows(2).all(|pair| (28..=34).contains(&(pair[1] - pair[0]))), "{certified:?}");
    let mut qcs = proposals(&cluster, 0).into_iter().filter_map(|propose| match propose.justify {
        Justify::Quorum(qc) => Some((propose.header.header.height.0, qc.vote.height.0)),
        _ => None,
    });
    assert!(qcs.all(|(height, certified)| certified > 0 && height - certified <= 34));
}

/// [P2] With nothing in flight a request is proposed at once, otherwise it waits for the delay or a
/// full batch.
#[test]
fn p2_batches_fill_while_blocks_are_in_flight() {
    let mut cluster = Cluster::new(4);
    cluster.request(0, 1);
    assert_eq!(proposals(&cluster, 0).len(), 1, "at once");
    cluster.request(0, 2);
    cluster.request(0, 3);
    assert_eq!(proposals(&cluster, 0).len(), 1);
    cluster.pass(cluster.timing.batch_delay);
    let blocks = proposals(&cluster, 0);
    assert_eq!(blocks.len(), 2);
    assert_eq!(Batch::parse(blocks[1].batch.clone()).unwrap().bundles().len(), 2);
    cluster.request(0, 4);
    cluster.round();
    cluster.round();
    assert_eq!(proposals(&cluster, 0).len(), 3, "everything before is committed");
}

/// [P2] A full batch does not wait, and no batch is larger than its limit.
#[test]
fn p2_a_full_batch_goes_at_once() {
    let parameters = ProtocolParameters {
        batch_bytes_max: 1024,
        command_bytes_max: 512,
        checkpoint_interval: 4,
        window: 64,
        ..Default::default()
    };
    let mut cluster = Cluster::with(4, parameters);
    for number in 1..=16 {
        cluster.request(0, number);
    }
    let blocks = proposals(&cluster, 0);
    assert!(blocks.len() > 1, "without any time passing");
    assert!(blocks.iter().all(|propose| propose.batch.len() <= 1024));
}

/// [P3] A bundle with a bad signature is never proposed.
#[test]
fn p3_forged_requests_are_not_proposed() {
    let mut cluster = Cluster::new(4);
    let mut raw = cluster.bundle(1).to_vec();
    *raw.last_mut().unwrap() ^= 1;
    let client = cluster.client.public();
    cluster.give(0, quorate_consensus::Input::Request(client, raw.into()));
    assert!(proposals(&cluster, 0).is_empty());
    assert!(cluster.is_refused(0, quorate_types::Rejection::BadSignature));
}

/// [P3] Each request is proposed once, however often and from however many it comes.
#[test]
fn p3_each_request_is_proposed_once() {
    let mut cluster = Cluster::new(4);
    for _ in 0..3 {
        for i in 0..4 {
            cluster.request(i, 1);
        }
        cluster.run_until(10, |_| false);
    }
    let numbers: Vec<RequestNumber> = proposals(&cluster, 0)
        .iter()
        .flat_map(|propose| Batch::parse(propose.batch.clone()).unwrap().bundles().to_vec())
        .flat_map(|bundle| bundle.requests().iter().map(|request| request.number).collect::<Vec<_>>())
        .collect();
    assert_eq!(numbers, [RequestNumber(1)]);
}

/// [P3] What the new view takes over from the old one is not proposed a second time.
#[test]
fn p3_requests_in_the_base_are_not_proposed_again() {
    let mut cluster = Cluster::new(4);
    for i in 0..4 {
        cluster.request(i, 1);
    }
    cluster.round_where(|e| matches!(e.message, Message::Propose(_)));
    cluster.stop(0);
    let no_old_vote =
        |e: &common::Envelope| !matches!(&e.message, Message::Vote(vote) if vote.vote.view.0 == 0);
    assert!(cluster.run_where(3_000, no_old_vote, |c| c.all_committed(2)));
    let batches: Vec<usize> = proposals(&cluster, 1).iter().map(|propose| propose.batch.len()).collect();
    assert_eq!(batches, [0], "the first block of view 1 is empty");
    assert!((1..4).all(|i| cluster.commands(i).len() == 1));
}
