//! What a replica does that starts, and how it notices that its disk was rolled back: rule D3.

mod common;
use common::{Cluster, Disk, Envelope, id};
use quorate_consensus::{Record, Recovered};
use quorate_types::message::{Fetch, Message, Seen, Status, Vote};
use quorate_types::{Height, Signature, Statement, View};
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

fn is_recovering(cluster: &Cluster, i: usize) -> bool {
    cluster.hosts[i].replica.status().is_recovering
}

/// An image of a disk, to go back to.
fn image(cluster: &Cluster, i: usize) -> (Recovered, Disk) {
    (cluster.hosts[i].recover(), cluster.hosts[i].disk.clone())
}

/// [D3] A replica that starts promises nothing new before Q - 1 others told what they saw of it, and then it does.
#[test]
fn d3_a_starting_replica_listens_first() {
    for (n, needed) in [(4, 2), (7, 4)] {
        let mut cluster = Cluster::new(n);
        cluster.restart(2);
        cluster.promises.clear();
        cluster.wire.clear();
        let block = cluster.block(0, cluster.genesis_id(), &[1]);
        cluster.deliver(0, 2, block.bare());
        cluster.request(2, 2);
        for heard in 0..needed {
            cluster.pass(Duration::from_secs(5));
            assert!(cluster.promises.iter().all(|(from, _)| *from != id(2)), "{heard} of {needed}");
            assert!(!cluster.hosts[2].replica.status().is_awake);
            let from = [0, 1, 3, 4][heard];
            let status = cluster.status(0);
            for _ in 0..3 {
                cluster.deliver(from, 2, Message::Status(status));
            }
        }
        assert_eq!(cluster.voted(2), [block.id()]);
        cluster.pass(Duration::from_secs(5));
        assert_eq!(cluster.hosts[2].replica.status().asked, View(1), "its timer runs now");
    }
}

/// [D3] A peer that never echoes a clock of this start is asked for another status now and then, however often it
/// speaks: two replicas that start, or one and a liar, would keep each other busy without end.
#[test]
fn d3_a_peer_that_echoes_nothing_is_asked_now_and_then() {
    let mut cluster = Cluster::new(4);
    cluster.restart(2);
    let asks = |message: &Message| matches!(message, Message::Fetch(Fetch::Status));
    let status_interval = cluster.config(2).timing.status_interval;
    for _ in 0..3 {
        cluster.wire.clear();
        for _ in 0..50 {
            let status = Status { echo: None, ..cluster.status(0) };
            cluster.deliver(1, 2, Message::Status(status));
            assert_eq!(cluster.count_sent(2, asks), 1);
        }
        assert!(!cluster.hosts[2].replica.status().is_awake);
        cluster.pass(status_interval / 2);
    }
}

/// [D3] Neither does it vouch for the state that it starts from, nor propose; both come later.
#[test]
fn d3_a_starting_primary_listens_first() {
    let mut cluster = Cluster::new(4);
    let no_checkpoints = |e: &Envelope| !matches!(e.message, Message::CheckpointVote(_));
    for number in 1..=4 {
        cluster.request(0, number);
        assert!(cluster.run_where(50, no_checkpoints, |c| c.all_committed(number)));
    }
    cluster.stop(3);
    cluster.promises.clear();
    cluster.restart(0);
    cluster.request(0, 5);
    cluster.run_where(300, |e| e.to != id(0), |_| false);
    assert!(cluster.promises.iter().all(|(from, _)| *from != id(0)));
    let is_done =
        |c: &Cluster| c.all_committed(5) && (0..3).all(|i| c.hosts[i].replica.status().stable == Height(4));
    assert!(cluster.run_until(1_000, is_done));
    let vouched =
        |(from, message): &(_, Message)| *from == id(0) && matches!(message, Message::CheckpointVote(_));
    assert!(cluster.promises.iter().any(vouched));
    assert!((0..3).all(|i| cluster.hosts[i].replica.status().asked == View(0)));
}

/// [D3] A whole cluster that starts again hears itself and goes on.
#[test]
fn d3_all_start_at_a_time() {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=5);
    (0..4).for_each(|i| cluster.stop(i));
    (0..4).for_each(|i| cluster.restart(i));
    cluster.request(0, 6);
    assert!(cluster.run_until(300, |c| c.all_committed(6)));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().asked == View(0)));
}

