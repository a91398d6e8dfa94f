//! How a state comes from others: rule K3, when everybody is honest or silent.

mod common;
use common::{Cluster, Envelope, LAGGARD, asked_for, id, is_chunk};
use quorate_consensus::Event;
use quorate_types::message::{Data, Fetch, Message, Outcome, ReplicaMessage};
use quorate_types::{Digest, Height, Rejection, RequestNumber, View};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

/// [K3] Behind by more than anybody holds, a replica installs the certified state and follows above it. Nobody
/// honest is blamed on the way.
#[test]
fn k3_a_laggard_installs_what_is_certified_and_goes_on() {
    let mut cluster = Cluster::with_laggard();
    assert!(cluster.run_until(2_000, Cluster::has_caught_up));
    assert_eq!(cluster.installed(LAGGARD), [Height(48)]);
    // What was asked of two may come once more when the transfer is over.
    let is_harmless = |why: &Rejection| *why == Rejection::Unrequested;
    assert!((0..3).all(|i| cluster.refused_of(i).iter().all(is_harmless)), "{:?}", cluster.refused_of(0));
    cluster.promises.clear();
    cluster.run_requests(51..=100);
    assert!(cluster.run_until(500, Cluster::has_caught_up));
    let said = |is_it: fn(&Message) -> bool| {
        cluster.promises.iter().any(|(from, message)| *from == id(LAGGARD) && is_it(message))
    };
    assert!(said(|message| matches!(message, Message::Vote(_))), "it votes");
    assert!(said(|message| matches!(message, Message::CheckpointVote(_))), "and vouches for states");
    cluster.assert_one_history(&[]);
    cluster.assert_promises_kept(&[]);
}

/// [K3] [R1] The sessions come with the state: a repeat gets the outcome of then, and nothing runs again.
#[test]
fn k3_sessions_continue_after_an_installed_state() {
    let mut cluster = Cluster::with_laggard();
    assert!(cluster.run_until(2_000, Cluster::has_caught_up));
    cluster.hosts[LAGGARD].replies.clear();
    let executed = cluster.commands(LAGGARD).len();
    cluster.request(LAGGARD, 40);
    let is_reply = |message: &ReplicaMessage| {
        let ReplicaMessage::Reply(reply) = message else { return false };
        let expected = (RequestNumber(40), Height(40), Outcome::Executed(b"command 40".to_vec()));
        reply.results.to_vec() == [expected]
    };
    assert!(cluster.hosts[LAGGARD].replies.iter().any(|(_, message)| is_reply(message)));
    cluster.run_until(50, |_| false);
    assert_eq!(cluster.commands(LAGGARD).len(), executed);
    assert!(cluster.hosts[0].replica.status().executed == Height(50), "it was not proposed either");
}

/// [K3] The state is not installed where blocks came sooner.
#[test]
fn k3_blocks_that_come_sooner_end_the_transfer() {
    let mut cluster = Cluster::new(4);
    cluster.stop(LAGGARD);
    cluster.run_requests(1..=10);
    cluster.restart(LAGGARD);
    let no_blocks = |e: &Envelope| match &e.message {
        Message::Status(status) => {
            vec![Message::Status(quorate_types::message::Status { base: Height(9), ..*status })]
        }
        Message::Data(Data::Chunk(_) | Data::Block { .. }) | Message::Vote(_) => Vec::new(),
        message => vec![message.clone()],
    };
    let begun = |c: &Cluster| c.hosts[LAGGARD].replica.status().transfer.is_some_and(|(_, all)| all > 0);
    assert!(cluster.run_by(2_000, no_blocks, begun).is_some());
    let no_chunks = |e: &Envelope| if is_chunk(&e.message) { Vec::new() } else { vec![e.message.clone()] };
    assert!(cluster.run_by(2_000, no_chunks, |c| c.committed(LAGGARD) == Height(10)).is_some());
    let is_over = |c: &Cluster| c.hosts[LAGGARD].replica.status().transfer.is_none();
    assert!(cluster.run_by(1_000, no_chunks, is_over).is_some());
    assert!(cluster.installed(LAGGARD).is_empty());
    assert_eq!(cluster.commands(LAGGARD).len(), 10);
}

