//! For which blocks a replica votes: rules V1 to V7.

mod common;
use common::{Cluster, Made, id};
use quorate_consensus::{Cause, Event, Record};
use quorate_types::certificate::QuorumCertificate;
use quorate_types::message::{Fetch, Justify, Message};
use quorate_types::{Batch, Bundle, Epoch, Height, Rejection, Time, View};
use std::time::Duration;

/// [V3] What the primary of a view sent before its first block does not count as part of the view:
/// a block is a first block only if it stands on what the certificate selects.
#[test]
fn v3_headers_sent_before_the_certificate_do_not_take_the_place_of_the_first_block() {
    let mut cluster = Cluster::new(4);
    let genesis = cluster.genesis_id();
    // Block 1 of view 0 is claimed by all, so the first block of view 1 stands on it at height 2.
    let claimed = cluster.block(0, genesis, &[1]);
    let qc: QuorumCertificate = cluster.genesis_qc();
    let changes = (0..3).map(|i| cluster.view_change(i, 1, &qc, &[&claimed])).collect();
    let tc = cluster.tc(changes);
    cluster.enter(3, 1, &[0, 1, 2]);
    // The Byzantine primary sends another chain first.
    let other_1 = cluster.block(1, genesis, &[2]);
    let other_2 = cluster.block(1, other_1.id(), &[3]);
    cluster.deliver(1, 3, other_1.bare());
    cluster.deliver(1, 3, other_2.bare());
    let first = cluster.block(1, claimed.id(), &[4]);
    cluster.deliver(1, 3, first.propose(Justify::ViewChange(tc)));
    cluster.deliver(1, 3, claimed.data());
    let voted = |record: &Record| matches!(record, Record::Vote(_));
    assert!(!cluster.hosts[3].log.iter().any(voted), "neither of them stands on the selected block");
}

/// [V1] Nobody votes in a view that it has asked to leave.
#[test]
fn v1_no_vote_after_a_view_change() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(0, cluster.genesis_id(), &[1]);
    let other = cluster.block(0, cluster.genesis_id(), &[2]);
    cluster.deliver(0, 2, first.bare());
    cluster.deliver(0, 2, other.bare());
    assert_eq!(cluster.hosts[2].replica.status().asked, View(1), "the primary equivocated");
    let second = cluster.block(0, first.id(), &[3]);
    cluster.deliver(0, 2, second.bare());
    assert_eq!(cluster.voted(2), [first.id()]);
}

/// [V1] Blocks of another cluster or epoch, of somebody who is not the primary, or with a bad
/// signature get no vote.
#[test]
fn v1_identity_and_signature_are_checked() {
    let mut cluster = Cluster::new(4);
    let good = cluster.block(0, cluster.genesis_id(), &[1]);
    let resign = |cluster: &Cluster, change: &dyn Fn(&mut quorate_types::Header)| {
        let mut header = good.signed.header;
        change(&mut header);
        Made { signed: cluster.sign_header(header), batch: good.batch.clone() }
    };
    let wrong_epoch = resign(&cluster, &|header| header.epoch = Epoch(1));
    cluster.deliver(0, 2, wrong_epoch.bare());
    assert!(cluster.is_refused(2, Rejection::WrongEpoch));
    let wrong_cluster = resign(&cluster, &|header| header.cluster = quorate_types::ClusterId::default());
    cluster.deliver(0, 2, wrong_cluster.bare());
    assert!(cluster.is_refused(2, Rejection::WrongCluster));
    let mut forged = good.clone();
    forged.signed.signature.0[0] ^= 1;
    cluster.deliver(0, 2, forged.bare());
    assert!(cluster.is_refused(2, Rejection::BadSignature));
    cluster.deliver(1, 2, good.bare());
    assert!(cluster.is_refused(2, Rejection::WrongPrimary));
    assert!(cluster.voted(2).is_empty());
    cluster.deliver(0, 2, good.bare());
    assert_eq!(cluster.voted(2), [good.id()]);
}

/// [V1] [P1] Above the window nobody votes; the first block of a view is exempt.
#[test]
fn v1_the_window_ends_votes_but_not_those_for_a_first_block() {
    let mut cluster = Cluster::new(4);
    let mut chain: Vec<Made> = Vec::new();
    for _ in 0..18 {
        let parent = chain.last().map_or(cluster.genesis_id(), Made::id);
        chain.push(cluster.block(0, parent, &[]));
    }
    for block in &chain {
        cluster.deliver(0, 2, block.bare());
    }
    assert_eq!(cluster.voted(2).last(), Some(&chain[15].id()), "the window is 16");
    let qc = cluster.genesis_qc();
    let claim: Vec<&Made> = chain[..16].iter().collect();
    let tc = cluster.tc([0, 2, 3].map(|i| cluster.view_change(i, 1, &qc, &claim)).to_vec());
    let first = cluster.block(1, chain[15].id(), &[]);
    cluster.deliver(1, 2, first.propose(Justify::ViewChange(tc)));
    assert_eq!(cluster.voted(2).last(), Some(&first.id()));
}

