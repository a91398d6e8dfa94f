//! When and how a primary is replaced: rules X1 to X4.

mod common;
use common::{Cluster, Envelope, Made, id};
use quorate_consensus::{Cause, Event, Input, Limits};
use quorate_types::message::{Data, Fetch, Justify, Message, ViewProof};
use quorate_types::{Rejection, View};
use std::time::Duration;

fn asked(cluster: &Cluster, i: usize) -> View {
    cluster.hosts[i].replica.status().asked
}

fn cause(cluster: &Cluster, i: usize) -> Option<Cause> {
    cluster.hosts[i].events.iter().find_map(|event| match event {
        Event::ViewChange { cause, .. } => Some(*cause),
        _ => None,
    })
}

fn pass(cluster: &mut Cluster, millis: u64) {
    for _ in 0..millis {
        cluster.pass(Duration::from_millis(1));
    }
}

/// [X1] The view timer runs only while known work is uncommitted.
#[test]
fn x1_an_idle_replica_has_no_view_timer() {
    let mut cluster = Cluster::new(4);
    cluster.request(0, 1);
    assert!(cluster.run_until(50, |c| c.all_committed(1)));
    for _ in 0..100 {
        cluster.round();
        cluster.pass(Duration::from_secs(7));
    }
    assert!((0..4).all(|i| asked(&cluster, i) == View(0)));
}

/// [X1] A known request that stays uncommitted replaces the primary after the view timer.
#[test]
fn x1_the_view_timer_replaces_a_silent_primary() {
    let mut cluster = Cluster::new(4);
    cluster.request(2, 1);
    pass(&mut cluster, 499);
    assert_eq!(asked(&cluster, 2), View(0));
    pass(&mut cluster, 1);
    assert_eq!(asked(&cluster, 2), View(1));
    assert_eq!(cause(&cluster, 2), Some(Cause::Timer));
}

/// [X1] Progress restarts the timer: a primary that commits something in time stays.
#[test]
fn x1_progress_restarts_the_view_timer() {
    let mut cluster = Cluster::new(4);
    for number in 1..=10 {
        cluster.request(0, number);
        cluster.request(2, number + 20);
        // Replica 2's own request never reaches the primary, so it always knows of work.
        let no_request = |e: &Envelope| !matches!(e.message, Message::Request(_));
        cluster.run_where(190, no_request, |_| false);
    }
    assert_ne!(cause(&cluster, 2), Some(Cause::Timer));
}

/// [X1] The timer doubles with every failed view, up to its cap, and halves after 100 blocks.
#[test]
fn x1_the_timer_doubles_up_to_its_cap_and_halves() {
    let mut cluster = Cluster::new(4);
    for i in 1..4 {
        cluster.request(i, 1);
    }
    let mut asked_at = vec![cluster.now];
    // View changes are made, but no primary gets its first block through.
    let no_blocks = |e: &Envelope| !matches!(e.message, Message::Propose(_) | Message::Vote(_));
    for _ in 0..60_000 {
        let before = asked(&cluster, 1);
        cluster.round_where(no_blocks);
        cluster.pass(Duration::from_millis(1));
        if asked(&cluster, 1) > before {
            asked_at.push(cluster.now);
        }
    }
    let spans: Vec<u128> = asked_at.windows(2).map(|pair| pair[1].since(pair[0]).as_millis()).collect();
    assert!(spans[0] >= 499 && spans[0] < 520, "{spans:?}");
    assert!(spans[1] > 990 && spans[1] < 1_100, "{spans:?}");
    assert!(spans[2] > 1_900 && spans[2] < 2_200, "{spans:?}");
    assert!(spans.iter().all(|span| *span < 10_100), "capped at ten seconds: {spans:?}");
    assert!(spans.iter().filter(|span| **span > 9_900).count() >= 3, "{spans:?}");
    // 200 blocks halve it twice.
    let is_calm = |c: &Cluster| (0..4).all(|i| c.commands(i).len() == 1);
    assert!(cluster.run_until(30_000, is_calm));
    let primary = cluster.hosts[1].replica.status().primary.index();
    for number in 2..=620 {
        cluster.request(primary, number);
        cluster.run_until(10, |c| c.commands(primary).len() as u64 == number);
    }
    let view = asked(&cluster, 1);
    cluster.stop(primary);
    let backup = (primary + 1) % 4;
    cluster.request(backup, 900);
    pass(&mut cluster, 1_000);
    assert!(asked(&cluster, backup) > view, "after six hundred blocks it is short again");
}

