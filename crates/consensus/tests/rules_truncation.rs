//! When the front of the log goes, and what a replica still knows afterwards: rule K1.

mod common;
use common::{Cluster, Envelope, id};
use quorate_consensus::{Event, Input, Record, Recovered, Summary};
use quorate_types::message::{Data, Message};
use quorate_types::{Height, Statement, View};
use std::sync::Arc;
use std::time::Duration;

fn block_heights(cluster: &Cluster, i: usize) -> Vec<u64> {
    let of = |record: &Record| match record {
        Record::Block { header, .. } => Some(header.header.height.0),
        _ => None,
    };
    cluster.hosts[i].log.iter().filter_map(of).collect()
}

fn summaries(cluster: &Cluster, i: usize) -> Vec<&Summary> {
    let of = |record: &'_ Record| matches!(record, Record::Summary(_));
    let all = cluster.hosts[i].log.iter().filter(|record| of(record));
    all.filter_map(|record| if let Record::Summary(summary) = record { Some(&**summary) } else { None })
        .collect()
}

fn certified(cluster: &Cluster, i: usize) -> u64 {
    let of = |event: &Event| if let Event::Certified { height, .. } = event { Some(height.0) } else { None };
    cluster.hosts[i].events.iter().filter_map(of).max().unwrap_or(0)
}

/// [K1] Every block above the stable checkpoint or the highest certificate, whichever is lower, stays.
#[test]
fn k1_the_log_is_cut_below_checkpoint_and_certificate() {
    let mut cluster = Cluster::without_history(4);
    cluster.run_requests(1..=28);
    cluster.run_until(5, |_| false);
    for i in 0..4 {
        assert_eq!(cluster.hosts[i].replica.status().stable, Height(28));
        assert_eq!(block_heights(&cluster, i), (1..=28).collect::<Vec<_>>(), "without a certificate");
    }
    cluster.run_requests(29..=50);
    cluster.run_until(5, |_| false);
    for i in 0..4 {
        let kept = block_heights(&cluster, i);
        assert_eq!(kept, (certified(&cluster, i) + 1..=50).collect::<Vec<_>>());
        assert!(kept[0] > 20 && cluster.hosts[i].first > 0);
        assert_eq!(
            summaries(&cluster, i).last().unwrap().stable.as_ref().unwrap().checkpoint.height,
            Height(48)
        );
    }
}

/// [K1] [D1] Nothing goes before the own snapshot is durable, and nobody vouches for a state before that.
#[test]
fn k1_the_own_snapshot_comes_first() {
    let mut cluster = Cluster::without_history(4);
    cluster.hosts[2].is_snapshotting = false;
    cluster.run_requests(1..=50);
    cluster.run_until(20, |_| false);
    let vouched = |cluster: &Cluster| {
        cluster
            .promises
            .iter()
            .filter(|(from, message)| *from == id(2) && matches!(message, Message::CheckpointVote(_)))
            .count()
    };
    assert_eq!(vouched(&cluster), 0);
    assert_eq!(cluster.hosts[2].replica.status().stable, Height(48), "the others' certificate");
    assert_eq!(cluster.hosts[2].first, 0);
    assert!(summaries(&cluster, 2).is_empty());
    assert!(cluster.hosts[1].first > 0);
    // Its state machine waits for its disk: no more than two frozen states are held.
    let waiting = std::mem::take(&mut cluster.hosts[2].snapshots_waiting);
    assert_eq!(waiting.len(), 2);
    assert_eq!(cluster.hosts[2].executed.len(), 11);
    cluster.hosts[2].is_snapshotting = true;
    for head in waiting {
        cluster.give(2, Input::Snapshot(head));
    }
    assert!(cluster.hosts[2].executed.len() >= 50);
    assert!(cluster.hosts[2].first > 0);
    cluster.run_requests(51..=52);
    cluster.run_until(20, |_| false);
    assert!(vouched(&cluster) > 0);
}