/// [V2] Once voted for a block, a replica votes in its view only above it.
#[test]
fn v2_no_second_vote_for_a_height() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(0, cluster.genesis_id(), &[1]);
    let other = cluster.block(0, cluster.genesis_id(), &[2]);
    let above = cluster.block(0, other.id(), &[3]);
    for block in [&first, &other, &above] {
        cluster.deliver(0, 2, block.bare());
        cluster.deliver(0, 2, block.bare());
    }
    assert_eq!(cluster.voted(2), [first.id()]);
}

/// [V2] A certificate for another chain does not make up for an own vote that it leaves out.
#[test]
fn v2_a_certificate_beside_the_own_vote_allows_no_vote_above_it() {
    let mut cluster = Cluster::new(4);
    let own = cluster.block(0, cluster.genesis_id(), &[1]);
    let other = cluster.block(0, cluster.genesis_id(), &[2]);
    let above = cluster.block(0, other.id(), &[3]);
    cluster.deliver(0, 2, own.bare());
    let justify = cluster.justify_qc(0, other.id(), &[0, 1, 3]);
    cluster.deliver(0, 2, above.propose(justify));
    assert_eq!(cluster.voted(2), [own.id()]);
}

/// [V3] A first block that extends another block than the selected one is refused.
#[test]
fn v3_the_first_block_extends_what_the_certificate_selects() {
    let mut cluster = Cluster::new(4);
    let genesis = cluster.genesis_id();
    let claimed = cluster.block(0, genesis, &[1]);
    let qc = cluster.genesis_qc();
    let tc = cluster.tc([0, 1, 2].map(|i| cluster.view_change(i, 1, &qc, &[&claimed])).to_vec());
    let wrong = cluster.block(1, genesis, &[2]);
    cluster.deliver(1, 3, wrong.propose(Justify::ViewChange(tc.clone())));
    assert!(cluster.is_refused(3, Rejection::WrongBase));
    assert!(cluster.voted(3).is_empty());
    let right = cluster.block(1, claimed.id(), &[2]);
    cluster.deliver(1, 3, right.propose(Justify::ViewChange(tc)));
    assert!(cluster.voted(3).is_empty(), "V4: the claimed block's batch is missing");
    // The height of the genuine one with the parent of another block.
    let mut header = right.signed.header;
    header.height = Height(7);
    let skewed = Made { signed: cluster.sign_header(header), batch: right.batch };
    let tc = cluster.tc([0, 1, 2].map(|i| cluster.view_change(i, 1, &qc, &[&claimed])).to_vec());
    cluster.deliver(1, 0, skewed.propose(Justify::ViewChange(tc)));
    assert!(cluster.is_refused(0, Rejection::WrongBase));
}

/// [V3] A certificate that selects nothing, because the primary that forked is a signer.
#[test]
fn v3_a_certificate_with_an_equivocator_is_refused() {
    let mut cluster = Cluster::new(4);
    let genesis = cluster.genesis_id();
    let (left, right) = (cluster.block(0, genesis, &[1]), cluster.block(0, genesis, &[2]));
    let qc = cluster.genesis_qc();
    let changes = vec![
        cluster.view_change(0, 1, &qc, &[&right]),
        cluster.view_change(1, 1, &qc, &[&left]),
        cluster.view_change(2, 1, &qc, &[&left]),
    ];
    let tc = cluster.tc(changes);
    let first = cluster.block(1, left.id(), &[3]);
    cluster.deliver(1, 3, first.propose(Justify::ViewChange(tc)));
    assert!(cluster.is_refused(3, Rejection::BadCertificate));
    assert!(cluster.voted(3).is_empty());
}

/// [V3] Above the first block of a view nobody votes without a certificate of the view.
#[test]
fn v3_no_vote_above_the_first_block_without_its_certificate() {
    let mut cluster = Cluster::new(4);
    let tc = cluster.empty_tc(1, &[0, 1, 2]);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    let second = cluster.block(1, first.id(), &[2]);
    cluster.deliver(1, 3, first.propose(Justify::ViewChange(tc)));
    cluster.deliver(1, 3, second.bare());
    assert_eq!(cluster.voted(3), [first.id()]);
    let third = cluster.block(1, second.id(), &[3]);
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2]);
    cluster.deliver(1, 3, third.propose(justify));
    assert_eq!(cluster.voted(3), [first.id(), second.id(), third.id()]);
}

