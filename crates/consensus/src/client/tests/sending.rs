//! Rules R1 (bundles, window) and R2 (the primary first, then all).

use super::*;
use quorate_types::{Genesis, Member, Unverified, Verifier};
use std::sync::Arc;

#[test]
fn what_is_submitted_together_shares_one_signature() {
    let (genesis, verifier) = genesis();
    let mut scene = Scene::with(|config| config.cluster = genesis.cluster_id());
    for command in [b"a", b"b", b"c"] {
        scene.queue(command);
    }
    scene.poll();
    let bundles = scene.bundles_to(R0);
    assert_eq!(bundles.len(), 1);
    let commands: Vec<&[u8]> = bundles[0].requests().iter().map(|request| &*request.command).collect();
    assert_eq!(commands, [b"a", b"b", b"c"]);
    assert_eq!(numbers(&bundles[0]), [0, 1, 2]);
    assert!(verifier.check(Unverified::Bundle(bundles[0].raw().clone())).is_ok());
}

#[test]
fn a_bundle_has_at_most_the_configured_number_of_requests() {
    let mut scene = Scene::with(|config| config.bundle_max = 4);
    scene.queue_many(10);
    scene.poll();
    let sizes: Vec<usize> = scene.bundles_to(R0).iter().map(|bundle| bundle.requests().len()).collect();
    assert_eq!(sizes, [4, 4, 2]);
}

#[test]
fn bundles_stay_within_the_limits_of_every_cluster() {
    for batch_bytes_max in [1024, 4096, 65_536] {
        let mut scene = Scene::with(|config| {
            config.parameters.batch_bytes_max = batch_bytes_max;
            config.parameters.command_bytes_max = batch_bytes_max / 2;
        });
        let parameters = scene.client.config.parameters.clone();
        for share in [2, 2, 2, 3, 4, 5, 100, 100, 100, 100] {
            scene.queue(&vec![7; (batch_bytes_max / share) as usize]);
        }
        scene.poll();
        let bundles = scene.bundles_to(R0);
        assert_eq!(bundles.iter().map(|bundle| bundle.requests().len()).sum::<usize>(), 10);
        assert!(bundles.len() < 10, "small ones still share a bundle");
        assert!(bundles.iter().all(|bundle| bundle.is_within(&parameters)));
    }
}

#[test]
fn a_command_over_the_limit_is_refused_before_anything_is_sent() {
    let mut scene = Scene::ready();
    let bytes_max = scene.client.config.parameters.command_bytes_max as usize;
    let ticket = scene.submit(&vec![0; bytes_max + 1]);
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Rejected(Why::TooLarge))));
    assert_eq!(scene.take_receivers(), []);
    scene.submit(&vec![0; bytes_max]);
    assert_eq!(scene.take_receivers(), [R0]);
}

#[test]
fn the_window_limits_what_is_in_flight() {
    let mut scene = Scene::with(|config| config.window = 3);
    scene.queue_many(5);
    scene.poll();
    assert_eq!(numbers(&scene.bundles_to(R0)[0]), [0, 1, 2]);
    scene.reply(&[R1, R2], 1, 1, &executed("a"));
    assert_eq!(numbers(&scene.bundles_to(R0)[0]), [3]);
    scene.reply(&[R1, R2], 0, 1, &executed("a"));
    assert_eq!(numbers(&scene.bundles_to(R0)[0]), [4]);
}

#[test]
fn no_number_is_sent_64_above_one_in_flight_as_replicas_would_forget_that_one() {
    let mut scene = Scene::with(|config| config.window = 1_000);
    scene.queue_many(200);
    scene.poll();
    assert_eq!(numbers(scene.bundles_to(R0).last().unwrap()).last(), Some(&63));
    for number in 1..64 {
        scene.reply(&[R1, R2], number, 1, &executed("a"));
    }
    assert_eq!(scene.take_receivers(), [], "number 0 is still in flight");
    scene.reply(&[R1, R2], 0, 1, &executed("a"));
    assert_eq!(numbers(scene.bundles_to(R0).last().unwrap()).last(), Some(&127));
}