/// [K1] The summary is durable before anything is dropped, blocks and snapshots alike.
#[test]
fn k1_the_summary_comes_first() {
    let mut cluster = Cluster::without_history(4);
    cluster.run_requests(1..=63);
    cluster.run_until(5, |_| false);
    let (first, snapshots) = (cluster.hosts[2].first, cluster.hosts[2].disk.snapshots.len());
    cluster.hosts[2].is_syncing = false;
    cluster.run_requests(64..=66);
    cluster.run_until(20, |_| false);
    assert!(cluster.hosts[2].unsynced.iter().any(|record| matches!(record, Record::Summary(_))));
    assert_eq!(cluster.hosts[2].first, first);
    assert!(cluster.hosts[2].disk.snapshots.len() > snapshots);
    cluster.hosts[2].is_syncing = true;
    cluster.drain(2);
    assert!(cluster.hosts[2].first > first);
}

/// [K1] The snapshots of the last two checkpoints at which the log was cut stay, for whoever fetches one.
#[test]
fn k1_the_last_snapshots_stay() {
    let mut cluster = Cluster::without_history(4);
    cluster.run_requests(1..=50);
    cluster.run_until(5, |_| false);
    for host in &cluster.hosts {
        let kept: Vec<u64> = host.disk.snapshots.keys().map(|height| height.0).collect();
        assert_eq!(kept, [44, 48]);
    }
}

/// Replica `i` has voted up to block 51, which is not committed there, when its log is cut at 48: the summary is
/// the last record.
fn cut_late(i: usize) -> Cluster {
    let mut cluster = Cluster::without_history(4);
    let no_certificate = |e: &Envelope| {
        e.to != id(i) || !matches!(e.message, Message::CheckpointVote(_) | Message::Data(Data::Checkpoint(_)))
    };
    cluster.run_requests(1..=47);
    cluster.run_until(5, |_| false);
    for number in 48..=50 {
        cluster.request(0, number);
        assert!(cluster.run_where(100, no_certificate, |c| c.all_committed(number)));
    }
    cluster.request(0, 51);
    if i != 0 {
        cluster.round_where(no_certificate);
    }
    cluster.wire.clear();
    cluster
}

fn cut(cluster: &mut Cluster, i: usize) {
    let other = (i + 1) % 4;
    let certificate = Arc::clone(cluster.hosts[other].certified.last().unwrap());
    assert_eq!(certificate.checkpoint.height, Height(48));
    cluster.deliver(other, i, Message::Data(Data::Checkpoint(certificate)));
    assert!(matches!(cluster.hosts[i].log.last(), Some(Record::Summary(_))));
    cluster.wire.clear();
}

/// Lets a replica hear from two others.
fn wake(cluster: &mut Cluster, i: usize) {
    for from in (0..4).filter(|from| *from != i).take(2) {
        let status = cluster.status(0);
        cluster.deliver(from, i, Message::Status(status));
    }
    assert!(cluster.hosts[i].replica.status().is_awake);
}

/// [K1] [D2] The last vote binds after a cut and a restart, and claim and certificate go into the next view change
/// as they would have gone before.
#[test]
fn k1_vote_claim_and_certificate_survive() {
    let mut cluster = cut_late(2);
    cut(&mut cluster, 2);
    let before = summaries(&cluster, 2).last().copied().cloned().unwrap();
    assert_eq!(before.last_vote.map(|(view, height, ..)| (view, height)), Some((View(0), Height(51))));
    cluster.restart(2);
    wake(&mut cluster, 2);
    cluster.wire.clear();
    let committed = cluster.hosts[2].replica.status().committed;
    let tip = before.committed;
    assert_eq!(committed, tip.0);
    let other = cluster.block(0, tip, &[77]);
    let above = cluster.block(0, other.id(), &[78]);
    let justify = cluster.justify_qc(0, other.id(), &[0, 1, 3]);
    let voted = cluster.voted(2);
    cluster.deliver(0, 2, above.propose(justify));
    cluster.deliver(0, 2, other.data());
    cluster.pass(Duration::from_millis(200));
    assert!(!cluster.voted(2).iter().any(|id| !voted.contains(id)), "no vote on another chain");
    cluster.pass(Duration::from_secs(20));
    let change = cluster.sent_by(2).find_map(|message| match message {
        Message::ViewChange(change) => Some(Arc::clone(change)),
        _ => None,
    });
    let change = change.expect("the forged certificate is of its view, so that it has work");
    assert!(change.high_qc.vote.height >= before.high_qc.vote.height);
    let mut cluster = cut_late(2);
    cut(&mut cluster, 2);
    let live = asks_for_view(&mut cluster);
    let mut cluster = cut_late(2);
    cut(&mut cluster, 2);
    cluster.restart(2);
    wake(&mut cluster, 2);
    let restarted = asks_for_view(&mut cluster);
    assert_eq!(live, restarted, "the same claim on the same certificate");
    assert_eq!(live.claim.len() as u64, 51 - live.high_qc.vote.height.0);
    assert!(live.high_qc.vote.height > Height(20));
}