/// Replica 2's disk is rolled back by one vote, which replica 1 alone saw.
fn rolled_back_by_a_vote() -> (Cluster, Recovered, Disk) {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    cluster.run_until(5, |_| false);
    let (recovered, disk) = image(&cluster, 2);
    cluster.request(0, 3);
    cluster.round_where(|e| e.to == id(2));
    assert_eq!(cluster.voted(2).len(), 1);
    cluster.round_where(|e| e.from == id(2) && e.to == id(1));
    cluster.stop(2);
    (cluster, recovered, disk)
}

/// [D3] One peer that saw a vote is enough, whether it is among the first that are heard or not.
#[test]
fn d3_a_rollback_is_noticed_by_a_vote_that_one_peer_saw() {
    for is_first in [true, false] {
        let (mut cluster, recovered, disk) = rolled_back_by_a_vote();
        cluster.restart_on(2, recovered, disk);
        cluster.promises.clear();
        // Block 3 would bring the same vote again.
        let lost =
            |e: &Envelope| matches!(e.message, Message::Wish(_) | Message::Propose(_) | Message::Data(_));
        let passes = |e: &Envelope| (e.to != id(2) || is_first == (e.from == id(1))) && !lost(e);
        cluster.run_where(150, passes, |_| false);
        if !is_first {
            assert!(cluster.hosts[2].replica.status().is_awake && !is_recovering(&cluster, 2));
            cluster.promises.clear();
        }
        assert!(cluster.run_where(300, |e| !lost(e), |c| is_recovering(c, 2)));
        assert!(cluster.hosts[2].log.contains(&Record::RolledBack));
        cluster.promises.clear();
        cluster.request(0, 4);
        cluster.run_where(300, |e| !matches!(e.message, Message::Wish(_)), |_| false);
        assert!(cluster.promises.iter().all(|(from, _)| *from != id(2)), "it says nothing more");
        // A restart does not make it forget.
        cluster.restart(2);
        assert!(is_recovering(&cluster, 2));
        assert!(cluster.run_until(2_000, |c| !is_recovering(c, 2)));
        let asked = if is_first { 1 } else { cluster.hosts[2].replica.status().asked.0 };
        assert_eq!(cluster.hosts[2].replica.status().view, View(asked));
        cluster.assert_one_history(&[]);
    }
}

/// [D3] So is one that saw a view change.
#[test]
fn d3_a_rollback_is_noticed_by_a_view_change_that_one_peer_saw() {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    cluster.run_until(5, |_| false);
    let (recovered, disk) = image(&cluster, 2);
    cluster.request(2, 3);
    cluster.wire.clear();
    cluster.pass(Duration::from_secs(5));
    assert_eq!(cluster.hosts[2].replica.status().asked, View(1));
    cluster.round_where(|e| e.from == id(2) && e.to == id(1) && matches!(e.message, Message::ViewChange(_)));
    cluster.restart_on(2, recovered, disk);
    cluster.run_where(30, |e| e.to != id(2) || e.from != id(1), |_| false);
    assert!(!is_recovering(&cluster, 2));
    assert!(cluster.run_where(300, |e| !matches!(e.message, Message::Wish(_)), |c| is_recovering(c, 2)));
}