/// [V3] At most 64 blocks between a vote and the certificate that it extends, so that a claim holds
/// them all.
#[test]
fn v3_votes_stay_within_64_blocks_of_the_certificate() {
    let parameters = quorate_types::ProtocolParameters { window: 4096, ..Default::default() };
    let mut cluster = Cluster::with(4, parameters);
    let mut chain: Vec<Made> = Vec::new();
    for _ in 0..70 {
        let parent = chain.last().map_or(cluster.genesis_id(), Made::id);
        chain.push(cluster.block(0, parent, &[]));
        cluster.deliver(0, 2, chain[chain.len() - 1].bare());
    }
    assert_eq!(cluster.voted(2).last(), Some(&chain[63].id()));
    let above = cluster.block(0, chain[69].id(), &[]);
    let justify = cluster.justify_qc(0, chain[9].id(), &[0, 1, 3]);
    cluster.deliver(0, 2, above.propose(justify));
    assert_eq!(cluster.voted(2).last(), Some(&above.id()), "height 71 is 61 above the certificate");
    // What it would claim is complete and reaches back to the certificate.
    let other = cluster.block(0, chain[69].id(), &[1]);
    cluster.deliver(0, 2, other.bare());
    let change = cluster.sent_by(2).find_map(|m| if let Message::ViewChange(c) = m { Some(c) } else { None });
    let claim: Vec<_> = change.unwrap().claim.iter().map(|signed| signed.header.height.0).collect();
    assert_eq!(claim, (11..=71).collect::<Vec<_>>());
}

/// [V4] Without the batches of a block and its ancestors nobody votes; they are fetched from the
/// primary first, then from others.
#[test]
fn v4_no_vote_before_the_batches_are_there() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(0, cluster.genesis_id(), &[1]);
    let second = cluster.block(0, first.id(), &[2]);
    cluster.deliver(0, 2, second.bare());
    assert!(cluster.voted(2).is_empty());
    let mut asked = Vec::new();
    for _ in 0..600 {
        cluster.pass(Duration::from_millis(1));
        for envelope in cluster.wire.drain(..) {
            if envelope.from == id(2) && matches!(envelope.message, Message::Fetch(Fetch::Blocks(_))) {
                asked.push(envelope.to);
            }
        }
    }
    assert_eq!(asked[..3], [id(0), id(1), id(3)]);
    cluster.deliver(1, 2, first.data());
    assert_eq!(cluster.voted(2), [first.id(), second.id()]);
}

/// [V5] A batch with a request that is not authentic gets no vote, and neither does what stands on it.
#[test]
fn v5_no_vote_for_a_forged_request_nor_above_it() {
    let mut cluster = Cluster::new(4);
    let mut raw = cluster.bundle(1).to_vec();
    *raw.last_mut().unwrap() ^= 1;
    let batch = Batch::new(vec![Bundle::parse(raw.into()).unwrap()]);
    let forged = cluster.block_of(0, cluster.genesis_id(), batch, cluster.now);
    let above = cluster.block(0, forged.id(), &[2]);
    cluster.deliver(0, 2, forged.bare());
    assert!(cluster.is_refused(2, Rejection::BadBatch));
    cluster.deliver(0, 2, above.bare());
    assert!(cluster.voted(2).is_empty());
}

/// [V5] A claimed ancestor of another view is checked like any block, before the first vote on top.
#[test]
fn v5_uncommitted_ancestors_of_older_views_are_checked() {
    let mut cluster = Cluster::new(4);
    let mut raw = cluster.bundle(1).to_vec();
    *raw.last_mut().unwrap() ^= 1;
    let batch = Batch::new(vec![Bundle::parse(raw.into()).unwrap()]);
    let forged = cluster.block_of(0, cluster.genesis_id(), batch, cluster.now);
    let qc = cluster.genesis_qc();
    let tc = cluster.tc([0, 1, 2].map(|i| cluster.view_change(i, 1, &qc, &[&forged])).to_vec());
    let first = cluster.block(1, forged.id(), &[2]);
    cluster.deliver(1, 3, first.propose(Justify::ViewChange(tc)));
    cluster.wire.clear();
    for _ in 0..200 {
        cluster.pass(Duration::from_millis(1));
    }
    let asks = |m: &Message| matches!(m, Message::Fetch(Fetch::Blocks(ids)) if ids.contains(&forged.id()));
    assert!(cluster.count_sent(3, asks) > 0, "V4");
    cluster.deliver(1, 3, forged.data());
    assert!(cluster.voted(3).is_empty());
}

/// [V5] The agreed time never runs back.
#[test]
fn v5_no_vote_for_a_time_before_the_parents() {
    let mut cluster = Cluster::new(4);
    let first = cluster.block(0, cluster.genesis_id(), &[1]);
    let earlier = Time(cluster.now.0 - 1);
    let second = cluster.block_at(0, first.id(), &[2], earlier);
    cluster.deliver(0, 2, first.bare());
    cluster.deliver(0, 2, second.bare());
    cluster.pass(Duration::from_secs(5));
    cluster.deliver(0, 2, second.bare());
    assert_eq!(cluster.voted(2), [first.id()]);
}