/// The view change of replica 2 when its timer runs out.
fn asks_for_view(cluster: &mut Cluster) -> quorate_types::certificate::ViewChange {
    cluster.request(2, 99);
    cluster.wire.clear();
    cluster.pass(Duration::from_secs(20));
    let change = cluster.sent_by(2).find_map(|message| match message {
        Message::ViewChange(change) => Some(Arc::clone(change)),
        _ => None,
    });
    (*change.expect("its timer ran out")).clone()
}

/// [K1] [D2] A primary goes on above its own last block.
#[test]
fn k1_own_proposals_survive() {
    let mut cluster = cut_late(0);
    cut(&mut cluster, 0);
    assert!(block_heights(&cluster, 0).contains(&51));
    cluster.restart(0);
    cluster.request(0, 52);
    assert!(cluster.run_until(1_000, |c| c.all_committed(52)));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().asked == View(0)));
    cluster.assert_promises_kept(&[]);
}

/// [K1] [X2] Own view changes are sent again, byte for byte.
#[test]
fn k1_own_view_changes_survive() {
    let mut cluster = cut_late(2);
    let change = asks_for_view(&mut cluster);
    cut(&mut cluster, 2);
    cluster.restart(2);
    assert_eq!(cluster.hosts[2].replica.status().asked, View(1));
    wake(&mut cluster, 2);
    cluster.wire.clear();
    cluster.pass(Duration::from_millis(100));
    let again = |message: &Message| matches!(message, Message::ViewChange(again) if **again == change);
    assert_eq!(cluster.count_sent(2, again), 3);
    let voted = cluster.voted(2);
    assert!(voted.is_empty(), "[V6] no vote follows it");
}

/// [K1] [X1] Evidence from before the cut deposes its primary when its view comes.
#[test]
fn k1_evidence_survives() {
    let mut cluster = cut_late(2);
    let genesis = cluster.genesis_id();
    let of = |made: &common::Made| (Statement::Block(made.signed.header), made.signed.signature);
    let (one, two) = (cluster.block(1, genesis, &[1]), cluster.block(1, genesis, &[2]));
    let evidence = quorate_types::Evidence { replica: id(1), first: of(&one), second: of(&two) };
    cluster.deliver(3, 2, Message::Evidence(evidence.into()));
    assert_eq!(cluster.hosts[2].evidence.len(), 1);
    cut(&mut cluster, 2);
    cluster.restart(2);
    wake(&mut cluster, 2);
    cluster.enter(2, 1, &[0, 1, 3]);
    assert_eq!(cluster.hosts[2].replica.status().asked, View(2));
}

