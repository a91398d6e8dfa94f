//! What a replica owes its clients: the parts of R1 and R2 that the replica keeps.

mod common;
use common::{Cluster, Envelope, id};
use quorate_consensus::{Input, Peer};
use quorate_types::message::{Message, Outcome, ReplicaMessage};
use quorate_types::{Bundle, Rejection, RequestNumber, Scheme, SecretKey, SessionId};
use std::time::Duration;

fn outcomes(cluster: &Cluster, i: usize) -> Vec<(u64, Outcome)> {
    let mut found = Vec::new();
    for (_, message) in &cluster.hosts[i].replies {
        if let ReplicaMessage::Reply(reply) = message {
            found.extend(reply.results.iter().map(|(number, _, outcome)| (number.0, outcome.clone())));
        }
    }
    found
}

/// [R1] A repeat gets the cached reply and runs nothing.
#[test]
fn r1_a_repeat_gets_the_cached_reply() {
    let mut cluster = Cluster::new(4);
    for _ in 0..3 {
        cluster.request(0, 1);
        cluster.run_until(10, |_| false);
    }
    assert_eq!(cluster.committed(0).0, 1);
    let answers = outcomes(&cluster, 0);
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

/// [R1] A request that a Byzantine primary orders twice runs once.
#[test]
fn r1_a_request_ordered_twice_runs_once() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(0, cluster.genesis_id(), &[1, 1]);
    let second = cluster.block(0, first.id(), &[1, 2]);
    for to in 1..4 {
        cluster.deliver(0, to, first.bare());
        cluster.deliver(0, to, second.bare());
    }
    cluster.round();
    for i in 1..4 {
        assert_eq!(cluster.committed(i).0, 2);
        assert_eq!(cluster.commands(i).len(), 2, "numbers 1 and 2");
    }
}

/// [R1] A client is its key: nobody hands in another one's requests.
#[test]
fn r1_a_bundle_belongs_to_the_connections_key() {
    let mut cluster = Cluster::new(4);
    let stranger = SecretKey::with_scheme(Scheme::Simulated, [77; 32]).public();
    let bundle = cluster.bundle(1);
    cluster.give(0, Input::Request(stranger, bundle));
    assert!(cluster.is_refused(0, Rejection::WrongSender));
    cluster.run_until(10, |_| false);
    assert_eq!(cluster.committed(0).0, 0);
}

/// [R1] A session is opened within its time or not at all, and numbers below its window are refused.
#[test]
fn r1_sessions_and_numbers_out_of_bounds_are_refused_by_name() {
    let mut cluster = Cluster::new(4);
    let client = cluster.client.clone();
    let old = SessionId { client: client.public(), birth: quorate_types::Time(1), nonce: 1 };
    let requests = [(RequestNumber(1), bytes::Bytes::from_static(b"x"))];
    let bundle = Bundle::sign(&cluster.membership.cluster(), &client, old, &requests);
    cluster.give(0, Input::Request(client.public(), bundle.raw().clone()));
    assert!(cluster.is_refused(0, Rejection::SessionExpired));
    cluster.request(0, 500);
    assert!(cluster.run_until(20, |c| c.all_committed(1)));
    cluster.request(0, 436);
    assert!(cluster.is_refused(0, Rejection::NumberOutOfWindow));
    let refused = |message: &ReplicaMessage| {
        matches!(message, ReplicaMessage::Refused { why: Rejection::NumberOutOfWindow, .. })
    };
    assert!(cluster.hosts[0].replies.iter().any(|(_, message)| refused(message)));
    cluster.request(0, 437);
    cluster.request(0, u64::MAX);
    assert!(cluster.run_until(20, |c| c.commands(0).len() == 3));
}

/// [R1] On connecting a client learns clock, view and epoch.
#[test]
fn r1_a_client_is_told_clock_and_view() {
    let mut cluster = Cluster::new(4);
    let client = cluster.client.public();
    cluster.give(1, Input::Connected(Peer::Client(client)));
    let (epoch, clock) = (cluster.membership.epoch(), cluster.now);
    let welcome = ReplicaMessage::Welcome { epoch, clock, view: quorate_types::View(0) };
    assert_eq!(cluster.hosts[1].replies, [(client, welcome)]);
}

/// [R2] A backup forwards to the primary, again if that got lost, and to the next one after a view
/// change.
#[test]
fn r2_backups_forward() {
    let mut cluster = Cluster::new(4);
    cluster.request(2, 1);
    let forwards = |e: &Envelope| matches!(e.message, Message::Request(_));
    assert_eq!(cluster.wire.iter().filter(|e| forwards(e)).map(|e| e.to).collect::<Vec<_>>(), [id(0)]);
    cluster.round_where(|_| false);
    assert!(cluster.run_until(300, |c| c.commands(3).len() == 1), "it was lost once");
    let mut cluster = Cluster::new(4);
    cluster.stop(0);
    cluster.request(2, 1);
    assert!(cluster.run_until(200, |_| false) || cluster.committed(2).0 == 0);
    for i in [1, 3] {
        let change = cluster.view_change(i, 1, &cluster.genesis_qc(), &[]);
        cluster.deliver(i, 2, Message::ViewChange(change.into()));
    }
    assert!(cluster.wire.iter().any(|e| forwards(e) && e.to == id(1)));
}

/// [R2] What the primary knows already is not forwarded in circles.
#[test]
fn r2_replicas_requests_are_not_forwarded() {
    let mut cluster = Cluster::new(4);
    let bundle = cluster.bundle(1);
    cluster.deliver(3, 2, Message::Request(bundle));
    assert_eq!(cluster.count_sent(2, |m| matches!(m, Message::Request(_))), 0);
    cluster.pass(Duration::from_millis(1));
}
