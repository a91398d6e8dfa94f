//! The equivocating primary: two chains that each fit together.

use quorate_types::certificate::SignedHeader;
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Justify, Message, Propose};
use quorate_types::{
    Batch, Checked, Digest, Evidence, Height, Justification, ReplicaId, Statement, Unverified, View,
};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::stage::{R0, R1, Stage, commit, status, vote_statement};
use crate::{EquivocateProposals, equivocate_deep, equivocate_proposals};

/// Broadcasts proposals; what each replica got of each.
fn propose(stage: &mut Stage, blocks: &[Propose]) -> Vec<BTreeMap<ReplicaId, Propose>> {
    let mut all = Vec::new();
    for block in blocks {
        let sent = stage.broadcast(Message::Propose(block.clone())).into_iter();
        let proposals = sent.map(|(to, message)| match message {
            Message::Propose(propose) => (to, propose),
            other => panic!("{other:?}"),
        });
        all.push(proposals.collect());
    }
    all
}

/// A replica that sees the second chain, and the blocks of that chain.
fn second_chain(seen: &[BTreeMap<ReplicaId, Propose>], first: &[Propose]) -> (ReplicaId, Vec<Propose>) {
    let last = seen.last().unwrap();
    let (replica, _) =
        last.iter().find(|(_, propose)| propose.header != first.last().unwrap().header).unwrap();
    (*replica, seen.iter().map(|block| block[replica].clone()).collect())
}

#[test]
fn both_parts_see_a_valid_chain_of_their_own() {
    for seed in 0..20 {
        let mut stage = Stage::new(4, equivocate_proposals(), seed);
        let blocks = stage.cluster.chain(View(0), 5);
        let seen = propose(&mut stage, &blocks);
        let (_, twins) = second_chain(&seen, &blocks);
        let mut parent = stage.cluster.membership.genesis_block();
        let mut time = quorate_types::Time(0);
        for (twin, (block, seen)) in twins.iter().zip(blocks.iter().zip(&seen)) {
            let header = &twin.header.header;
            assert_eq!((header.view, header.height), (View(0), block.header.header.height));
            assert_eq!(header.parent, parent);
            assert!(header.time >= time);
            (parent, time) = (header.digest(), header.time);
            let checked =
                stage.cluster.verifier().check(Unverified::Proposal(Box::new(twin.clone()))).unwrap();
            assert!(matches!(checked, Checked::Proposal(_, Justification::None, Ok(_))), "{checked:?}");
            // Neither side is empty, and there are two chains, not three.
            let first = seen.values().filter(|propose| *propose == block).count();
            let second = seen.values().filter(|propose| *propose == twin).count();
            assert!(first >= 1 && second >= 1 && first + second == 3);
            let evidence = Evidence {
                replica: R0,
                first: (Statement::Block(block.header.header), block.header.signature),
                second: (Statement::Block(*header), twin.header.signature),
            };
            evidence.check(&stage.cluster.membership).unwrap();
        }
        assert!(stage.byzantine.fired >= 5);
    }
}

#[test]
fn the_contents_differ_in_every_way() {
    let mut kinds = BTreeMap::new();
    for seed in 0..40 {
        let mut stage = Stage::new(4, equivocate_proposals(), seed);
        let blocks = stage.cluster.chain(View(0), 1);
        let seen = propose(&mut stage, &blocks);
        let (_, twins) = second_chain(&seen, &blocks);
        let batch = Batch::parse(twins[0].batch.clone()).unwrap();
        let is_same_batch = twins[0].batch == blocks[0].batch;
        *kinds.entry((batch.bundles().len(), is_same_batch)).or_insert(0) += 1;
    }
    let kinds: Vec<(usize, bool)> = kinds.into_keys().collect();
    assert_eq!(kinds, [(0, false), (2, false), (2, true)]);
}

#[test]
fn a_retransmission_tells_the_same_again() {
    let mut stage = Stage::new(4, equivocate_proposals(), 3);
    let blocks = stage.cluster.chain(View(0), 3);
    let first = propose(&mut stage, &blocks);
    assert_eq!(propose(&mut stage, &blocks), first);
}

#[test]
fn deep_equivocation_starts_after_honest_blocks() {
    let mut stage = Stage::new(4, equivocate_proposals().depth(3), 1);
    let blocks = stage.cluster.chain(View(0), 6);
    let seen = propose(&mut stage, &blocks);
    for (index, seen) in seen.iter().enumerate() {
        assert_eq!(seen.values().all(|propose| *propose == blocks[index]), index < 3, "block {index}");
    }
    let mut stage = Stage::new(4, equivocate_deep(), 1);
    let blocks = stage.cluster.chain(View(0), 16);
    let seen = propose(&mut stage, &blocks);
    assert!(seen[0].values().all(|propose| *propose == blocks[0]));
    let (_, twins) = second_chain(&seen, &blocks);
    let fork = twins.iter().zip(&blocks).position(|(twin, block)| twin != block).unwrap();
    assert!((1..=12).contains(&fork));
    assert_eq!(twins[fork].header.header.parent, blocks[fork - 1].header.header.digest());
}

