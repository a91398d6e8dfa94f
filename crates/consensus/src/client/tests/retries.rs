//! Retries: the same request again, also from another process, never a second execution.

use super::*;

/// The id of a request of an earlier process with the same key.
fn earlier(number: u64) -> RequestId {
    let session = SessionId { client: key(1).public(), birth: Time(3), nonce: 4 };
    RequestId { session, number: RequestNumber(number) }
}

#[test]
fn a_retry_is_signed_under_its_old_session_and_number() {
    let mut scene = Scene::ready();
    let ticket = scene.retry(earlier(9), b"a");
    let bundles = scene.bundles_to(R0);
    assert_eq!((bundles[0].session(), numbers(&bundles[0])), (&earlier(9).session, vec![9]));
    scene.reply_in(earlier(9).session, &[R0, R2], 9, 5, &executed("a"));
    let completed = Completed { id: earlier(9), height: Height(5), reply: b"a".to_vec() };
    assert_eq!(scene.take_done(), (ticket, Ok(completed)));
    // Late replies to it are normal.
    scene.reply_in(earlier(9).session, &[R3], 9, 5, &executed("a"));
    assert_eq!(scene.rejected, []);
}

#[test]
fn retries_do_not_disturb_the_window() {
    let mut scene = Scene::with(|config| config.window = 2);
    scene.retry(earlier(9), b"a");
    scene.retry(earlier(5_000), b"b");
    scene.queue(b"c");
    scene.queue(b"d");
    scene.poll();
    let sent: Vec<_> = scene.bundles_to(R0).iter().map(numbers).collect();
    assert_eq!(sent, [vec![9], vec![5_000], vec![0, 1]]);
}

#[test]
fn retries_of_one_session_share_a_signature() {
    let mut scene = Scene::alone(|_| {});
    for number in [3, 8] {
        scene.retry(earlier(number), b"a");
    }
    scene.give(ClientInput::Connected(R1));
    scene.poll();
    assert_eq!(numbers(&scene.bundles_to(R1)[0]), [3, 8]);
}

#[test]
fn a_retry_needs_no_session_of_its_own() {
    let mut scene = Scene::alone(|_| {});
    scene.give(ClientInput::Connected(R1));
    scene.retry(earlier(9), b"a");
    assert_eq!(scene.take_receivers(), [R1]);
}

#[test]
fn a_retry_of_what_is_in_flight_waits_for_the_same_answer() {
    let mut scene = Scene::ready();
    let first = scene.submit(b"a");
    scene.take_receivers();
    let second = scene.retry(scene.id(0), b"a");
    assert_eq!(scene.take_receivers(), [], "nothing is signed or sent again");
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    assert_eq!(scene.done.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), [first, second]);
    assert!(scene.done.iter().all(|(_, result)| result.is_ok()));
}

#[test]
fn a_retry_after_the_deadline_finds_its_request_still_in_flight() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.pass(30_000);
    let (_, Err(ClientError::Unknown(id))) = scene.take_done() else { panic!("it is unknown") };
    let second = scene.retry(id, b"a");
    scene.pass(29_999);
    assert_eq!(scene.done, []);
    scene.pass(1);
    assert_eq!(scene.take_done(), (second, Err(ClientError::Unknown(id))));
}

#[test]
fn a_retry_ends_in_time_though_the_next_retransmission_is_far() {
    let mut scene = Scene::with(|config| config.deadline = Duration::from_secs(1));
    scene.submit(b"a");
    scene.pass(3_200);
    scene.done.clear();
    scene.retry(scene.id(0), b"a");
    scene.pass(1_000);
    assert_eq!(scene.take_done().1, Err(ClientError::Unknown(scene.id(0))));
}

#[test]
fn a_retry_of_one_request_of_a_bundle_has_a_deadline_of_its_own() {
    // Whichever of the two bundles has the smaller digest.
    for command in 0..8 {
        let mut scene = Scene::ready();
        scene.queue(&[command]);
        scene.queue(b"b");
        scene.poll();
        scene.reply(&[R0, R1], 0, 1, &executed("a"));
        scene.pass(10_000);
        scene.done.clear();
        let ticket = scene.retry(scene.id(0), &[command]);
        scene.pass(29_999);
        assert_eq!(scene.take_done().0, Ticket(2));
        scene.pass(1);
        assert_eq!(scene.take_done(), (ticket, Err(ClientError::Unknown(scene.id(0)))));
    }
}

#[test]
fn two_retries_of_one_request_become_one() {
    let mut scene = Scene::alone(|_| {});
    let tickets = [scene.retry(earlier(9), b"a"), scene.retry(earlier(9), b"a")];
    scene.give(ClientInput::Connected(R1));
    scene.poll();
    assert_eq!(scene.take_receivers(), [R1]);
    scene.reply_in(earlier(9).session, &[R1, R2], 9, 5, &executed("a"));
    assert_eq!(scene.done.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), tickets);
}