/// [K3] After a restart in the middle only what is missing is asked for.
#[test]
fn k3_a_transfer_goes_on_after_a_restart() {
    let mut cluster = Cluster::with_laggard();
    let left = Cell::new(40);
    let some_chunks = |e: &Envelope| {
        if is_chunk(&e.message) && left.replace(0.max(left.get() - 1)) <= 0 {
            return Vec::new();
        }
        vec![e.message.clone()]
    };
    assert!(cluster.run_by(2_000, some_chunks, |_| left.get() <= 0).is_some());
    cluster.restart(LAGGARD);
    let held: BTreeSet<Digest> = cluster.hosts[LAGGARD].disk.chunks.keys().copied().collect();
    assert!(held.len() >= 40);
    let asked = RefCell::new(BTreeSet::new());
    let watch = |e: &Envelope| {
        asked.borrow_mut().extend(asked_for(&e.message));
        vec![e.message.clone()]
    };
    assert!(cluster.run_by(2_000, watch, Cluster::has_caught_up).is_some());
    assert!(!asked.borrow().is_empty());
    assert!(asked.borrow().is_disjoint(&held));
}

/// [K3] Where the state is gone at the others before it is complete, a newer one is gathered, with what is there.
#[test]
fn k3_a_newer_state_takes_the_place_of_one_that_is_gone() {
    let mut cluster = Cluster::with_laggard();
    let left = Cell::new(40);
    let some_chunks = |e: &Envelope| {
        if is_chunk(&e.message) && left.replace(0.max(left.get() - 1)) <= 0 {
            return Vec::new();
        }
        vec![e.message.clone()]
    };
    assert!(cluster.run_by(2_000, some_chunks, |_| left.get() <= 0).is_some());
    for number in 51..=90 {
        cluster.request(0, number);
        let is_done = |c: &Cluster| c.committed(0) == Height(number);
        let no_chunks =
            |e: &Envelope| if is_chunk(&e.message) { Vec::new() } else { vec![e.message.clone()] };
        assert!(cluster.run_by(200, no_chunks, is_done).is_some());
    }
    let held: BTreeSet<Digest> = cluster.hosts[LAGGARD].disk.chunks.keys().copied().collect();
    let asked = RefCell::new(BTreeSet::new());
    let watch = |e: &Envelope| {
        asked.borrow_mut().extend(asked_for(&e.message));
        vec![e.message.clone()]
    };
    assert!(cluster.run_by(3_000, watch, Cluster::has_caught_up).is_some());
    let targets = cluster.fetching(LAGGARD);
    assert_eq!(targets[0], Height(48));
    assert!(targets.len() <= 3 && cluster.installed(LAGGARD) == targets[targets.len() - 1..]);
    assert!(asked.borrow().is_disjoint(&held));
}

/// [K3] A peer that answers nothing costs a timeout, not the transfer.
#[test]
fn k3_who_has_it_and_never_answers_delays_little() {
    for silent in 0..3 {
        let mut cluster = Cluster::with_laggard();
        let mute = |message: &Message| match message {
            Message::Data(Data::State { .. } | Data::Chunk(_)) => Vec::new(),
            message => vec![message.clone()],
        };
        let rounds = cluster.run_with_liar(silent, 3_000, mute, Cluster::has_caught_up);
        assert!(rounds.is_some_and(|rounds| rounds < 1_500), "replica {silent}: {rounds:?}");
    }
}

/// [K3] A peer that says of every chunk that it has none delays nothing.
#[test]
fn k3_absent_for_everything_delays_little() {
    let mut cluster = Cluster::with_laggard();
    let absent = |message: &Message| match message {
        Message::Data(Data::Chunk(bytes)) => {
            let digest = quorate_types::ChunkId::of(bytes).digest;
            vec![Message::Data(Data::Absent(quorate_types::limited::Limited::take([digest])))]
        }
        message => vec![message.clone()],
    };
    let rounds = cluster.run_with_liar(0, 3_000, absent, Cluster::has_caught_up);
    assert!(rounds.is_some_and(|rounds| rounds < 800), "{rounds:?}");
    assert_eq!(cluster.installed(LAGGARD).len(), 1);
}

/// [K3] One chunk in almost every timeout does not keep a peer in business.
#[test]
fn k3_drip_feeding_delays_little() {
    let mut cluster = Cluster::with_laggard();
    let mut dripping = Vec::new();
    let mut rounds = 0;
    while !cluster.has_caught_up() {
        rounds += 1;
        assert!(rounds < 2_500, "{:?}", cluster.hosts[LAGGARD].replica.status());
        cluster.round_by(|e| {
            if e.from == id(0) && is_chunk(&e.message) {
                dripping.push(e.message.clone());
                return Vec::new();
            }
            vec![e.message.clone()]
        });
        if rounds % 450 == 0 && !dripping.is_empty() {
            let message = dripping.remove(0);
            cluster.deliver(0, LAGGARD, message);
        }
        cluster.pass(Duration::from_millis(1));
    }
}

