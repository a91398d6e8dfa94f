//! Does a mistake of the operator get one sentence that says what to do?

use quorate_types::PublicKey;

use crate::tests::*;
use crate::{StartError, floor};

fn start_error(me: u16, spoil: impl FnOnce(&mut Vec<Remote>)) -> String {
    let (mut sockets, mut members) = bind(3);
    spoil(&mut members);
    let (sender, _receiver) = mpsc::channel(1);
    let started = sockets.remove(0).start(ReplicaId(me), &members, Config::peers(), sender);
    started.expect_err("the membership is wrong").to_string()
}

#[test]
fn a_busy_port_says_so() {
    let first = PeerSocket::bind(loopback(), &key(0)).expect("a port is free");
    let error = PeerSocket::bind(first.local_addr(), &key(1)).expect_err("the port is taken");
    assert!(matches!(error, StartError::PortInUse { .. }));
    let port = first.local_addr().port();
    assert_eq!(
        error.to_string(),
        format!(
            "UDP port {port} of 127.0.0.1 is already in use: stop the program that holds it, \
             or choose another port (0 lets the system choose)"
        )
    );
}

#[test]
fn an_address_of_another_machine_says_so() {
    let elsewhere = "192.0.2.1:7000".parse().expect("an address");
    let error = PeerSocket::bind(elsewhere, &key(0)).expect_err("it is for documentation only");
    assert!(matches!(error, StartError::AddressNotLocal { .. }), "{error}");
    assert!(error.to_string().starts_with("192.0.2.1 is not an address of this machine"));
}

#[test]
fn a_contradictory_membership_says_so() {
    assert_eq!(
        start_error(0, |members| members[2].key = key(1).public()),
        "replicas 1 and 2 have the same key: make a key for each replica"
    );
    assert_eq!(
        start_error(0, |members| members[2].id = R1),
        "replica 1 stands in the membership twice: give every replica an id of its own"
    );
    assert_eq!(
        start_error(0, |members| members[2].key = PublicKey([0; 32])),
        "the key of replica 2 is refused: this Ed25519 public key is weak (small order) and is refused; \
         make a new one"
    );
    assert_eq!(
        start_error(7, |_| {}),
        "replica 7 is not among the members: add it to the genesis, or correct its id"
    );
    assert_eq!(
        start_error(1, |_| {}),
        "the secret key does not belong to replica 1: use the key file that was made for it"
    );
}

#[tokio::test]
async fn the_floor_is_measured_round_by_round() {
    let times = soon(floor::ping_pong(50, 256)).await.expect("loopback works");
    assert_eq!(times.len(), 50);
    assert!(times.iter().all(|time| *time > Duration::ZERO));
}
