//! Rules R3 (W matching replies) and R5 (and no more).

use super::*;
use quorate_types::limited::Limited;

#[test]
fn two_matching_replies_are_the_answer() {
    let mut scene = Scene::ready();
    let ticket = scene.submit(b"a");
    scene.reply(&[R3], 0, 4, &executed("five"));
    assert_eq!(scene.done, []);
    scene.reply(&[R1], 0, 4, &executed("five"));
    let completed = Completed { id: scene.id(0), height: Height(4), reply: b"five".to_vec() };
    assert_eq!(scene.take_done(), (ticket, Ok(completed)));
}

#[test]
fn one_replica_that_replies_twice_is_one_replica() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.reply(&[R3, R3, R3], 0, 4, &executed("five"));
    assert_eq!(scene.done, []);
}

#[test]
fn replies_match_in_outcome_and_height() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.reply(&[R0], 0, 4, &executed("five"));
    scene.reply(&[R1], 0, 5, &executed("five"));
    scene.reply(&[R2], 0, 4, &executed("six"));
    assert_eq!(scene.done, []);
    scene.reply(&[R3], 0, 5, &executed("five"));
    assert_eq!(scene.take_done().1.unwrap().height, Height(5));
}

#[test]
fn the_latest_reply_of_a_replica_counts_and_only_that_is_kept() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    for height in 0..1_000 {
        scene.reply(&[R3], 0, height, &executed("lie"));
    }
    let kept = format!("{:?}", scene.client.requests).matches("Height(").count();
    assert_eq!(kept, 1);
    scene.reply(&[R0], 0, 4, &executed("five"));
    assert_eq!(scene.done, []);
    scene.reply(&[R3], 0, 4, &executed("five"));
    assert!(scene.take_done().1.is_ok());
}

#[test]
fn a_reply_may_carry_many_results() {
    let mut scene = Scene::ready();
    scene.queue_many(3);
    scene.poll();
    let session = scene.client.session().unwrap();
    for replica in [R1, R2] {
        let results = (0..3).map(|number| (RequestNumber(number), Height(1), executed("a")));
        let (birth, nonce, results) = (session.birth, session.nonce, Limited::take(results));
        scene.message(replica, ReplicaMessage::Reply(Reply { birth, nonce, view: View(0), results }));
    }
    assert_eq!(scene.done.iter().map(|(ticket, _)| ticket.0).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn replies_after_the_answer_are_normal() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.reply(&ALL, 0, 1, &executed("a"));
    scene.reply(&ALL, 0, 1, &executed("a"));
    assert_eq!((scene.done.len(), scene.rejected.len()), (1, 0));
    // So are they once the session was replaced.
    let former = scene.client.session().unwrap();
    scene.pass(31_000);
    scene.submit(b"b");
    scene.reply_in(former, &[R0], 0, 1, &executed("a"));
    assert_eq!(scene.rejected, []);
}

#[test]
fn an_answer_leaves_nothing_behind() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    let client = &scene.client;
    assert!(client.requests.is_empty() && client.bundles.is_empty() && client.ids.is_empty());
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_bundle_is_sent_again_until_all_its_requests_are_answered() {
    let mut scene = Scene::ready();
    scene.queue(b"a");
    scene.queue(b"b");
    scene.poll();
    scene.take_receivers();
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    scene.pass(100);
    assert_eq!(scene.take_receivers(), ALL);
    scene.reply(&[R0, R1], 1, 1, &executed("b"));
    scene.pass(20_000);
    assert_eq!(scene.take_receivers(), []);
}

#[test]
fn strange_replies_are_refused_by_name() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.reply(&[R1], 1, 1, &executed("a"));
    assert_eq!(scene.rejected, [(R1, Rejection::NumberOutOfWindow)]);
    scene.rejected.clear();
    let session = scene.client.session().unwrap();
    for strange in [SessionId { nonce: 5, ..session }, SessionId { birth: Time(5), ..session }] {
        scene.reply_in(strange, &[R2], 0, 1, &executed("a"));
    }
    assert_eq!(scene.rejected, [(R2, Rejection::Unrequested); 2]);
    scene.rejected.clear();
    scene.reply(&[ReplicaId(4)], 0, 1, &executed("a"));
    assert_eq!(scene.rejected, [(ReplicaId(4), Rejection::UnknownSigner)]);
    scene.reply(&[R0], u64::MAX, u64::MAX, &executed("a"));
    assert_eq!(scene.done, []);
}

#[test]
fn a_replica_outside_the_cluster_counts_for_nothing() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.give(ClientInput::Connected(ReplicaId(u16::MAX)));
    scene.reply(&[R0, ReplicaId(4)], 0, 1, &executed("a"));
    assert_eq!(scene.done, []);
}