/// [K3] Near the end two peers are asked for the same; the slower of them is not taken for a liar.
#[test]
fn k3_who_is_asked_twice_is_no_liar() {
    let mut cluster = Cluster::with_laggard();
    let late = Duration::from_millis(60);
    assert!(cluster.run_slow(2_000, late, |i| i == 0, Cluster::has_caught_up).is_some());
    cluster.run_slow(100, late, |i| i == 0, |_| false);
    assert!(!cluster.refused_of(0).contains(&Rejection::WrongState));
    assert!(!cluster.refused_of(1).contains(&Rejection::WrongState));
}

/// [K3] A network that brings everything twice makes no liars either.
#[test]
fn k3_what_comes_twice_is_no_lie() {
    let mut cluster = Cluster::with_laggard();
    let twice = |e: &Envelope| vec![e.message.clone(); 2];
    assert!(cluster.run_by(1_000, twice, Cluster::has_caught_up).is_some());
    assert!(!cluster.is_refused(LAGGARD, Rejection::WrongState));
}

/// [K3] Where every peer is slower than a timeout, what they send late is taken all the same.
#[test]
fn k3_slow_peers_are_no_liars() {
    let mut cluster = Cluster::with_laggard();
    let late = Duration::from_millis(700);
    let rounds = cluster.run_slow(20_000, late, |_| true, Cluster::has_caught_up);
    assert!(rounds.is_some_and(|rounds| rounds < 8_000), "{rounds:?}");
    assert!(!cluster.is_refused(LAGGARD, Rejection::WrongState));
}

/// [K3] [V3] Who installed a state learns a certificate above it when its vote is needed.
#[test]
fn k3_a_certificate_above_the_state_is_learnt() {
    let mut cluster = Cluster::without_history(4);
    cluster.stop(LAGGARD);
    cluster.run_requests(1..=60);
    cluster.restart(LAGGARD);
    assert!(cluster.run_until(2_000, Cluster::has_caught_up));
    // With the others' votes it would make one itself.
    let no_proposals =
        |e: &Envelope| e.to != id(LAGGARD) || !matches!(e.message, Message::Propose(_) | Message::Vote(_));
    for number in 61..=70 {
        cluster.request(0, number);
        assert!(cluster.run_where(500, no_proposals, |c| c.all_committed(number)));
    }
    assert!(cluster.votes_of(LAGGARD).is_empty());
    cluster.stop(2);
    cluster.request(0, 71);
    assert!(cluster.run_until(450, |c| c.all_committed(71)));
    assert!([0, 1, 3].iter().all(|i| cluster.hosts[*i].replica.status().asked == View(0)));
}

/// [K3] [V3] The same where the view's only certificate lies below the state: one above it is made, for nobody votes over
/// blocks that it never saw.
#[test]
fn k3_a_certificate_above_the_state_is_made() {
    let mut cluster = Cluster::without_history(4);
    cluster.run_requests(1..=2);
    cluster.stop(LAGGARD);
    for i in 0..3 {
        cluster.request(i, 3);
    }
    let no_blocks = |e: &Envelope| e.from != id(0) || matches!(e.message, Message::ViewChange(_));
    let is_entered = |c: &Cluster| (0..3).all(|i| c.hosts[i].replica.status().view == View(1));
    assert!(cluster.run_where(3_000, no_blocks, is_entered));
    for number in 4..=22 {
        (0..3).for_each(|i| cluster.request(i, number));
        assert!(cluster.run_until(500, |c| (0..3).all(|i| c.committed(i).0 >= number)));
    }
    cluster.restart(LAGGARD);
    assert!(cluster.run_until(2_000, Cluster::has_caught_up));
    assert!(!cluster.installed(LAGGARD).is_empty(), "it was behind by too much");
    assert!(cluster.votes_of(LAGGARD).iter().all(|vote| vote.vote.view < View(1)));
    cluster.stop(2);
    let before = cluster.committed(0).0;
    [0, 1, 3].iter().for_each(|i| cluster.request(*i, 23));
    assert!(cluster.run_until(450, |c| [0, 1, 3].iter().all(|i| c.committed(*i).0 > before)));
    assert!([0, 1, 3].iter().all(|i| cluster.hosts[*i].replica.status().asked == View(1)));
}

