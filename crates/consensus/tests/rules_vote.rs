//! For which blocks a replica votes: rules V1 to V7.

mod common;
use common::Cluster;
use quorate_consensus::Record;
use quorate_types::certificate::QuorumCertificate;
use quorate_types::message::Justify;

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
