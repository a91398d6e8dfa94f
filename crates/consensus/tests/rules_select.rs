//! From which block does a view go on? Every case of `select`, and its agreement with a model that
//! knows nothing but the definition.

mod common;
use common::{Cluster, Made, id};
use proptest::prelude::*;
use quorate_consensus::{BlockId, PrimaryEquivocated, select};
use quorate_types::certificate::ViewChange;
use quorate_types::{Quorums, ReplicaId, View};

/// Two chains of one view that fork above `common` blocks, seven blocks each.
struct Fork {
    cluster: Cluster,
    left: Vec<Made>,
    right: Vec<Made>,
}

impl Fork {
    fn new(n: usize, view: u64, common: usize) -> Self {
        let cluster = Cluster::new(n);
        let chain = |numbers: u64, start: &[Made]| {
            let mut chain = start.to_vec();
            while chain.len() < 7 {
                let parent = chain.last().map_or(cluster.genesis_id(), Made::id);
                chain.push(cluster.block(view, parent, &[numbers]));
            }
            chain
        };
        let left = chain(1, &[]);
        let right = chain(2, &left[..common]);
        Self { cluster, left, right }
    }

    /// A view change for view 2 from a certificate at height `qc` of the left chain (0 is genesis)
    /// whose claim reaches up to height `top` of the chain.
    fn change(&self, i: usize, view: u64, qc: usize, chain: &[Made], top: usize) -> ViewChange {
        let certificate = match qc {
            0 => self.cluster.genesis_qc(),
            _ => self.cluster.qc(view, self.left[qc - 1].id(), &[0]),
        };
        let claim: Vec<&Made> = chain.iter().take(top).skip(qc).collect();
        self.cluster.view_change(i, 2, &certificate, &claim)
    }

    fn select(&self, changes: &[ViewChange]) -> Result<BlockId, PrimaryEquivocated> {
        let quorums = Quorums::new(self.cluster.hosts.len()).unwrap();
        let membership = &self.cluster.membership;
        select(&changes.iter().collect::<Vec<_>>(), quorums, |view| membership.primary(view))
    }
}

#[test]
fn without_claims_the_certified_block_is_selected() {
    let fork = Fork::new(4, 1, 7);
    let changes = [(0, 2), (2, 5), (3, 3)].map(|(i, qc)| fork.change(i, 1, qc, &fork.left, qc));
    assert_eq!(fork.select(&changes), Ok(fork.left[4].id()));
    let genesis = [0, 2, 3].map(|i| fork.change(i, 0, 0, &[], 0));
    assert_eq!(fork.select(&genesis), Ok(fork.cluster.genesis_id()));
}

#[test]
fn on_one_chain_the_longest_claim_is_selected() {
    let fork = Fork::new(4, 1, 7);
    let changes =
        [(0, 2, 4), (2, 3, 6), (3, 1, 5)].map(|(i, qc, top)| fork.change(i, 1, qc, &fork.left, top));
    assert_eq!(fork.select(&changes), Ok(fork.left[5].id()), "one claim is enough");
}

#[test]
fn a_claim_above_a_lower_certificate_of_the_same_view_counts() {
    let fork = Fork::new(4, 1, 7);
    let changes = [
        fork.change(0, 1, 4, &fork.left, 4),
        fork.change(2, 1, 1, &fork.left, 7),
        fork.change(3, 1, 4, &fork.left, 5),
    ];
    assert_eq!(fork.select(&changes), Ok(fork.left[6].id()));
}

#[test]
fn a_claim_of_an_older_view_is_ignored() {
    let old = Fork::new(4, 0, 7);
    let new = Fork::new(4, 1, 7);
    let changes = [
        old.change(0, 0, 0, &old.left, 7),
        new.change(2, 1, 1, &new.left, 2),
        new.change(3, 1, 1, &new.left, 1),
    ];
    assert_eq!(new.select(&changes), Ok(new.left[1].id()));
}

#[test]
fn a_claim_that_does_not_contain_the_certified_block_is_ignored() {
    let fork = Fork::new(4, 1, 1);
    let changes = [
        fork.change(0, 1, 3, &fork.left, 4),
        fork.change(2, 1, 1, &fork.right, 7),
        // A claim that ends below the certificate.
        fork.change(3, 1, 1, &fork.left, 2),
    ];
    assert_eq!(fork.select(&changes), Ok(fork.left[3].id()), "and is no fork either");
}

#[test]
fn a_fork_with_the_primary_among_the_signers_is_refused() {
    let fork = Fork::new(4, 1, 2);
    let changes = [
        fork.change(0, 1, 1, &fork.left, 4),
        fork.change(1, 1, 1, &fork.left, 1),
        fork.change(3, 1, 1, &fork.right, 4),
    ];
    assert_eq!(fork.select(&changes), Err(PrimaryEquivocated(id(1))));
}

#[test]
fn on_a_fork_without_the_primary_support_decides() {
    let fork = Fork::new(4, 1, 2);
    let changes = |tops: [(usize, bool, usize); 3]| {
        tops.map(|(i, is_left, top)| {
            fork.change(i, 1, 1, if is_left { &fork.left } else { &fork.right }, top)
        })
    };
    let left_wins = changes([(0, true, 5), (2, false, 7), (3, true, 4)]);
    assert_eq!(fork.select(&left_wins), Ok(fork.left[3].id()), "S = 2 claims contain height 4");
    let neither = changes([(0, true, 5), (2, false, 7), (3, true, 1)]);
    assert_eq!(fork.select(&neither), Ok(fork.left[1].id()), "both contain what lies below the fork");
}