/// [X1] W view changes for higher views are joined, f are not; the smallest of W is joined.
#[test]
fn x1_a_weak_quorum_of_view_changes_is_joined() {
    let mut cluster = Cluster::new(7);
    let qc = cluster.genesis_qc();
    for (i, view) in [(1, 9), (2, 4)] {
        let change = cluster.view_change(i, view, &qc, &[]);
        cluster.deliver(i, 6, Message::ViewChange(change.into()));
        cluster.deliver(i, 6, Message::ViewChange(cluster.view_change(i, view, &qc, &[]).into()));
    }
    assert_eq!(asked(&cluster, 6), View(0), "f = 2 may lie");
    let change = cluster.view_change(3, 6, &qc, &[]);
    cluster.deliver(3, 6, Message::ViewChange(change.into()));
    assert_eq!(asked(&cluster, 6), View(4));
    assert_eq!(cause(&cluster, 6), Some(Cause::Others));
}

/// [X1] The fairness clock: a primary that ignores one request while it proposes others is
/// replaced, although it always makes progress.
#[test]
fn x1_a_primary_that_ignores_one_request_is_replaced() {
    let mut cluster = Cluster::new(4);
    for i in 1..4 {
        cluster.request(i, 1_000);
    }
    let hide = |e: &Envelope| !(e.to == id(0) && matches!(e.message, Message::Request(_)));
    let mut number = 0;
    let mut is_replaced = false;
    for _ in 0..4_000 {
        if number < 900 && cluster.committed(0).0 >= number {
            number += 1;
            cluster.request(0, 1 + number);
        }
        cluster.round_where(hide);
        cluster.pass(Duration::from_millis(3));
        is_replaced |= (1..4).all(|i| cluster.hosts[i].replica.status().view > View(0));
        if is_replaced {
            break;
        }
    }
    assert!(is_replaced);
    assert!((1..4).any(|i| cause(&cluster, i) == Some(Cause::Fairness)));
    assert!(cluster.run_until(2_000, |c| {
        (1..4).all(|i| c.commands(i).iter().any(|command| command.as_ref() == b"command 1000"))
    }));
}

/// [X1] [R2] A client that gives its request to one backup alone does not get an honest primary
/// deposed, even if the first message to the primary is lost.
#[test]
fn x1_a_request_at_one_backup_deposes_nobody() {
    let mut cluster = Cluster::new(4);
    for number in 1..=40 {
        cluster.request(0, 2 * number);
        cluster.request(2, 2 * number + 1);
        let lost = |e: &Envelope| !matches!(e.message, Message::Request(_));
        cluster.round_where(lost);
        cluster.run_until(150, |c| c.commands(2).len() as u64 == 2 * number);
        assert_eq!(cluster.commands(2).len() as u64, 2 * number);
    }
    assert!((0..4).all(|i| asked(&cluster, i) == View(0)));
}

/// [X1] A primary whose blocks all lag behind the clock by more than the bound is replaced; one
/// lagging block, and then none, is no reason.
#[test]
fn x1_a_primary_whose_time_lags_is_replaced() {
    let lagging = |blocks: u64| {
        let mut cluster = Cluster::new(4);
        cluster.pass(Duration::from_secs(10));
        let old = common::START;
        let mut parent = cluster.genesis_id();
        for _ in 0..blocks {
            let block = cluster.block_at(0, parent, &[], old);
            cluster.deliver(0, 2, block.bare());
            for voter in [0, 1, 3] {
                let vote = cluster.vote(voter, 0, block.id());
                cluster.deliver(voter, 2, vote);
            }
            parent = block.id();
            cluster.pass(Duration::from_millis(300));
        }
        cluster.pass(Duration::from_secs(5));
        cause(&cluster, 2)
    };
    assert_eq!(lagging(1), None);
    assert_eq!(lagging(12), Some(Cause::Fairness));
}