/// [K1] [D3] [K2] A replica without its disk stays one, and so does one whose state is wrong.
#[test]
fn k1_silence_and_divergence_survive() {
    let mut cluster = cut_late(2);
    cut(&mut cluster, 2);
    let host = &cluster.hosts[2];
    let (recovered, disk) = (host.recover(), host.disk.clone());
    let with = |change: &dyn Fn(&mut Summary)| {
        let mut records = recovered.records.clone();
        if let Some(Record::Summary(summary)) = records.last_mut() {
            change(summary);
        }
        Recovered { records, ..recovered.clone() }
    };
    cluster.restart_on(2, with(&|summary| summary.recovering = Some(Some(View(7)))), disk.clone());
    assert!(cluster.hosts[2].replica.status().is_recovering);
    for from in [0, 1, 3] {
        let status = cluster.status(6);
        cluster.deliver(from, 2, Message::Status(status));
    }
    cluster.wire.clear();
    cluster.pass(Duration::from_millis(200));
    assert!(cluster.sent_by(2).any(|m| matches!(m, Message::Wish(wish) if wish.view == View(7))));
    cluster.restart_on(2, with(&|summary| summary.diverged = Some(Height(49))), disk);
    assert!(!cluster.hosts[2].replica.status().is_recovering);
    for number in 52..=55 {
        cluster.request(0, number);
        let no_state = |e: &Envelope| !matches!(e.message, Message::Data(Data::State { .. }));
        assert!(cluster.run_where(500, no_state, |c| c.all_committed(number)));
    }
    assert_eq!(cluster.hosts[2].replica.status().executed, Height(48), "only what its snapshot holds");
    assert!(cluster.installed(2).is_empty());
    cluster.run_requests(56..=60);
    assert!(cluster.run_until(2_000, |c| !c.installed(2).is_empty()));
}

/// [D3] [K1] A replica that lost its disk and fetched a state cuts its log; it stays silent after the next start.
#[test]
fn k1_a_cut_does_not_end_the_silence() {
    let mut cluster = Cluster::without_history(4);
    cluster.run_requests(1..=50);
    cluster.run_until(5, |_| false);
    cluster.wipe(3);
    let no_wish = |e: &Envelope| !matches!(e.message, Message::Wish(_));
    assert!(cluster.run_where(3_000, no_wish, Cluster::has_caught_up));
    assert!(!summaries(&cluster, 3).is_empty());
    cluster.promises.clear();
    cluster.restart(3);
    assert!(cluster.hosts[3].replica.status().is_recovering);
    cluster.request(0, 51);
    assert!(cluster.run_where(500, no_wish, |c| c.all_committed(51)));
    assert!(cluster.promises.iter().all(|(from, _)| *from != id(3)));
    assert!(cluster.run_until(3_000, |c| !c.hosts[3].replica.status().is_recovering));
}

/// [K1] Log, blocks and snapshots stay bounded, and numbers go on.
#[test]
fn k1_everything_is_bounded_over_a_long_run() {
    let mut cluster = Cluster::without_history(4);
    for number in 1..=5_000 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)), "{number}");
        if number % 1_000 == 0 {
            for i in [1, 3] {
                cluster.restart(i);
            }
            cluster.run_until(250, |c| [1, 3].iter().all(|i| c.hosts[*i].replica.status().is_awake));
        }
        if number % 100 == 0 {
            for host in &cluster.hosts {
                assert!(host.log.len() < 400, "{} records", host.log.len());
                assert!(host.replica.held_blocks() < 150, "{} blocks", host.replica.held_blocks());
                assert!(host.disk.snapshots.len() <= 3);
                assert_eq!(host.appended(), host.durable() as u64);
            }
        }
    }
    assert!((0..4).all(|i| cluster.hosts[i].first > 10_000));
    assert!((0..4).all(|i| cluster.hosts[i].replica.status().asked == View(0)));
    assert!((0..4).all(|i| cluster.hosts[i].root == cluster.hosts[0].root));
}