#[test]
fn on_a_fork_without_support_the_certified_block_is_selected() {
    let fork = Fork::new(4, 1, 1);
    let changes = [
        fork.change(0, 1, 1, &fork.left, 5),
        fork.change(2, 1, 1, &fork.right, 7),
        fork.change(3, 1, 1, &fork.left, 1),
    ];
    assert_eq!(fork.select(&changes), Ok(fork.left[0].id()));
}

/// One signer: its certificate's view and height, which chain it claims, and up to where.
type Signer = (u64, usize, bool, usize);

/// The definition, by heights alone: `block(view, is_left, height)` names a block, equal below the
/// fork.
fn model(signers: &[(usize, Signer)], common: usize, support: usize) -> Result<(u64, bool, usize), usize> {
    let name = |view: u64, is_left: bool, height: usize| (view, is_left || height <= common, height);
    let (view, q) = signers.iter().map(|(_, s)| (s.0, s.1)).max().unwrap();
    let contains = |signer: &Signer, block: (u64, bool, usize)| {
        let top = signer.3.max(signer.1);
        let is_inside = block.2 >= signer.1 && block.2 <= top;
        // At its certificate a signer is on the left chain.
        let is_left = signer.2 || block.2 == signer.1;
        signer.0 == block.0 && is_inside && name(signer.0, is_left, block.2) == block
    };
    let certified = name(view, true, q);
    let claims: Vec<&Signer> = signers.iter().map(|(_, s)| s).filter(|s| contains(s, certified)).collect();
    let blocks: Vec<_> = (q..=7)
        .flat_map(|height| [name(view, true, height), name(view, false, height)])
        .filter(|block| claims.iter().any(|s| contains(s, *block)))
        .collect();
    let forks = blocks.iter().any(|a| blocks.iter().any(|b| a.2 == b.2 && a != b));
    if !forks {
        return Ok(blocks.iter().max_by_key(|block| block.2).copied().unwrap_or(certified));
    }
    let primary = view as usize;
    if signers.iter().any(|(i, _)| *i == primary) {
        return Err(primary);
    }
    let supported =
        blocks.into_iter().filter(|b| claims.iter().filter(|s| contains(s, *b)).count() >= support);
    Ok(supported.max_by_key(|block| block.2).unwrap_or(certified))
}

fn signer(common: usize) -> impl Strategy<Value = Signer> {
    // A claim on the right chain starts below the fork, or it would have a gap.
    (0..2u64, 0..=7usize, any::<bool>(), 0..=7usize)
        .prop_map(move |(view, qc, is_left, top)| (view, qc, is_left || qc > common, top))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn select_is_what_its_definition_says(
        (common, is_large, absent, signers) in (0..=7usize).prop_flat_map(|common| {
            (Just(common), any::<bool>(), 0..4usize, prop::collection::vec(signer(common), 5))
        })
    ) {
        // n = 4 with three signers, or n = 7 with five.
        let n = if is_large { 7 } else { 4 };
        let quorums = Quorums::new(n).unwrap();
        let members = (0..n).filter(|i| *i != absent);
        let signers: Vec<(usize, Signer)> = members.zip(signers).take(quorums.quorum()).collect();
        let forks = [Fork::new(n, 0, common), Fork::new(n, 1, common)];
        let changes: Vec<ViewChange> = signers
            .iter()
            .map(|(i, (view, qc, is_left, top))| {
                let fork = &forks[*view as usize];
                let chain = if *is_left { &fork.left } else { &fork.right };
                fork.change(*i, *view, *qc, chain, *top)
            })
            .collect();
        // The certificate of genesis belongs to view 0.
        let of_genesis = |(i, s): &(usize, Signer)| (*i, if s.1 == 0 { (0, s.1, s.2, s.3) } else { *s });
        let expected = model(&signers.iter().map(of_genesis).collect::<Vec<_>>(), common, quorums.support());
        let is_mixed = signers.iter().any(|(_, s)| s.1 == 0 && s.0 == 1 && s.3 > 0);
        prop_assume!(!is_mixed);
        let selected = forks[0].select(&changes);
        match expected {
            Err(primary) => prop_assert_eq!(selected, Err(PrimaryEquivocated(id(primary)))),
            Ok((_, _, 0)) => prop_assert_eq!(selected, Ok(forks[0].cluster.genesis_id())),
            Ok((view, is_left, height)) => {
                let fork = &forks[view as usize];
                let chain = if is_left { &fork.left } else { &fork.right };
                prop_assert_eq!(selected, Ok(chain[height - 1].id()));
            }
        }
    }
}

/// The primary of a view is the replica at the view's number modulo n.
#[test]
fn primaries_take_turns() {
    let cluster = Cluster::new(4);
    let primaries: Vec<ReplicaId> = (0..6).map(|view| cluster.membership.primary(View(view))).collect();
    assert_eq!(primaries, [0, 1, 2, 3, 0, 1].map(id));
}
