//! What is durable before what leaves, and what a restarted replica may say: rules D1 to D3.

mod common;
use common::{Cluster, id};
use quorate_consensus::{Cause, Event, Input, Record, Recovered};
use quorate_types::View;
use quorate_types::message::Message;
use std::time::Duration;

fn is_promise(message: &Message) -> bool {
    matches!(
        message,
        Message::Propose(_)
            | Message::Vote(_)
            | Message::Commit(_)
            | Message::ViewChange(_)
            | Message::CheckpointVote(_)
    )
}

/// [D1] Nothing that binds the replica leaves before it is durable.
#[test]
fn d1_no_promise_leaves_before_its_sync() {
    let mut cluster = Cluster::new(4);
    for host in &mut cluster.hosts {
        host.is_syncing = false;
    }
    cluster.request(0, 1);
    assert_eq!(cluster.count_sent(0, is_promise), 0, "no proposal, no vote");
    let block = cluster.block(0, cluster.genesis_id(), &[2]);
    cluster.deliver(0, 2, block.bare());
    assert_eq!(cluster.count_sent(2, is_promise), 0, "no vote");
    // A certificate of view 1 asks for a commit vote.
    cluster.enter(3, 1, &[0, 1, 2]);
    let first = cluster.block(1, cluster.genesis_id(), &[3]);
    let proof = cluster.qc(1, first.id(), &[0, 1, 2]);
    let second = cluster.block(1, first.id(), &[4]);
    cluster.deliver(1, 3, second.propose(quorate_types::message::Justify::Quorum(proof.into())));
    assert_eq!(cluster.count_sent(3, is_promise), 0, "no commit vote");
    for i in [1, 2, 3] {
        cluster.request(i, 5);
    }
    cluster.pass(Duration::from_secs(20));
    assert!(cluster.hosts.iter().any(|host| host.replica.status().asked > host.replica.status().view));
    for i in 0..4 {
        assert_eq!(cluster.count_sent(i, is_promise), 0, "replica {i}");
    }
}

/// [D1] A checkpoint vote waits for the commit that it follows from.
#[test]
fn d1_a_checkpoint_vote_waits_for_the_sync() {
    let mut cluster = Cluster::new(4);
    for number in 1..=3 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    cluster.request(0, 4);
    cluster.round();
    cluster.hosts[3].is_syncing = false;
    cluster.round();
    assert_eq!(cluster.committed(3).0, 4);
    let is_checkpoint_vote = |message: &Message| matches!(message, Message::CheckpointVote(_));
    assert!(cluster.count_sent(0, is_checkpoint_vote) > 0);
    assert_eq!(cluster.count_sent(3, is_checkpoint_vote), 0);
}

/// [V6] [D1] A vote that waits for its sync is dropped when a view change is made meanwhile.
#[test]
fn v6_a_waiting_vote_is_dropped_when_the_view_is_left() {
    let mut cluster = Cluster::new(4);
    cluster.hosts[2].is_syncing = false;
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(0, 2, block.bare());
    let other = cluster.block(0, cluster.genesis_id(), &[2]);
    cluster.deliver(0, 2, other.bare());
    assert_eq!(cluster.hosts[2].replica.status().asked, View(1), "the primary equivocated");
    cluster.hosts[2].is_syncing = true;
    cluster.drain(2);
    assert!(cluster.voted(2).is_empty());
    assert!(cluster.sent_by(2).any(|m| matches!(m, Message::ViewChange(c) if c.claim.len() == 1)));
    // After a restart it stays unsaid.
    cluster.restart(2);
    assert_eq!(cluster.hosts[2].replica.status().view, View(0));
    let status = cluster.status(0);
    for _ in 0..4 {
        cluster.deliver(0, 2, Message::Status(status));
    }
    assert!(cluster.voted(2).is_empty());
}