/// [X2] Q view changes open a view, W alone do not, and neither does a quorum for different views.
#[test]
fn x2_a_quorum_of_view_changes_opens_a_view() {
    let mut cluster = Cluster::new(7);
    let qc = cluster.genesis_qc();
    for (i, view) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 3)] {
        let change = cluster.view_change(i, view, &qc, &[]);
        cluster.deliver(i, 6, Message::ViewChange(change.into()));
    }
    assert_eq!(cluster.hosts[6].replica.status().view, View(0));
    for i in [3, 4] {
        let change = cluster.view_change(i, 1, &qc, &[]);
        cluster.deliver(i, 6, Message::ViewChange(change.into()));
    }
    assert_eq!(cluster.hosts[6].replica.status().view, View(1));
}

/// [X2] A verified certificate of a later view opens it; one with too few signers is refused.
#[test]
fn x2_certificates_of_later_views_open_them() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(3, cluster.genesis_id(), &[1]);
    let weak = ViewProof::Quorum(cluster.qc(3, first.id(), &[0, 1]).into());
    cluster.deliver(1, 2, Message::Data(Data::View(weak)));
    assert!(cluster.is_refused(2, Rejection::BadCertificate));
    let doubled = ViewProof::Quorum(cluster.qc(3, first.id(), &[0, 1, 1]).into());
    cluster.deliver(1, 2, Message::Data(Data::View(doubled)));
    let few = ViewProof::ViewChange(cluster.empty_tc(5, &[0, 1]));
    cluster.deliver(1, 2, Message::Data(Data::View(few)));
    assert_eq!(cluster.hosts[2].replica.status().view, View(0));
    let proof = ViewProof::Quorum(cluster.qc(3, first.id(), &[0, 1, 3]).into());
    cluster.deliver(1, 2, Message::Data(Data::View(proof)));
    assert_eq!(cluster.hosts[2].replica.status().view, View(3));
    cluster.enter(2, 6, &[0, 1, 3]);
}

/// [X2] A replica that was left behind is shown why its view is over.
#[test]
fn x2_a_proof_of_the_view_is_served() {
    let mut cluster = Cluster::new(4);
    cluster.enter(2, 5, &[0, 1, 3]);
    cluster.wire.clear();
    cluster.deliver(3, 2, Message::Fetch(Fetch::View(View(4))));
    let is_proof = |m: &Message| matches!(m, Message::Data(Data::View(proof)) if proof.view() == View(5));
    assert_eq!(cluster.count_sent(2, is_proof), 1);
    cluster.deliver(3, 2, Message::Fetch(Fetch::View(View(5))));
    assert_eq!(cluster.count_sent(2, is_proof), 1);
}

/// [X2] Whoever is alone with its wish for a view does not move further: without Q its timer rests,
/// and it keeps sending all its view changes.
#[test]
fn x2_the_timer_of_the_next_view_waits_for_a_quorum() {
    let mut cluster = Cluster::new(4);
    cluster.request(2, 1);
    cluster.run_where(60_000, |_| false, |_| false);
    assert_eq!(asked(&cluster, 2), View(1));
    cluster.wire.clear();
    pass(&mut cluster, 200);
    assert!(cluster.count_sent(2, |m| matches!(m, Message::ViewChange(_))) >= 3, "it is sent again");
}

