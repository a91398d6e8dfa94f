//! Rule R1: when a session is born, and when it is replaced.

use super::*;

#[test]
fn a_session_is_born_at_the_second_smallest_of_the_first_three_clocks() {
    let mut scene = Scene::alone(|_| {});
    for (replica, clock) in [(R3, 5_000), (R1, 9_000)] {
        scene.give(ClientInput::Connected(replica));
        scene.welcome(replica, clock, 0);
    }
    assert_eq!(scene.client.session(), None);
    scene.welcome(R0, 1, 0);
    let born = SessionId { client: key(1).public(), birth: Time(5_000_000_000), nonce: 77 };
    assert_eq!(scene.client.session(), Some(born));
    // Whoever comes later changes nothing.
    scene.welcome(R2, 2, 0);
    scene.welcome(R0, 8_000, 0);
    assert_eq!(scene.client.session(), Some(born));
}

#[test]
fn one_replica_that_tells_many_clocks_is_one_replica() {
    let mut scene = Scene::alone(|_| {});
    for clock in 0..10 {
        scene.welcome(R0, clock, 0);
    }
    assert_eq!(scene.client.session(), None);
}

#[test]
fn a_welcome_of_another_epoch_is_refused() {
    let mut scene = Scene::alone(|_| {});
    for replica in ALL {
        let (clock, view) = (Time(CLOCK), View(0));
        scene.message(replica, ReplicaMessage::Welcome { epoch: Epoch(1), clock, view });
    }
    assert_eq!(scene.client.session(), None);
    assert_eq!(scene.rejected, ALL.map(|replica| (replica, Rejection::WrongEpoch)));
}

#[test]
fn clocks_that_were_lost_are_asked_for_again_while_something_waits() {
    let mut scene = Scene::alone(|_| {});
    for replica in ALL {
        scene.give(ClientInput::Connected(replica));
    }
    scene.welcome(R0, CLOCK, 0);
    scene.pass(1_000);
    assert_eq!(scene.take_asked(), [], "nobody waits");
    let ticket = scene.submit(b"a");
    scene.pass(100);
    assert_eq!(scene.take_asked(), [R1, R2, R3]);
    scene.welcome(R1, CLOCK, 0);
    scene.pass(100);
    assert_eq!(scene.take_asked(), [R2, R3]);
    scene.welcome(R2, CLOCK, 0);
    assert_eq!(scene.take_receivers(), [R0]);
    scene.reply(&[R1, R2], 0, 1, &executed("a"));
    assert!(scene.take_done().1.is_ok_and(|completed| completed.id.number == RequestNumber(0)));
    assert_eq!(ticket, Ticket(1));
}

#[test]
fn a_session_that_was_not_used_in_time_is_replaced_before_its_first_request() {
    let mut scene = Scene::ready();
    let first = scene.client.session().unwrap();
    scene.pass(30_001);
    scene.submit(b"a");
    assert_eq!(scene.take_receivers(), [], "the first request waits for the new session");
    assert_eq!(scene.client.session(), None);
    for replica in ALL {
        scene.welcome(replica, CLOCK + 30_001, 0);
    }
    let second = scene.client.session().unwrap();
    assert_eq!((second.birth, second.nonce), (Time((CLOCK + 30_001) * 1_000_000), first.nonce + 1));
    let bundles = scene.bundles_to(R0);
    assert_eq!((bundles[0].session(), numbers(&bundles[0])), (&second, vec![0]));
}

#[test]
fn replacing_a_session_asks_every_replica_for_its_clock() {
    let mut scene = Scene::ready();
    scene.pass(30_001);
    scene.submit(b"a");
    assert_eq!(scene.take_asked(), ALL);
}

#[test]
fn a_session_is_kept_while_it_is_used() {
    let mut scene = Scene::ready();
    let session = scene.client.session();
    scene.pass(29_000);
    scene.submit(b"a");
    scene.reply(&[R0, R1], 0, 1, &executed("a"));
    scene.pass(29_000);
    scene.submit(b"b");
    scene.pass(29_000);
    scene.submit(b"c");
    assert_eq!(scene.client.session(), session);
    scene.reply(&[R0, R1], 1, 2, &executed("b"));
    scene.reply(&[R0, R1], 2, 3, &executed("c"));
    scene.pass(30_001);
    scene.submit(b"d");
    assert_eq!(scene.client.session(), None, "idle for long, it may be evicted by now");
}

#[test]
fn clocks_that_were_told_long_ago_make_no_session_that_is_used() {
    let mut scene = Scene::alone(|_| {});
    for replica in ALL {
        scene.give(ClientInput::Connected(replica));
    }
    scene.welcome(R0, CLOCK, 0);
    scene.welcome(R1, CLOCK, 0);
    scene.pass(50_000);
    scene.welcome(R2, CLOCK + 50_000, 0);
    scene.submit(b"a");
    assert_eq!(scene.take_asked(), ALL);
    for replica in [R1, R2, R3] {
        scene.welcome(replica, CLOCK + 50_001, 0);
    }
    assert_eq!(scene.client.session().unwrap().birth, Time((CLOCK + 50_001) * 1_000_000));
}