/// Runs over several checkpoints and cuts while replica `victim` crashes at its `at`-th record, and brings it back.
/// Says whether there were that many records.
fn survives_crash(victim: usize, at: usize, leaves: bool) -> bool {
    let mut cluster = Cluster::without_history(4);
    cluster.hosts[victim].crash_at = Some((at, leaves));
    let mut is_crashed = false;
    let mut restart = |cluster: &mut Cluster| {
        if !cluster.hosts[victim].is_up && !is_crashed {
            is_crashed = true;
            cluster.run_until(3, |_| false);
            cluster.restart(victim);
        }
    };
    for number in 1..=46 {
        let is_done =
            |c: &Cluster| [0, 1, 2, 3].iter().filter(|i| c.committed(**i) >= Height(number)).count() >= 3;
        for _ in 0..100 {
            // The client asks everybody when it waits.
            (0..4).for_each(|i| cluster.request(i, number));
            if cluster.run_until(40, is_done) {
                break;
            }
            restart(&mut cluster);
        }
        restart(&mut cluster);
    }
    let is_done = |c: &Cluster| {
        (0..4)
            .all(|i| c.hosts[i].replica.status().executed >= Height(46) && c.hosts[i].root == c.hosts[1].root)
    };
    assert!(cluster.run_until(5_000, is_done), "victim {victim}, record {at}, {leaves}");
    cluster.assert_promises_kept(&[]);
    cluster.assert_one_history(&[]);
    is_crashed
}

/// [D1] [D2] [K1] Wherever in a log with checkpoints and cuts a replica stops, it breaks no promise.
#[test]
fn d2_a_crash_at_every_single_record_around_a_cut_breaks_no_promise() {
    for victim in [0, 2] {
        for leaves in [false, true] {
            let crashes = (120..).take_while(|at| survives_crash(victim, *at, leaves)).count();
            assert!(crashes > 10, "{crashes} records were written");
        }
    }
}

/// [K1] [X1] A replica whose disk is slow commits a window ahead of its state machine, no more, and blames nobody for
/// it; once its disk is done it follows.
#[test]
fn k1_who_waits_for_its_own_disk_blames_nobody() {
    let protocol = quorate_types::ProtocolParameters {
        checkpoint_interval: 4,
        window: 16,
        ..quorate_types::ProtocolParameters::default()
    };
    let mut cluster = Cluster::with(4, protocol);
    cluster.hosts[2].is_snapshotting = false;
    cluster.run_requests(1..=40);
    for number in 41..=60 {
        cluster.request(2, number);
        cluster.run_requests(number..=number);
        for _ in 0..10 {
            cluster.pass(Duration::from_millis(100));
            cluster.run_until(20, |_| false);
        }
    }
    assert_eq!((cluster.hosts[2].executed.len(), cluster.committed(2).0), (11, 27));
    assert_eq!(cluster.hosts[2].replica.status().asked, View(0));
    cluster.hosts[2].is_snapshotting = true;
    for head in std::mem::take(&mut cluster.hosts[2].snapshots_waiting) {
        cluster.give(2, Input::Snapshot(head));
    }
    assert!(cluster.run_until(3_000, |c| c.hosts[2].executed.len() >= 60));
    assert_eq!(cluster.hosts[2].replica.status().asked, View(0));
}

/// [K1] [X1] Where all disks are slow, the state machines wait with little behind them, and what clients asked for waits in
/// committed blocks: no primary is blamed for it.
#[test]
fn k1_where_all_wait_for_their_disks_nobody_is_blamed() {
    let protocol = quorate_types::ProtocolParameters {
        checkpoint_interval: 4,
        window: 64,
        ..quorate_types::ProtocolParameters::default()
    };
    let mut cluster = Cluster::with(4, protocol);
    for host in &mut cluster.hosts {
        host.is_snapshotting = false;
    }
    for number in 1..=11 {
        (0..4).for_each(|i| cluster.request(i, number));
        assert!(cluster.run_until(500, |c| c.hosts.iter().all(|host| host.executed.len() as u64 == number)));
    }
    for number in 12..=14 {
        (0..4).for_each(|i| cluster.request(i, number));
        cluster.run_until(500, |_| false);
    }
    for _ in 0..60 {
        cluster.pass(Duration::from_millis(100));
        cluster.run_until(20, |_| false);
    }
    for i in 0..4 {
        assert_eq!((cluster.hosts[i].executed.len(), cluster.committed(i).0), (11, 14), "replica {i}");
        assert_eq!(cluster.hosts[i].replica.status().asked, View(0), "replica {i}");
    }
}