/// [X2] The view change carries the highest certificate and the claim up to the last vote of its
/// view, also when a later view was voted in.
#[test]
fn x2_votes_of_later_views_keep_the_claim() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(0, cluster.genesis_id(), &[1]);
    let second = cluster.block(0, first.id(), &[2]);
    cluster.deliver(0, 3, first.bare());
    cluster.deliver(0, 3, second.bare());
    let qc = cluster.genesis_qc();
    // The new view starts below what was claimed: its certificate has none of the claims.
    let tc = cluster.tc([0, 1, 2].map(|i| cluster.view_change(i, 1, &qc, &[])).to_vec());
    let base = cluster.block(1, cluster.genesis_id(), &[3]);
    cluster.deliver(1, 3, base.propose(Justify::ViewChange(tc)));
    assert_eq!(cluster.voted(3).last(), Some(&base.id()));
    let other = cluster.block(1, cluster.genesis_id(), &[4]);
    cluster.deliver(1, 3, other.bare());
    let change = cluster.sent_by(3).find_map(|m| if let Message::ViewChange(c) = m { Some(c) } else { None });
    let claim: Vec<_> = change.unwrap().claim.iter().map(|signed| signed.header.digest()).collect();
    assert_eq!(claim, [first.id().1, second.id().1]);
    // And it still has the batches, which a later primary needs.
    cluster.wire.clear();
    let ids = quorate_types::limited::Limited::take([first.id(), second.id()]);
    cluster.deliver(2, 3, Message::Fetch(Fetch::Blocks(ids)));
    assert_eq!(cluster.count_sent(3, |m| matches!(m, Message::Data(Data::Block { .. }))), 2);
}

/// [X3] The new primary counts a view change only once it holds the claimed blocks.
#[test]
fn x3_claimed_blocks_are_fetched_from_the_claimant_first() {
    let mut cluster = Cluster::new(4);
    let claimed = cluster.block(0, cluster.genesis_id(), &[1]);
    let qc = cluster.genesis_qc();
    let changes = [
        cluster.view_change(0, 1, &qc, &[]),
        cluster.view_change(2, 1, &qc, &[]),
        cluster.view_change(3, 1, &qc, &[&claimed]),
    ];
    cluster.hosts[1].is_syncing = false;
    for change in changes {
        let from = change.replica.index();
        cluster.deliver(from, 1, Message::ViewChange(change.into()));
    }
    cluster.wire.clear();
    pass(&mut cluster, 30);
    let asks = |e: &Envelope| matches!(&e.message, Message::Fetch(Fetch::Blocks(ids)) if ids.contains(&claimed.id()));
    let first = cluster.wire.iter().find(|e| asks(e)).map(|e| e.to);
    assert_eq!(first, Some(id(3)));
    cluster.hosts[1].is_syncing = true;
    cluster.deliver(3, 1, claimed.data());
    let first = cluster.sent_by(1).find_map(|m| if let Message::Propose(p) = m { Some(p) } else { None });
    assert!(first.is_some());
}

/// [X3] [select] The new primary leaves out an equivocator's view change where claims fork.
#[test]
fn x3_the_equivocator_is_replaced_by_another_signer() {
    let mut cluster = Cluster::new(4);
    let (left, right) =
        (cluster.block(0, cluster.genesis_id(), &[1]), cluster.block(0, cluster.genesis_id(), &[2]));
    // Replica 1, the next primary, and replica 2 voted for the left block, 3 for the right one.
    for (to, block) in [(1, &left), (2, &left), (3, &right)] {
        cluster.deliver(0, to, block.bare());
    }
    cluster.wire.clear();
    let lie = cluster.view_change(0, 1, &cluster.genesis_qc(), &[&right]);
    for to in 1..4 {
        cluster.deliver(0, to, Message::ViewChange(lie.clone().into()));
    }
    cluster.stop(0);
    for i in 1..4 {
        cluster.request(i, 5);
    }
    assert!(cluster.run_until(4_000, |c| (1..4).all(|i| c.committed(i).0 >= 2)));
    let tcs = cluster.promises.iter().filter_map(|(_, message)| match message {
        Message::Propose(propose) => match &propose.justify {
            Justify::ViewChange(tc) => Some((propose.header.header.parent, tc.clone())),
            _ => None,
        },
        _ => None,
    });
    for (parent, tc) in tcs.filter(|(_, tc)| tc.view() == View(1)) {
        assert!(tc.view_changes.iter().all(|change| change.replica != id(0)));
        assert_eq!(parent, left.id().1, "two of the three claims contain it");
    }
    cluster.assert_one_history(&[0]);
    cluster.assert_promises_kept(&[0]);
}