/// Runs a few requests through a view change while replica `victim` crashes at its `at`-th record,
/// and brings it back. Says whether there were that many records.
fn survives_crash(victim: usize, at: usize, leaves: bool) -> bool {
    let mut cluster = Cluster::new(4);
    cluster.hosts[victim].crash_at = Some((at, leaves));
    let mut is_crashed = false;
    let mut restart = |cluster: &mut Cluster, delay: usize| {
        if !cluster.hosts[victim].is_up && !is_crashed {
            is_crashed = true;
            cluster.run_until(delay, |_| false);
            cluster.restart(victim);
        }
    };
    for number in 1..=3 {
        cluster.request(0, number);
        cluster.run_until(6, |_| false);
        restart(&mut cluster, 3);
    }
    // The primary is cut off, so that a view change follows.
    let primary = 0;
    for number in 4..=5 {
        for i in 1..4 {
            cluster.request(i, number);
        }
    }
    for _ in 0..1_500 {
        cluster.round_where(|e| e.from != id(primary) && e.to != id(primary));
        cluster.pass(Duration::from_millis(1));
        restart(&mut cluster, 20);
    }
    let is_done = |c: &Cluster| (0..4).all(|i| c.commands(i).len() == 5);
    for _ in 0..60 {
        if cluster.run_until(100, is_done) {
            break;
        }
        restart(&mut cluster, 20);
        // The client asks again.
        for (i, number) in (0..4).flat_map(|i| (1..=5).map(move |number| (i, number))) {
            cluster.request(i, number);
        }
    }
    assert!(is_done(&cluster), "victim {victim}, record {at}, {leaves}");
    cluster.assert_promises_kept(&[]);
    cluster.assert_one_history(&[]);
    is_crashed
}

/// [D1] [D2] Wherever in its log a replica stops, it comes back without contradicting itself, and
/// the cluster goes on.
#[test]
fn d2_a_crash_at_every_single_record_breaks_no_promise() {
    for victim in [0, 1, 2] {
        for leaves in [false, true] {
            let crashes = (2..).take_while(|at| survives_crash(victim, *at, leaves)).count();
            assert!(crashes > 10, "{crashes} records were written");
        }
    }
}

/// [D2] What a restarted replica sends again are the same bytes.
#[test]
fn d2_votes_are_sent_again_byte_for_byte() {
    let mut cluster = Cluster::new(4);
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(0, 2, block.bare());
    let before = cluster.votes_of(2);
    assert_eq!(before.len(), 1);
    cluster.wire.clear();
    cluster.restart(2);
    let other = cluster.block(0, cluster.genesis_id(), &[2]);
    cluster.deliver(0, 2, other.bare());
    let status = cluster.status(0);
    for _ in 0..3 {
        cluster.deliver(1, 2, Message::Status(status));
    }
    assert_eq!(cluster.votes_of(2), before);
}

/// [D2] [V2] A restarted replica knows its last vote: it does not follow another chain of its view.
#[test]
fn d2_the_last_vote_binds_after_a_restart() {
    let mut cluster = Cluster::new(4);
    let own = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(0, 2, own.bare());
    cluster.restart(2);
    cluster.wire.clear();
    let other = cluster.block(0, cluster.genesis_id(), &[2]);
    let above = cluster.block(0, other.id(), &[3]);
    let justify = cluster.justify_qc(0, other.id(), &[0, 1, 3]);
    cluster.deliver(0, 2, above.propose(justify));
    for _ in 0..50 {
        cluster.pass(Duration::from_millis(1));
    }
    cluster.deliver(0, 2, other.data());
    let binds = |record: &Record| matches!(record, Record::Vote(vote) if vote.vote.digest == above.id().1);
    assert!(!cluster.hosts[2].log.iter().any(binds));
}

/// [D2] After a long view a restart costs neither the last vote nor the chain above it.
#[test]
fn d2_a_restart_in_a_long_view_goes_on_voting() {
    let mut cluster = Cluster::new(4);
    for number in 1..=300 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    // Everybody voted for block 301, nobody knows that it is committed.
    cluster.request(0, 301);
    cluster.round();
    for i in 0..4 {
        cluster.stop(i);
    }
    for i in 0..4 {
        cluster.restart(i);
    }
    assert!(cluster.run_until(400, |c| c.all_committed(301)));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().asked == View(0)), "without a view change");
}