/// [V2] [K3] A last vote below the installed state that may be on another chain binds: there is no vote in that
/// view any more, and there is one in the next.
#[test]
fn v2_an_unknown_vote_below_the_state_binds() {
    for is_known in [false, true] {
        let mut cluster = Cluster::without_history(4);
        cluster.run_requests(1..=2);
        cluster.run_until(5, |_| false);
        cluster.request(0, 3);
        cluster.round();
        if is_known {
            cluster.run_until(5, |_| false);
        }
        cluster.stop(LAGGARD);
        cluster.run_requests(4..=50);
        cluster.run_until(5, |_| false);
        cluster.restart(LAGGARD);
        // The votes of then would show that it is committed.
        let no_votes = |e: &Envelope| !matches!(e.message, Message::Vote(_));
        assert!(cluster.run_where(2_000, no_votes, Cluster::has_caught_up));
        cluster.promises.clear();
        cluster.run_requests(51..=100);
        let voted = |cluster: &Cluster, view: u64| {
            let is_vote = |message: &Message| matches!(message, Message::Vote(vote) if vote.vote.view == View(view) && vote.vote.height > Height(48));
            cluster.promises.iter().any(|(from, message)| *from == id(LAGGARD) && is_vote(message))
        };
        assert_eq!(voted(&cluster, 0), is_known);
        cluster.stop(0);
        for i in 1..4 {
            cluster.request(i, 101);
        }
        assert!(cluster.run_until(3_000, |c| c.all_committed(101)));
        assert!((1..4).all(|i| cluster.hosts[i].replica.status().view == View(1)));
        assert!(voted(&cluster, 1), "it was needed");
        cluster.assert_promises_kept(&[]);
    }
}

/// [K3] Peers get no more bytes of states in a second than the limit, and wait for no more chunks.
#[test]
fn k3_serving_is_limited() {
    let limits =
        quorate_consensus::Limits { history_bytes_max: 0, serve_bytes_per_second: 400, ..Default::default() };
    let parameters = quorate_types::ProtocolParameters { checkpoint_interval: 4, ..Default::default() };
    let mut cluster = Cluster::with_limits(4, parameters, limits);
    cluster.run_requests(1..=4);
    cluster.run_until(5, |_| false);
    let digests: Vec<Digest> = cluster.hosts[1].disk.chunks.keys().copied().take(64).collect();
    cluster.wire.clear();
    for _ in 0..1_000 {
        let fetch = Fetch::Chunks(quorate_types::limited::Limited::take(digests.iter().copied()));
        cluster.deliver(3, 1, Message::Fetch(fetch));
    }
    assert!(cluster.is_refused(1, Rejection::TooManyPending));
    for _ in 0..100 {
        cluster.pass(Duration::from_millis(100));
    }
    let sent: usize = cluster
        .sent_by(1)
        .map(|message| if let Message::Data(Data::Chunk(bytes)) = message { bytes.len() } else { 0 })
        .sum();
    assert!((4_000..=5_400).contains(&sent), "{sent} bytes in ten seconds, and one turn");
}

/// [K3] The head of a large state takes its time too.
#[test]
fn k3_heads_are_limited() {
    let limits =
        quorate_consensus::Limits { history_bytes_max: 0, serve_bytes_per_second: 80, ..Default::default() };
    let parameters = quorate_types::ProtocolParameters { checkpoint_interval: 4, ..Default::default() };
    let mut cluster = Cluster::with_limits(4, parameters, limits);
    cluster.run_requests(1..=4);
    cluster.run_until(5, |_| false);
    cluster.wire.clear();
    for _ in 0..1_000 {
        cluster.deliver(3, 1, Message::Fetch(Fetch::State(Height(4))));
    }
    assert_eq!(cluster.count_sent(1, |message| matches!(message, Message::Data(Data::State { .. }))), 1);
    assert!(cluster.is_refused(1, Rejection::TooManyPending));
    cluster.deliver(2, 1, Message::Fetch(Fetch::State(Height(4))));
    assert_eq!(cluster.count_sent(1, |message| matches!(message, Message::Data(Data::State { .. }))), 2);
}

/// Nothing of a transfer is left when it is over.
#[test]
fn k3_a_transfer_happens_once() {
    let mut cluster = Cluster::with_laggard();
    assert!(cluster.run_until(2_000, Cluster::has_caught_up));
    cluster.run_until(1_000, |_| false);
    let of = |event: &&Event| matches!(event, Event::Fetching(_) | Event::Installed(..));
    assert_eq!(cluster.hosts[LAGGARD].events.iter().filter(of).count(), 2);
    assert_eq!(cluster.hosts[LAGGARD].replica.status().transfer, None);
}