/// [X4] What an equivocating primary let one replica commit deep in its pipeline survives it.
#[test]
fn x4_equivocation_deep_in_the_pipeline_loses_no_commit() {
    for depth in [1, 3, 6] {
        let mut cluster = Cluster::new(4);
        let mut chain: Vec<Made> = Vec::new();
        for number in 1..=depth {
            let parent = chain.last().map_or(cluster.genesis_id(), Made::id);
            chain.push(cluster.block(0, parent, &[number]));
        }
        let base = chain.len() - 1;
        let parent = if base == 0 { cluster.genesis_id() } else { chain[base - 1].id() };
        let other = cluster.block(0, parent, &[99]);
        // Replicas 1 and 2 get the chain, replica 3 another last block.
        for block in &chain[..base] {
            (1..4).for_each(|to| cluster.deliver(0, to, block.bare()));
        }
        cluster.deliver(0, 1, chain[base].bare());
        cluster.deliver(0, 2, chain[base].bare());
        cluster.deliver(0, 3, other.bare());
        // Only replica 1 hears the votes that commit: those of 0, 1 and 2.
        let votes: Vec<Envelope> =
            cluster.wire.drain(..).filter(|e| e.from == id(2) && e.to == id(1)).collect();
        cluster.wire.extend(votes);
        cluster.round();
        let vote = cluster.vote(0, 0, chain[base].id());
        cluster.deliver(0, 1, vote);
        assert_eq!(cluster.committed(1).0, depth, "committed at one replica alone");
        cluster.wire.clear();
        // Whichever three view changes the next primaries see, the block stays.
        for change in [&chain[base], &other] {
            let mut claim: Vec<&Made> = chain[..base].iter().collect();
            claim.push(change);
            let lie = cluster.view_change(0, 1, &cluster.genesis_qc(), &claim);
            cluster.deliver(0, 1, Message::ViewChange(lie.clone().into()));
        }
        for i in 1..4 {
            cluster.request(i, 50);
        }
        cluster.stop(0);
        let is_done = |c: &Cluster| (1..4).all(|i| c.commands(i).iter().any(|c| c.as_ref() == b"command 50"));
        assert!(cluster.run_until(6_000, is_done), "depth {depth}");
        cluster.assert_one_history(&[0]);
        cluster.assert_promises_kept(&[0]);
    }
}

/// [X1] Evidence against an earlier primary deposes nobody now.
#[test]
fn x1_old_evidence_is_no_trigger() {
    let mut cluster = Cluster::new(4);
    let (one, two) =
        (cluster.block(0, cluster.genesis_id(), &[1]), cluster.block(0, cluster.genesis_id(), &[2]));
    let statement =
        |made: &Made| (quorate_types::Statement::Block(made.signed.header), made.signed.signature);
    let evidence =
        quorate_types::Evidence { replica: id(0), first: statement(&one), second: statement(&two) };
    cluster.enter(2, 1, &[0, 1, 3]);
    cluster.deliver(3, 2, Message::Evidence(evidence.clone().into()));
    assert_eq!(cluster.hosts[2].evidence.len(), 1);
    assert_eq!(asked(&cluster, 2), View(1));
    cluster.deliver(3, 1, Message::Evidence(evidence.into()));
    assert_eq!(asked(&cluster, 1), View(1), "in its view it is one");
}

/// [X1] A full pool refuses by name, and what it cannot hold is no known work.
#[test]
fn x1_what_the_pool_refuses_is_not_known_work() {
    let mut cluster = Cluster::new(4);
    cluster.limits = Limits { pool_bytes_max: 10, ..Limits::default() };
    cluster.restart(2);
    cluster.wire.clear();
    let (client, bundle) = (cluster.client.public(), cluster.bundle(1));
    cluster.give(2, Input::Request(client, bundle));
    assert!(cluster.is_refused(2, Rejection::Overloaded));
    pass(&mut cluster, 5_000);
    assert_eq!(asked(&cluster, 2), View(0));
}