/// [X2] A certificate of a later view opens it, even if the replica stopped before it wrote so.
#[test]
fn x2_a_durable_certificate_opens_its_view_after_a_restart() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    let qc = cluster.qc(1, first.id(), &[0, 1, 2]);
    cluster.restart_with(3, Recovered::whole(vec![Record::Init, Record::HighQc(qc.into())]));
    assert_eq!(cluster.hosts[3].replica.status().view, View(1));
}

/// [D3] A replica whose disk was empty stays silent, however often it starts again, until it
/// holds the certificate.
#[test]
fn d3_a_second_start_does_not_end_the_silence() {
    let mut cluster = Cluster::new(4);
    for number in 1..=4 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    cluster.restart_with(3, Recovered::default());
    let catches_up = |e: &common::Envelope| !matches!(e.message, Message::Wish(_) | Message::ViewChange(_));
    assert!(cluster.run_where(500, catches_up, |c| c.all_committed(4)));
    assert!(!cluster.hosts[3].log.is_empty(), "it wrote what it learnt");
    cluster.restart(3);
    assert!(cluster.hosts[3].replica.status().is_recovering);
    let block = cluster.block(0, (cluster.committed(3), tip(&cluster, 3)), &[5]);
    cluster.wire.clear();
    cluster.deliver(0, 3, block.bare());
    assert_eq!(cluster.count_sent(3, is_promise), 0);
}

fn tip(cluster: &Cluster, i: usize) -> quorate_types::Digest {
    let committed = |event: &quorate_consensus::Event| match event {
        quorate_consensus::Event::Committed { digest, .. } => Some(*digest),
        _ => None,
    };
    cluster.hosts[i].events.iter().rev().find_map(committed).unwrap()
}

/// [D3] While it waits it makes no promise of any kind, whatever happens around it.
#[test]
fn d3_a_replica_without_its_disk_makes_no_promise() {
    let mut cluster = Cluster::new(4);
    cluster.restart_with(2, Recovered::default());
    cluster.promises.clear();
    let no_wish = |e: &common::Envelope| !matches!(e.message, Message::Wish(_));
    for number in 1..=8 {
        cluster.request(0, number);
        cluster.request(2, number);
        assert!(cluster.run_where(3_000, no_wish, |c| c.all_committed(number)));
    }
    assert!(cluster.hosts[2].replica.status().is_recovering);
    assert!(cluster.promises.iter().all(|(from, _)| *from != id(2)), "over two checkpoints");
}

/// [D3] A certificate of a view that Q others had already entered ends nothing; the next one does.
#[test]
fn d3_only_a_view_above_all_reports_ends_the_silence() {
    let mut cluster = Cluster::new(4);
    cluster.restart_with(3, Recovered::default());
    for i in 0..3 {
        let status = cluster.status(1);
        cluster.deliver(i, 3, Message::Status(status));
    }
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    let second = cluster.block(1, first.id(), &[2]);
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2]);
    cluster.deliver(1, 3, second.propose(justify));
    assert!(cluster.hosts[3].replica.status().is_recovering, "it may have voted in view 1");
    assert!(cluster.voted(3).is_empty());
    let first = cluster.block(2, cluster.genesis_id(), &[1]);
    let second = cluster.block(2, first.id(), &[2]);
    let justify = cluster.justify_qc(2, first.id(), &[0, 1, 2]);
    cluster.deliver(2, 3, second.propose(justify));
    assert!(!cluster.hosts[3].replica.status().is_recovering);
    assert!(cluster.hosts[3].log.iter().any(|record| matches!(record, Record::Recovered(_))));
}

/// [D3] A liar among the first Q that report, whatever view it names, does not keep a replica silent for ever: any
/// Q others will do. The wish becomes lower when more report, on disk too.
#[test]
fn d3_a_view_that_one_liar_reports_is_not_waited_for() {
    let mut cluster = Cluster::new(7);
    cluster.restart_with(6, Recovered::default());
    let report = |cluster: &mut Cluster, from: usize, view: u64| {
        let status = cluster.status(view);
        cluster.deliver(from, 6, Message::Status(status));
    };
    let wished = |cluster: &Cluster| {
        let of = |record: &Record| if let Record::Wished(view) = record { Some(view.0) } else { None };
        cluster.hosts[6].log.iter().filter_map(of).collect::<Vec<_>>()
    };
    report(&mut cluster, 0, 1_000_000);
    (1..5).for_each(|from| report(&mut cluster, from, 0));
    assert_eq!(wished(&cluster), [1_000_001]);
    report(&mut cluster, 5, 0);
    assert_eq!(wished(&cluster), [1_000_001, 1]);
    cluster.restart(6);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    let second = cluster.block(1, first.id(), &[2]);
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2, 3, 4]);
    cluster.deliver(1, 6, second.propose(justify));
    assert!(!cluster.hosts[6].replica.status().is_recovering);
}