/// A stage in which three blocks have twins.
fn forked(adversary: EquivocateProposals) -> (Stage, Vec<Propose>, ReplicaId, Vec<SignedHeader>) {
    let mut stage = Stage::new(4, adversary, 5);
    let blocks = stage.cluster.chain(View(0), 3);
    let seen = propose(&mut stage, &blocks);
    let (deceived, twins) = second_chain(&seen, &blocks);
    (stage, blocks, deceived, twins.iter().map(|twin| twin.header).collect())
}

#[test]
fn votes_commits_and_statuses_fit_the_chain_that_each_part_sees() {
    let (mut stage, blocks, deceived, twins) = forked(equivocate_proposals());
    let (first, second) = (blocks[1].header.header, twins[1].header);
    let vote = stage.cluster.vote(R0, &first);
    for (to, message) in stage.broadcast(Message::Vote(vote)) {
        let Message::Vote(sent) = message else { panic!() };
        if to == deceived {
            assert_eq!(sent.vote, vote_statement(&second));
        }
        let statement = Statement::Vote(sent.vote);
        stage.cluster.membership.check_statement(R0, &statement, &sent.signature).unwrap();
    }
    assert_eq!(stage.send(deceived, commit(&first)), [(deceived, commit(&second))]);
    let mut expected = status(&first);
    if let Message::Status(status) = &mut expected {
        status.committed = (Height(2), second.digest());
    }
    assert_eq!(stage.send(deceived, status(&first)), [(deceived, expected)]);
    // The parent's certificate would betray the other chain.
    let justify = Justify::Quorum(Arc::new(stage.cluster.certificate(&blocks[0].header.header)));
    let sent = stage.send(deceived, Message::Propose(Propose { justify, ..blocks[1].clone() }));
    assert!(matches!(&sent[..], [(_, Message::Propose(Propose { justify: Justify::None, .. }))]), "{sent:?}");
}

#[test]
fn fetches_are_answered_as_each_part_expects() {
    let (mut stage, blocks, deceived, twins) = forked(equivocate_proposals());
    let header = blocks[0].header;
    assert!(stage.send(deceived, Message::Data(Data::Header(header))).is_empty());
    let chain = Data::Chain(Limited::take(blocks.iter().map(|block| block.header)));
    let expected = Data::Chain(Limited::take(twins.iter().copied()));
    assert_eq!(stage.send(deceived, Message::Data(chain)), [(deceived, Message::Data(expected))]);
    let digest = twins[0].header.digest();
    let (is_heard, sent) = stage.receive(deceived, Message::Fetch(Fetch::Header(Height(1), digest)));
    assert!(is_heard);
    assert_eq!(sent, [(deceived, Message::Data(Data::Header(twins[0])))]);
    let wanted = Limited::take([(Height(1), digest), (Height(9), Digest([1; 32]))]);
    let (_, sent) = stage.receive(R1, Message::Fetch(Fetch::Blocks(wanted)));
    let [(R1, Message::Data(Data::Block { header, batch }))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*header, twins[0]);
    stage.cluster.verifier().check(Unverified::Block(*header, batch.clone())).unwrap();
}

#[test]
fn the_own_machine_does_not_hear_of_the_second_chain() {
    let (mut stage, blocks, deceived, twins) = forked(equivocate_proposals());
    let vote = stage.cluster.vote(deceived, &twins[0].header);
    assert_eq!(stage.receive(deceived, Message::Vote(vote)), (false, vec![]));
    let vote = stage.cluster.vote(R1, &blocks[0].header.header);
    assert_eq!(stage.receive(R1, Message::Vote(vote)), (true, vec![]));
    let twin = commit(&twins[0].header);
    assert_eq!(stage.receive(deceived, twin.clone()), (false, vec![(deceived, twin)]));
}

#[test]
fn view_changes_claim_the_chain_that_suits() {
    let mut claimed_second = 0;
    for seed in 0..10 {
        let mut stage = Stage::new(4, equivocate_proposals().depth(1), seed);
        let blocks = stage.cluster.chain(View(0), 3);
        let seen = propose(&mut stage, &blocks);
        let (deceived, twins) = second_chain(&seen, &blocks);
        let truth = stage.cluster.view_change(R0, View(1), stage.cluster.genesis_certificate(), &blocks);
        for (to, message) in stage.broadcast(Message::ViewChange(Arc::new(truth.clone()))) {
            let Message::ViewChange(sent) = message else { panic!() };
            stage.cluster.verifier().check(Unverified::ViewChange(Arc::clone(&sent))).unwrap();
            let expected: Vec<SignedHeader> = twins.iter().map(|twin| twin.header).collect();
            assert_eq!(sent.claim[0], blocks[0].header, "the honest block is in both");
            if to == deceived {
                assert_eq!(sent.claim.to_vec(), expected);
            }
            claimed_second += usize::from(sent.claim.to_vec() == expected);
        }
    }
    assert!(claimed_second > 10, "in some view changes everybody hears of the second chain");
}
