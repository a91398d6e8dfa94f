//! How a submission ends when it does not succeed: nothing that may have run is called rejected.

use super::*;

#[test]
fn a_command_without_meaning_is_rejected() {
    let mut scene = Scene::ready();
    let ticket = scene.submit(b"a");
    scene.reply(&[R0, R1], 0, 1, &Outcome::Malformed);
    let error = ClientError::Rejected(Why::Outcome(Outcome::Malformed));
    assert_eq!(scene.take_done(), (ticket, Err(error)));
}

#[test]
fn what_ran_without_a_reply_or_may_have_run_is_unknown() {
    for outcome in [Outcome::Forgotten, Outcome::ReplyTooLarge] {
        let mut scene = Scene::ready();
        let ticket = scene.submit(b"a");
        scene.reply(&[R0, R1], 0, 1, &outcome);
        assert_eq!(scene.take_done(), (ticket, Err(ClientError::Unknown(scene.id(0)))));
    }
}

#[test]
fn what_was_sent_and_not_answered_in_time_is_unknown() {
    let mut scene = Scene::ready();
    let ticket = scene.submit(b"a");
    scene.pass(29_999);
    assert_eq!(scene.done, []);
    scene.pass(1);
    assert_eq!(scene.take_done(), (ticket, Err(ClientError::Unknown(scene.id(0)))));
    // The number still completes, so that the window can move past it.
    scene.take_receivers();
    scene.pass(4_000);
    assert_eq!(scene.take_receivers(), ALL);
    scene.reply(&[R0, R1], 0, 9, &executed("a"));
    assert_eq!(scene.done, []);
    assert_eq!(scene.client.poll_timeout(), None);
}

#[test]
fn what_was_not_sent_names_those_who_do_not_answer() {
    let mut scene = Scene::alone(|_| {});
    for replica in [R0, R1, R3] {
        scene.give(ClientInput::Connected(replica));
    }
    scene.welcome(R1, CLOCK, 0);
    scene.welcome(R3, CLOCK, 0);
    let ticket = scene.submit(b"a");
    scene.pass(30_000);
    let error = ClientError::NoQuorum { reached: 2, needed: 3, missing: vec![R0, R2] };
    assert_eq!(scene.client.no_quorum(), error);
    assert_eq!(scene.take_done(), (ticket, Err(error)));
    assert_eq!(scene.take_receivers(), []);
}

#[test]
fn what_waited_behind_a_closed_window_was_not_sent() {
    let mut scene = Scene::with(|config| config.window = 1);
    scene.submit(b"a");
    let second = scene.submit(b"b");
    scene.pass(30_000);
    let error = ClientError::NoQuorum { reached: 4, needed: 3, missing: vec![] };
    assert!(scene.done.contains(&(second, Err(error))));
    assert_eq!(scene.done.len(), 2);
}

#[test]
fn a_window_that_nobody_waits_for_is_left_behind() {
    let mut scene = Scene::with(|config| config.window = 1);
    scene.submit(b"a");
    scene.pass(30_000);
    let stuck = scene.client.session().unwrap();
    scene.take_receivers();
    scene.submit(b"b");
    assert_eq!(scene.take_asked(), ALL);
    for replica in ALL {
        scene.welcome(replica, CLOCK + 30_000, 0);
    }
    let bundles = scene.bundles_to(R0);
    assert_eq!(bundles.len(), 1);
    assert_eq!(bundles[0].session().nonce, stuck.nonce + 1);
    scene.take_receivers();
    scene.reply(&[R0, R1], 0, 9, &executed("b"));
    scene.pass(10_000);
    assert_eq!(scene.take_receivers(), [], "the old request is not sent any more");
}

#[test]
fn a_cancelled_submission_is_not_reported_and_not_sent() {
    let mut scene = Scene::ready();
    let ticket = scene.queue(b"a");
    scene.give(ClientInput::Cancel(ticket));
    scene.pass(60_000);
    assert_eq!((scene.take_receivers(), scene.done.len()), (vec![], 0));
}

#[test]
fn a_cancelled_request_completes_unseen_and_the_session_stays_healthy() {
    let mut scene = Scene::with(|config| config.window = 1);
    let cancelled = scene.submit(b"a");
    scene.give(ClientInput::Cancel(cancelled));
    let next = scene.submit(b"b");
    scene.take_receivers();
    scene.pass(100);
    assert_eq!(scene.take_receivers(), ALL);
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    assert_eq!(scene.take_receivers(), [R0]);
    scene.reply(&[R0, R1], 1, 2, &executed("b"));
    assert_eq!(scene.take_done().0, next);
}