/// [D3] A replica that is whole believes no statement that it did not sign, nor one that it knows.
#[test]
fn d3_forged_and_known_statements_do_nothing() {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    cluster.run_until(5, |_| false);
    let block = cluster.block(0, cluster.genesis_id(), &[9]);
    let later = cluster.statement(7, (Height(90), block.id().1));
    let epoch = cluster.membership.epoch();
    let asked = Statement::ViewChange { epoch, view: View(9), content: block.id().1 };
    let foreign = |statement: Statement| statement.sign(&cluster.keys[2], &block.id().1);
    let seen = |vote: Option<Signature>, change: Option<Signature>| Seen {
        vote: vote.map(|signature| (later, signature)),
        view_change: change.map(|signature| (View(9), block.id().1, signature)),
    };
    let lies = [
        seen(Some(Signature([0; 64])), None),
        seen(Some(cluster.signed_by(1, &Statement::Vote(later))), None),
        seen(Some(foreign(Statement::Vote(later))), None),
        seen(None, Some(Signature([0; 64]))),
        seen(None, Some(cluster.signed_by(1, &asked))),
        seen(None, Some(foreign(asked))),
    ];
    let known = cluster.promises.iter().filter_map(|(from, message)| match message {
        Message::Vote(vote) if *from == id(2) => {
            Some(Seen { vote: Some((vote.vote, vote.signature)), view_change: None })
        }
        _ => None,
    });
    let told: Vec<Seen> = lies.into_iter().chain(known).collect();
    assert!(told.len() > lies.len());
    for seen in told {
        cluster.now = cluster.now.after(cluster.timing.status_interval);
        let status = Status { seen: Some(seen), ..cluster.status(0) };
        cluster.deliver(3, 2, Message::Status(status));
        assert!(!is_recovering(&cluster, 2), "{seen:?}");
    }
    let own = seen(Some(cluster.signed_by(2, &Statement::Vote(later))), None);
    let status = Status { seen: Some(own), ..cluster.status(0) };
    cluster.deliver(3, 2, Message::Status(status));
    assert!(!is_recovering(&cluster, 2), "one peer cannot make it look all the time");
    cluster.now = cluster.now.after(cluster.timing.status_interval);
    cluster.deliver(3, 2, Message::Status(status));
    assert!(is_recovering(&cluster, 2), "its own would do");
}

/// [D3] What was forgotten and is over throws nobody back, after further starts neither.
#[test]
fn d3_old_statements_do_nothing_after_the_recovery() {
    let (mut cluster, recovered, disk) = rolled_back_by_a_vote();
    let forgotten: Vec<Vote> = cluster
        .promises
        .iter()
        .filter_map(|(from, message)| match message {
            Message::Vote(vote) if *from == id(2) => Some(*vote),
            _ => None,
        })
        .collect();
    cluster.restart_on(2, recovered, disk);
    assert!(cluster.run_until(2_000, |c| is_recovering(c, 2)));
    assert!(cluster.run_until(2_000, |c| !is_recovering(c, 2)));
    for round in 0..3 {
        for vote in &forgotten {
            let seen = Some(Seen { vote: Some((vote.vote, vote.signature)), view_change: None });
            let status = Status { seen, ..cluster.status(1) };
            cluster.deliver(1, 2, Message::Status(status));
            assert!(!is_recovering(&cluster, 2), "round {round}: {vote:?}");
        }
        if round == 1 {
            // Far enough for the log to be cut: a summary remembers it.
            let primary = cluster.hosts[2].replica.status().primary.index();
            for number in 10..=20 {
                cluster.request(primary, number);
                assert!(cluster.run_until(500, |c| {
                    c.commands(2).iter().any(|done| done == &format!("command {number}"))
                }));
            }
            cluster.run_until(20, |_| false);
            assert!(cluster.hosts[2].log.iter().any(|record| matches!(record, Record::Summary(_))));
        }
        cluster.restart(2);
    }
}

/// Lets replica `i` come back with less than it had, in an idle cluster; gives the view in which it votes again.
fn comes_back_idle(i: usize, is_wiped: bool) -> View {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    cluster.run_until(20, |_| false);
    let (recovered, disk) = image(&cluster, i);
    cluster.run_requests(3..=6);
    cluster.run_until(20, |_| false);
    if is_wiped {
        cluster.wipe(i);
    } else {
        cluster.restart_on(i, recovered, disk);
    }
    assert!(cluster.run_until(300, |c| is_recovering(c, i)));
    assert!(cluster.run_until(5_000, |c| !is_recovering(c, i)), "{i}");
    cluster.run_until(500, |_| false);
    let view = cluster.hosts[i].replica.status().view;
    cluster.promises.clear();
    cluster.run_requests(7..=7);
    assert!(cluster.run_until(500, |c| c.all_committed(7)));
    let votes = |(from, message): &(_, Message)| *from == id(i) && matches!(message, Message::Vote(_));
    assert!(cluster.promises.iter().any(votes), "replica {i} votes");
    cluster.run_until(3_000, |_| false);
    assert!((0..4).all(|j| cluster.hosts[j].replica.status().view == view), "and nothing more happens");
    assert!((0..4).all(|j| cluster.hosts[j].replica.status().asked == view));
    cluster.assert_one_history(&[]);
    view
}

