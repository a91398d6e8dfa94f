//! When blocks are committed: rules C1 to C5, each shown by what would go wrong without it.

mod common;
use common::Cluster;

/// [C1] A replica that has not seen the certificate of a view does not know which block is its
/// first one; votes alone commit nothing there.
#[test]
fn c1_votes_do_not_commit_the_first_block_of_a_view_whose_certificate_was_not_seen() {
    let mut cluster = Cluster::new(4);
    cluster.enter(3, 1, &[0, 1, 2]);
    let first = cluster.block(1, cluster.genesis_id(), &[1]);
    cluster.deliver(1, 3, first.bare());
    for voter in 0..3 {
        let vote = cluster.vote(voter, 1, first.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.committed(3).0, 0);
    let second = cluster.block(1, first.id(), &[2]);
    let justify = cluster.justify_qc(1, first.id(), &[0, 1, 2]);
    cluster.deliver(1, 3, second.propose(justify));
    for voter in 0..3 {
        let vote = cluster.vote(voter, 1, second.id());
        cluster.deliver(voter, 3, vote);
    }
    assert_eq!(cluster.committed(3).0, 2, "a block above the certified one commits both");
}