#[test]
fn what_certainly_never_ran_goes_on_in_a_new_session() {
    let mut scene = Scene::ready();
    let tickets = [scene.queue(b"a"), scene.queue(b"b")];
    scene.poll();
    let lost = scene.client.session().unwrap();
    scene.take_receivers();
    scene.reply(&[R0, R1], 0, 3, &Outcome::SessionExpired);
    assert_eq!(scene.take_asked(), ALL);
    assert_eq!(scene.client.request_id_of(tickets[0]), None, "its old id means nothing any more");
    scene.reply_in(lost, &[R0, R1], 1, 3, &Outcome::SessionExpired);
    for replica in ALL {
        scene.welcome(replica, CLOCK + 50, 0);
    }
    let bundles = scene.bundles_to(R0);
    assert_eq!(bundles.len(), 1);
    assert_eq!(bundles[0].session().nonce, lost.nonce + 1);
    assert_eq!(numbers(&bundles[0]), [0, 1]);
    let commands: Vec<&[u8]> = bundles[0].requests().iter().map(|request| &*request.command).collect();
    assert_eq!(commands, [b"a", b"b"]);
    assert_eq!(scene.done, []);
    scene.reply(&[R0, R1], 0, 4, &executed("a"));
    scene.reply(&[R0, R1], 1, 4, &executed("b"));
    assert_eq!(scene.done.iter().map(|(ticket, _)| *ticket).collect::<Vec<_>>(), tickets);
}

#[test]
fn an_id_that_the_caller_knows_is_not_exchanged_for_another() {
    let mut scene = Scene::ready();
    let ticket = scene.submit(b"a");
    assert_eq!(scene.client.request_id_of(ticket), Some(scene.id(0)));
    scene.reply(&[R0, R1], 0, 3, &Outcome::SessionExpired);
    let error = ClientError::Rejected(Why::Outcome(Outcome::SessionExpired));
    assert_eq!(scene.take_done(), (ticket, Err(error)));
    assert_eq!(scene.client.request_id_of(ticket), None);
}

#[test]
fn a_full_session_table_is_no_outcome_as_the_request_may_be_ordered_again() {
    let mut scene = Scene::ready();
    let ticket = scene.submit(b"a");
    scene.reply(&ALL, 0, 3, &Outcome::SessionsFull);
    assert_eq!(scene.done, []);
    scene.take_receivers();
    scene.pass(100);
    assert_eq!(scene.take_receivers(), ALL);
    scene.reply(&[R0, R1], 0, 4, &executed("a"));
    assert!(matches!(scene.take_done(), (done, Ok(_)) if done == ticket));
}

#[test]
fn overload_is_a_hint_that_stretches_the_wait() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    let bundle = scene.bundles_to(R0).remove(0);
    // One replica may lie.
    scene.refuse(&[R3, R3, R3], &bundle, Rejection::Overloaded);
    scene.pass(100);
    assert_eq!(scene.take_receivers(), ALL);
    // Two: the next transmission comes 400 ms later instead of 200.
    scene.refuse(&[R2, R3], &bundle, Rejection::Overloaded);
    scene.pass(399);
    assert_eq!(scene.take_receivers(), []);
    scene.pass(1);
    assert_eq!(scene.take_receivers(), ALL);
    for _ in 0..100 {
        scene.refuse(&ALL, &bundle, Rejection::Overloaded);
    }
    scene.pass(4_000);
    assert_eq!(scene.take_receivers(), ALL, "the wait is capped");
    assert_eq!(scene.done, []);
}

#[test]
fn a_bundle_that_a_quorum_refuses_for_good_is_unknown_at_once() {
    let mut scene = Scene::ready();
    let tickets = [scene.queue(b"a"), scene.queue(b"b")];
    scene.poll();
    let bundle = scene.bundles_to(R0).remove(0);
    let lost = scene.client.session();
    let ids = [scene.id(0), scene.id(1)];
    scene.refuse(&[R0, R1, R1], &bundle, Rejection::SessionExpired);
    scene.refuse(&[R2], &bundle, Rejection::Overloaded);
    assert_eq!(scene.done, []);
    scene.refuse(&[R2], &bundle, Rejection::SessionExpired);
    let expected: Vec<_> = tickets.into_iter().zip(ids.map(|id| Err(ClientError::Unknown(id)))).collect();
    assert_eq!(scene.done, expected);
    assert_ne!(scene.client.session(), lost, "later requests get a new session");
}

#[test]
fn refusals_of_unknown_bundles_change_nothing() {
    let mut scene = Scene::ready();
    scene.submit(b"a");
    for replica in ALL {
        let why = Rejection::SessionExpired;
        scene.message(replica, ReplicaMessage::Refused { bundle: Digest([1; 32]), why });
    }
    assert_eq!((scene.done.len(), scene.rejected.len()), (0, 0));
}

#[test]
fn every_error_says_what_to_do() {
    let id = Scene::ready().id(3);
    let missing = vec![R1, R3];
    for (error, advice) in [
        (ClientError::Unknown(id), "retry it under this id"),
        (ClientError::NoQuorum { reached: 2, needed: 3, missing }, "check replica 1, 3"),
        (ClientError::NoQuorum { reached: 3, needed: 3, missing: vec![R2] }, "`quorate why`"),
        (ClientError::Rejected(Why::TooLarge), "split it"),
        (ClientError::Rejected(Why::ForeignSession), "with that key"),
        (ClientError::Rejected(Why::NeverSubmitted), "submit the command"),
        (ClientError::Rejected(Why::QueueFull), "wait for some"),
        (ClientError::Rejected(Why::Outcome(Outcome::Malformed)), "same version"),
        (ClientError::Rejected(Why::Outcome(Outcome::SessionExpired)), "submit the command again"),
    ] {
        assert!(error.to_string().contains(advice), "{error}");
    }
}