#[test]
fn a_retry_of_a_completed_request_asks_for_its_outcome_outside_the_window() {
    let mut scene = Scene::with(|config| config.window = 1);
    scene.submit(b"a");
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    scene.done.clear();
    let ticket = scene.retry(scene.id(0), b"a");
    scene.submit(b"b");
    let sent: Vec<_> = scene.bundles_to(R0).iter().skip(1).map(numbers).collect();
    assert_eq!(sent, [vec![0], vec![1]]);
    scene.reply(&[R0, R1], 1, 2, &executed("b"));
    scene.done.clear();
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    assert_eq!(scene.take_done().0, ticket);
}

#[test]
fn a_retry_within_the_window_does_not_hold_it_back() {
    let mut scene = Scene::ready();
    scene.queue_many(66);
    scene.poll();
    scene.reply(&[R0, R1], 1, 1, &executed("a"));
    scene.retry(scene.id(1), b"a");
    scene.take_receivers();
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    assert_eq!(numbers(&scene.bundles_to(R0)[0]), [64, 65]);
}

#[test]
fn a_retry_of_another_key_is_refused_before_anything_is_sent() {
    let mut scene = Scene::ready();
    let session = SessionId { client: key(2).public(), ..earlier(0).session };
    let ticket = scene.retry(RequestId { session, ..earlier(0) }, b"a");
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Rejected(Why::ForeignSession))));
    assert_eq!(scene.take_receivers(), []);
}

#[test]
fn a_retry_of_a_number_that_was_not_given_out_is_refused() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    scene.take_receivers();
    for number in [1, u64::MAX] {
        let ticket = scene.retry(scene.id(number), b"a");
        assert_eq!(scene.take_done(), (ticket, Err(ClientError::Rejected(Why::NeverSubmitted))));
    }
    assert_eq!(scene.take_receivers(), []);
}

#[test]
fn a_retry_that_is_too_large_is_refused() {
    let mut scene = Scene::ready();
    let ticket = scene.retry(earlier(1), &vec![0; 1 << 20]);
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Rejected(Why::TooLarge))));
}

#[test]
fn a_retry_that_certainly_never_ran_is_rejected_and_not_renumbered() {
    let mut scene = Scene::ready();
    let present = scene.client.session();
    let ticket = scene.retry(earlier(9), b"a");
    scene.reply_in(earlier(9).session, &[R0, R1], 9, 5, &Outcome::SessionExpired);
    let error = ClientError::Rejected(Why::Outcome(Outcome::SessionExpired));
    assert_eq!(scene.take_done(), (ticket, Err(error)));
    assert_eq!(scene.client.session(), present, "the present session is another one");
}

#[test]
fn a_retry_of_an_evicted_session_is_unknown() {
    let mut scene = Scene::ready();
    let ticket = scene.retry(earlier(9), b"a");
    scene.reply_in(earlier(9).session, &[R0, R1], 9, 5, &Outcome::Forgotten);
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Unknown(earlier(9)))));
    let ticket = scene.retry(earlier(9), b"a");
    let bundle = scene.bundles_to(R0).remove(0);
    scene.refuse(&[R0, R1, R2], &bundle, Rejection::SessionExpired);
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Unknown(earlier(9)))));
}

#[test]
fn a_retry_that_nobody_hears_is_unknown_as_its_request_may_have_run_before() {
    let mut scene = Scene::alone(|_| {});
    let ticket = scene.retry(earlier(9), b"a");
    scene.pass(30_000);
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Unknown(earlier(9)))));
}

#[test]
fn a_retry_that_nobody_waits_for_leaves_nothing_behind() {
    let mut scene = Scene::ready();
    let ticket = scene.retry(earlier(9), b"a");
    scene.give(ClientInput::Cancel(ticket));
    assert_eq!(scene.client.poll_timeout(), None);
    scene.retry(earlier(9), b"a");
    scene.pass(30_000);
    scene.done.clear();
    assert_eq!(scene.client.poll_timeout(), None);
    assert_eq!(scene.client.retries_in_flight, 0);
}

#[test]
fn retries_in_flight_are_bounded_and_the_others_wait_for_them() {
    let mut scene = Scene::alone(|config| config.bundle_max = 5);
    for number in 0..100 {
        scene.retry(earlier(number), b"a");
    }
    scene.give(ClientInput::Connected(R1));
    scene.poll();
    let sent: usize = scene.bundles_to(R1).iter().map(|bundle| bundle.requests().len()).sum();
    assert_eq!(sent, RETRIES_IN_FLIGHT_MAX);
    for number in 0..100 {
        scene.reply_in(earlier(0).session, &[R1, R2], number, 5, &executed("a"));
    }
    assert_eq!(scene.done.len(), 100);
}

#[test]
fn as_many_may_wait_for_one_request_as_the_limit_says() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    for _ in 0..RETRIES_IN_FLIGHT_MAX {
        assert_eq!(scene.done, []);
        scene.retry(scene.id(0), b"a");
    }
    assert_eq!(scene.take_done().1, Err(ClientError::Unknown(scene.id(0))));
}