/// [V5] A time too far ahead of the own clock waits until the clock comes near, no longer.
#[test]
fn v5_a_block_from_the_future_waits_for_the_clock() {
    let mut cluster = Cluster::new(4);
    let time = cluster.now.after(Duration::from_millis(2_300));
    let block = cluster.block_at(0, cluster.genesis_id(), &[1], time);
    cluster.deliver(0, 2, block.bare());
    assert!(cluster.voted(2).is_empty(), "the bound is two seconds");
    cluster.pass(Duration::from_millis(299));
    assert!(cluster.voted(2).is_empty());
    cluster.pass(Duration::from_millis(1));
    assert_eq!(cluster.voted(2), [block.id()]);
}

/// [V7] Two headers for one height convict the primary: reported once, passed on once, and the
/// view is left.
#[test]
fn v7_two_headers_convict_the_primary() {
    let mut cluster = Cluster::new(4);
    let (one, two) =
        (cluster.block(0, cluster.genesis_id(), &[1]), cluster.block(0, cluster.genesis_id(), &[2]));
    cluster.deliver(0, 1, one.bare());
    for to in [2, 3] {
        cluster.deliver(0, to, two.bare());
    }
    assert!(cluster.hosts.iter().all(|host| host.evidence.is_empty()));
    // The votes tell that there are two; the headers are fetched.
    assert!(cluster.run_until(20, |c| (1..4).all(|i| c.hosts[i].evidence.len() == 1)));
    cluster.run_until(300, |_| false);
    for i in 1..4 {
        assert_eq!(cluster.hosts[i].evidence.len(), 1, "replica {i}");
        assert_eq!(cluster.hosts[i].evidence[0].replica, id(0));
        assert!(cluster.hosts[i].replica.status().view > View(0));
    }
    let caused = |host: &common::Host| {
        let mut events = host.events.iter();
        events.any(|event| matches!(event, Event::ViewChange { cause: Cause::Equivocation, .. }))
    };
    assert!(cluster.hosts.iter().filter(|host| caused(host)).count() >= 2);
}

/// [V7] A vote that came before the header is compared with it too.
#[test]
fn v7_a_vote_that_came_first_is_looked_into() {
    let mut cluster = Cluster::new(4);
    let (one, two) =
        (cluster.block(0, cluster.genesis_id(), &[1]), cluster.block(0, cluster.genesis_id(), &[2]));
    let vote = cluster.vote(1, 0, two.id());
    cluster.deliver(1, 2, vote);
    cluster.deliver(0, 2, one.bare());
    let asks = |m: &Message| *m == Message::Fetch(Fetch::Header(two.id().0, two.id().1));
    assert_eq!(cluster.count_sent(2, asks), 1);
    cluster.deliver(1, 2, two.header());
    assert_eq!(cluster.hosts[2].evidence.len(), 1);
}

/// [V7] A primary that equivocates about a block that is already committed is convicted as well.
#[test]
fn v7_equivocation_below_the_tip_is_found() {
    let mut cluster = Cluster::new(4);
    for number in 1..=6 {
        cluster.request(0, number);
        assert!(cluster.run_until(50, |c| c.all_committed(number)));
    }
    let genesis = cluster.genesis_id();
    for (height, to) in [(1, 1), (5, 2), (6, 3)] {
        let mut header = cluster.block(0, genesis, &[9]).signed.header;
        header.height = Height(height);
        let other =
            Made { signed: cluster.sign_header(header), batch: cluster.block(0, genesis, &[9]).batch };
        cluster.deliver(0, to, other.bare());
        assert_eq!(cluster.hosts[to].evidence.len(), 1, "height {height}");
    }
}

/// [V7] Two votes of one replica are evidence against it, and no reason to leave the view.
#[test]
fn v7_two_votes_convict_their_voter() {
    let mut cluster = Cluster::new(4);
    let (one, two) =
        (cluster.block(0, cluster.genesis_id(), &[1]), cluster.block(0, cluster.genesis_id(), &[2]));
    for block in [&one, &two, &two] {
        let vote = cluster.vote(3, 0, block.id());
        cluster.deliver(3, 2, vote);
    }
    assert_eq!(cluster.hosts[2].evidence.len(), 1);
    assert_eq!(cluster.hosts[2].evidence[0].replica, id(3));
    assert_eq!(cluster.hosts[2].replica.status().asked, View(0));
    let passed_on = |e: &common::Envelope| matches!(e.message, Message::Evidence(_));
    assert!(cluster.run_where(20, passed_on, |c| c.hosts[1].evidence.len() == 1));
    assert_eq!(cluster.hosts[0].evidence.len(), 1);
}