#[test]
fn a_bundle_goes_to_the_primary_then_to_all_ever_more_rarely() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R0]);
    scene.pass(99);
    assert_eq!(scene.take_receivers(), []);
    for wait in [1, 200, 400, 800, 1_600, 3_200, 4_000, 4_000] {
        scene.pass(wait - 1);
        assert_eq!(scene.take_receivers(), [], "before {wait} ms");
        scene.pass(1);
        assert_eq!(scene.take_receivers(), ALL, "after {wait} ms");
    }
}

#[test]
fn a_retransmission_is_the_same_bytes() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.pass(100);
    let (_, first) = scene.sent[0].clone();
    assert!(scene.sent.iter().all(|(_, message)| *message == first));
}

#[test]
fn measured_round_trips_stretch_the_timeout() {
    let mut scene = Scene::ready();
    for number in 0..20 {
        scene.submit(b"a");
        scene.pass(90);
        scene.reply(&[R1, R2], number, 1, &executed("a"));
    }
    scene.take_receivers();
    scene.submit(b"a");
    scene.pass(90);
    assert_eq!(scene.take_receivers(), [R0]);
    scene.pass(90);
    assert_eq!(scene.take_receivers(), ALL);
    // A cluster that becomes slower than the timeout is followed too.
    for number in 20..60 {
        scene.submit(b"a");
        scene.pass(900);
        scene.reply(&[R1, R2], number, 1, &executed("a"));
    }
    scene.take_receivers();
    scene.submit(b"a");
    scene.pass(900);
    assert_eq!(scene.take_receivers(), [R0]);
}

#[test]
fn the_primary_hint_is_the_highest_view_that_two_replicas_reach() {
    let mut scene = Scene::ready();
    scene.welcome(R3, CLOCK, 7);
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R0], "a liar alone moves nothing");
    scene.welcome(R2, CLOCK, 5);
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R1]);
    // A view that a replica told before does not come back.
    scene.welcome(R2, CLOCK, 4);
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R1]);
    scene.welcome(R1, CLOCK, u64::MAX);
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R3], "view 7");
}

#[test]
fn replies_tell_views_too() {
    let mut scene = Scene::ready();
    let session = scene.client.session().unwrap();
    for replica in [R0, R1] {
        let (birth, nonce, results) = (session.birth, session.nonce, Default::default());
        scene.message(replica, ReplicaMessage::Reply(Reply { birth, nonce, view: View(2), results }));
    }
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R2]);
}

#[test]
fn without_a_connection_to_the_primary_a_bundle_goes_to_all_at_once() {
    let mut scene = Scene::ready();
    scene.give(ClientInput::Disconnected(R0));
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [R1, R2, R3]);
}

#[test]
fn nothing_gets_a_number_while_nobody_is_connected() {
    let mut scene = Scene::ready();
    for replica in ALL {
        scene.give(ClientInput::Disconnected(replica));
    }
    let ticket = scene.submit(b"a");
    assert_eq!(scene.client.request_id_of(ticket), None);
    scene.give(ClientInput::Connected(R2));
    scene.poll();
    assert_eq!(scene.client.request_id_of(ticket), Some(scene.id(0)));
    assert_eq!(scene.take_receivers(), [R2]);
}

#[test]
fn waiting_without_a_connection_does_not_slow_the_next_retransmission() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    for replica in ALL {
        scene.give(ClientInput::Disconnected(replica));
    }
    scene.take_receivers();
    scene.pass(10_000);
    scene.give(ClientInput::Connected(R1));
    scene.pass(100);
    assert_eq!(scene.take_receivers(), [R1]);
}

#[test]
fn the_queue_is_bounded() {
    let mut scene = Scene::alone(|_| {});
    for _ in 0..QUEUE_MAX {
        assert!(scene.client.has_room());
        scene.queue(b"a");
    }
    assert!(!scene.client.has_room());
    let ticket = scene.submit(b"a");
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Rejected(Why::QueueFull))));
}

fn genesis() -> (Genesis, Verifier) {
    let replicas = (10..14).map(|seed| Member { key: key(seed).public(), organisation: "test".into() });
    let genesis = Genesis {
        name: "test".into(),
        test: true,
        scheme: Scheme::Simulated,
        replicas: replicas.collect(),
        protocol: ProtocolParameters::default(),
        app_version: 1,
        start: None,
    };
    let membership = Arc::new(genesis.membership().expect("the genesis is in order"));
    let verifier = Verifier::new(membership, genesis.protocol.clone());
    (genesis, verifier)
}