/// [D3] In an idle cluster a replica without its disk votes again after one view change, two where it would lead
/// the next view itself, and no more.
#[test]
fn d3_a_wiped_replica_costs_an_idle_cluster_one_view_change() {
    let views = [0, 1, 2, 3].map(|i| comes_back_idle(i, true));
    assert_eq!(views, [View(1), View(2), View(1), View(1)]);
}

/// [D3] So does one whose disk was rolled back.
#[test]
fn d3_a_rolled_back_replica_costs_an_idle_cluster_one_view_change() {
    let views = [0, 1, 2, 3].map(|i| comes_back_idle(i, false));
    assert_eq!(views, [View(1), View(2), View(1), View(1)]);
}

/// [D3] A primary whose disk was rolled back may have proposed again before it hears of it: it stops there, and
/// is one of the f until then. Where it is back at the same height, the proof against it is what tells it.
#[test]
fn d3_a_rollback_is_noticed_by_a_primary_that_proposed() {
    for lost in [1, 3] {
        let mut cluster = Cluster::new(4);
        cluster.run_requests(1..=2);
        cluster.run_until(5, |_| false);
        let (recovered, disk) = image(&cluster, 0);
        for number in 3..3 + lost {
            cluster.request(0, number);
            cluster.pass(Duration::from_millis(1));
            cluster.round_where(|e| e.to == id(1));
        }
        cluster.restart_on(0, recovered, disk);
        let apart = |e: &Envelope| (e.from, e.to) != (id(1), id(0)) && (e.from, e.to) != (id(0), id(1));
        assert!(cluster.run_where(200, apart, |c| c.hosts[0].replica.status().is_awake));
        cluster.request(0, 8);
        cluster.run_where(3, apart, |_| false);
        let again = cluster.promises.iter().filter(|(_, message)| {
            matches!(message, Message::Propose(propose) if propose.header.header.height == Height(3))
        });
        assert!(again.count() >= 2, "it proposed a second block 3");
        assert!(cluster.run_until(500, |c| is_recovering(c, 0)), "{lost} blocks lost");
        cluster.promises.clear();
        let no_wish = |e: &Envelope| !matches!(e.message, Message::Wish(_));
        cluster.request(0, 5);
        cluster.run_where(100, no_wish, |_| false);
        assert!(cluster.promises.iter().all(|(from, message)| *from != id(0) || !is_promise(message)));
        for i in 1..4 {
            cluster.request(i, 9);
        }
        assert!(cluster.run_until(5_000, |c| {
            (1..4).all(|i| c.commands(i).iter().any(|done| done == "command 9")) && !is_recovering(c, 0)
        }));
        cluster.run_until(500, |_| false);
        assert!(!is_recovering(&cluster, 0), "the proof is of a view that is over");
        cluster.assert_one_history(&[]);
        cluster.assert_promises_kept(&[0]);
    }
}

/// [D3] Only a status that echoes this very start shows that its sender knew of it: one that was on its way before may
/// echo a clock that this process tells too, where the clock was set back in between.
#[test]
fn d3_a_status_from_before_the_start_wakes_nobody() {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    let sent_before = cluster.status(0);
    cluster.restart(2);
    for from in [0, 1, 3] {
        cluster.deliver(from, 2, Message::Status(sent_before));
    }
    assert!(!cluster.hosts[2].replica.status().is_awake);
    for from in [0, 1] {
        let status = cluster.status(0);
        cluster.deliver(from, 2, Message::Status(status));
    }
    assert!(cluster.hosts[2].replica.status().is_awake);
}

/// [X2] View changes that opened a view, or were overtaken, before a replica stopped are not sent again after its start.
#[test]
fn x2_overtaken_view_changes_are_not_sent_after_a_start() {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    cluster.stop(0);
    for i in 1..4 {
        cluster.request(i, 3);
    }
    let is_over = |c: &Cluster| (1..4).all(|i| c.commands(i).iter().any(|done| done == "command 3"));
    assert!(cluster.run_until(5_000, is_over), "view 1 commits");
    cluster.run_until(20, |_| false);
    cluster.restart(2);
    cluster.promises.clear();
    cluster.run_until(1_000, |_| false);
    let is_change =
        |(from, message): &(_, Message)| *from == id(2) && matches!(message, Message::ViewChange(_));
    assert!(!cluster.promises.iter().any(is_change));
    assert!(cluster.hosts[2].replica.status().view >= View(1), "it is there");
}