/// [D3] One replica's wish is heard once an hour, even if several are checked at a time.
#[test]
fn d3_a_wish_is_heard_once_an_hour() {
    use quorate_types::{Statement, Unverified, message::Wish};
    let mut cluster = Cluster::new(4);
    let wish = |cluster: &Cluster, view: u64| {
        let (epoch, view) = (cluster.membership.epoch(), View(view));
        let signature = cluster.signed_by(3, &Statement::Wish { epoch, view });
        Wish { epoch, view, replica: id(3), signature }
    };
    let verifier = cluster.hosts[1].replica.verifier();
    let checked: Vec<_> =
        [1, 5].map(|view| verifier.check(Unverified::Wish(wish(&cluster, view)))).into_iter().collect();
    for result in checked {
        cluster.give(1, Input::Verified(quorate_consensus::Peer::Replica(id(3)), result));
        cluster.enter(1, 1, &[0, 1, 2]);
    }
    assert_eq!(cluster.hosts[1].replica.status().asked, View(1), "the second one came too soon");
    let again = wish(&cluster, 7);
    cluster.deliver(3, 1, Message::Wish(again));
    assert_eq!(cluster.hosts[1].replica.status().asked, View(1));
    cluster.pass(Duration::from_secs(3601));
    let again = wish(&cluster, 8);
    cluster.deliver(3, 1, Message::Wish(again));
    assert!(cluster.hosts[1].replica.status().asked > View(1));
}

/// [D3] [X1] A wish that became lower when more reports came is heard in the next hour like any other.
#[test]
fn d3_a_lower_wish_is_heard_in_the_next_hour() {
    use quorate_types::{Statement, message::Wish};
    let mut cluster = Cluster::new(4);
    let wishes = |cluster: &mut Cluster, view: u64| {
        let (epoch, view) = (cluster.membership.epoch(), View(view));
        let signature = cluster.signed_by(3, &Statement::Wish { epoch, view });
        cluster.deliver(3, 1, Message::Wish(Wish { epoch, view, replica: id(3), signature }));
    };
    wishes(&mut cluster, 1_000_001);
    cluster.enter(1, 1, &[0, 1, 2]);
    wishes(&mut cluster, 2);
    assert_eq!(cluster.hosts[1].replica.status().asked, View(1), "one view an hour");
    cluster.pass(Duration::from_secs(3601));
    let view = cluster.hosts[1].replica.status().asked;
    cluster.enter(1, view.0, &[0, 1, 2]);
    wishes(&mut cluster, view.0 + 1);
    let wished = Event::ViewChange { view: view.next(), cause: Cause::Wish };
    assert!(cluster.hosts[1].events.contains(&wished));
}

/// [D2] [V6] A vote that was durable and had not left when the replica stopped leaves when it starts, not later:
/// then a view change may have been made.
#[test]
fn d2_a_durable_vote_that_never_left_leaves_at_the_start() {
    let mut cluster = Cluster::new(4);
    cluster.request(0, 1);
    cluster.hosts[2].is_syncing = false;
    cluster.round();
    // The disk has the block and the vote, but the replica never hears of it.
    let written = std::mem::take(&mut cluster.hosts[2].unsynced);
    assert!(written.iter().any(|record| matches!(record, Record::Vote(_))));
    cluster.hosts[2].log.extend(written);
    cluster.restart(2);
    let is_vote = |e: &common::Envelope| e.from == id(2) && matches!(e.message, Message::Vote(_));
    assert_eq!(cluster.wire.iter().filter(|e| is_vote(e)).count(), 3, "to every other replica at once");
}
