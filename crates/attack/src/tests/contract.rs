//! What holds for every attack: its name, that it happens, that it is its seed's alone, and that
//! it never has a signature of an honest replica that the replica did not make.

use bytes::Bytes;
use quorate_types::certificate::{QuorumCertificate, SignedHeader, ViewChange, ViewChangeCertificate};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Justify, Message, Outcome, ReplicaMessage, Reply, ViewProof};
use quorate_types::{Digest, Height, ReplicaId, RequestNumber, Signature, StateHead, Statement, Time, View};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, R2, Stage, commit, status};
use crate::Attack;

#[test]
fn names_are_unique_and_have_two_forms() {
    let mut names = BTreeSet::new();
    for attack in Attack::ALL {
        assert!(names.insert(attack.name()));
        assert_eq!(attack.build().name(), attack.name());
        assert_eq!(Attack::from_name(attack.name()), Some(*attack));
        assert_eq!(attack.to_string().parse(), Ok(*attack));
        assert!(!attack.to_string().contains('_'));
        assert!(attack.describe().ends_with('.'));
    }
    assert_eq!("equivocate-proposals".parse(), Ok(Attack::EquivocateProposals));
    let error = "be-nice".parse::<Attack>().unwrap_err().to_string();
    assert!(error.contains("`be-nice`") && error.contains("equivocate-votes"), "{error}");
    assert!(Attack::EquivocateDeep.is_primary_attack() && !Attack::Silent.is_primary_attack());
}

/// What a replica sends that leads view 0, is deposed, votes in view 1 and leads view 4, together
/// with what it hears from others. Gives everything that was heard and said.
fn run(stage: &mut Stage) -> (Vec<Message>, Vec<(ReplicaId, Message)>) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut parent = (Height(0), stage.cluster.membership.genesis_block());
    let mut certificate = stage.cluster.genesis_certificate();
    for view in [View(0), View(1), View(4)] {
        stage.status.view = view;
        stage.status.asked = view;
        let blocks = stage.cluster.proposals(view, parent, 16);
        for (index, block) in blocks.iter().enumerate() {
            stage.now = stage.now.after(std::time::Duration::from_millis(50));
            let header = block.header.header;
            let mut block = block.clone();
            if index == 1 {
                certificate = stage.cluster.certificate(&blocks[0].header.header);
                block.justify = Justify::Quorum(Arc::new(certificate.clone()));
            }
            let is_own = stage.cluster.membership.primary(view) == R0;
            let mut said = vec![
                Message::Vote(stage.cluster.vote(R0, &header)),
                commit(&header),
                status(&header),
                Message::CheckpointVote(stage.cluster.checkpoint_vote(R0, &header)),
                Message::Data(Data::Header(block.header)),
            ];
            said.extend(state(block.header));
            said.push(Message::Data(Data::Block { header: block.header, batch: block.batch.clone() }));
            let chain = blocks.iter().take(index + 1).map(|block| block.header);
            said.push(Message::Data(Data::Chain(Limited::take(chain))));
            said.push(Message::Request(stage.cluster.batch(1, 1).bundles()[0].raw().clone()));
            let mut heard: Vec<Message> =
                [R1, R2].map(|voter| Message::Vote(stage.cluster.vote(voter, &header))).to_vec();
            heard.extend(
                [R1, R2].map(|voter| Message::CheckpointVote(stage.cluster.checkpoint_vote(voter, &header))),
            );
            heard.extend([Message::Fetch(Fetch::View(view)), Message::Fetch(Fetch::State(header.height))]);
            heard.push(Message::Fetch(Fetch::Chunks(Limited::take([Digest([1; 32])]))));
            let id = (header.height, header.digest());
            heard.push(Message::Fetch(Fetch::Header(id.0, id.1)));
            heard.push(Message::Fetch(Fetch::Blocks(Limited::take([id]))));
            heard.push(Message::Fetch(Fetch::Chain(id.0.minus(1))));
            let place = if is_own { &mut said } else { &mut heard };
            place.insert(0, Message::Propose(block));
            for message in said {
                input.push(message.clone());
                output.extend(stage.broadcast(message));
            }
            for message in heard {
                input.push(message.clone());
                output.extend(stage.receive(R1, message).1);
            }
            output.extend(stage.timeout(stage.now));
        }
        let asks = |replica| {
            let claim = &blocks[1..];
            Message::ViewChange(Arc::new(stage.cluster.view_change(
                replica,
                view.next(),
                certificate.clone(),
                claim,
            )))
        };
        let (own, other) = (asks(R0), asks(R1));
        input.extend([own.clone(), other.clone()]);
        output.extend(stage.receive(R1, other).1);
        output.extend(stage.broadcast(own));
        let last = blocks.last().unwrap().header.header;
        parent = (last.height, last.digest());
    }
    (input, output)
}

/// The answers to a laggard.
fn state(header: SignedHeader) -> Vec<Message> {
    let head = Arc::new(StateHead { height: header.header.height, ..StateHead::default() });
    let chunk = |number: u8| Message::Data(Data::Chunk(Bytes::from(vec![number; 8])));
    vec![Message::Data(Data::State { header, head }), chunk(1), chunk(2), chunk(3)]
}

/// The first block of view 8 by its primary, on a block that three replicas claim.
fn first_block(stage: &Stage) -> Message {
    let claim = stage.cluster.chain(View(0), 2);
    let tip = claim[1].header.header;
    let genesis = || stage.cluster.genesis_certificate();
    let asks = [R0, R1, R2].map(|replica| stage.cluster.view_change(replica, View(8), genesis(), &claim));
    let certificate = ViewChangeCertificate { view_changes: Limited::take(asks) };
    let mut block = stage.cluster.proposals(View(8), (tip.height, tip.digest()), 1).remove(0);
    block.justify = Justify::ViewChange(Arc::new(certificate));
    Message::Propose(block)
}

fn in_header(header: &SignedHeader, primary: ReplicaId) -> (ReplicaId, Statement, Signature) {
    (primary, Statement::Block(header.header), header.signature)
}

fn in_certificate(certificate: &QuorumCertificate) -> Vec<(ReplicaId, Statement, Signature)> {
    let statement = Statement::Vote(certificate.vote);
    certificate.signatures.iter().map(|(voter, signature)| (*voter, statement, *signature)).collect()
}

/// Every signature in a message and whose it claims to be, if it verifies.
fn signatures(stage: &Stage, sender: ReplicaId, message: &Message) -> Vec<(ReplicaId, Statement, Signature)> {
    let membership = &stage.cluster.membership;
    let header = |signed: &SignedHeader| in_header(signed, membership.primary(signed.header.view));
    let in_view_change = |view_change: &ViewChange| {
        let mut all = in_certificate(&view_change.high_qc);
        all.extend(view_change.claim.iter().map(header));
        all.push((view_change.replica, view_change.statement(), view_change.signature));
        all
    };
    let mut all = match message {
        Message::Propose(propose) => match &propose.justify {
            Justify::Quorum(certificate) => {
                [vec![header(&propose.header)], in_certificate(certificate)].concat()
            }
            Justify::None | Justify::ViewChange(_) => vec![header(&propose.header)],
        },
        // A replayed vote of another travels under the replayer's name.
        Message::Vote(vote) => {
            let statement = Statement::Vote(vote.vote);
            let mut voters: Vec<ReplicaId> = membership.replicas().collect();
            voters.insert(0, sender);
            voters.into_iter().map(|voter| (voter, statement, vote.signature)).collect()
        }
        Message::ViewChange(view_change) => in_view_change(view_change),
        Message::CheckpointVote(vote) => {
            vec![(vote.replica, Statement::Checkpoint(vote.checkpoint), vote.signature)]
        }
        Message::Data(Data::Header(signed) | Data::Block { header: signed, .. }) => vec![header(signed)],
        Message::Data(Data::View(ViewProof::Quorum(certificate))) => in_certificate(certificate),
        Message::Data(Data::View(ViewProof::ViewChange(certificate))) => {
            certificate.view_changes.iter().flat_map(in_view_change).collect()
        }
        Message::Data(Data::State { header: signed, .. }) => vec![header(signed)],
        Message::Data(Data::Checkpoint(certificate)) => {
            let statement = Statement::Checkpoint(certificate.checkpoint);
            certificate.signatures.iter().map(|(voter, signature)| (*voter, statement, *signature)).collect()
        }
        Message::Status(status) => {
            let vote = status.seen.and_then(|seen| seen.vote);
            let of = |(vote, signature): (_, Signature)| {
                membership.replicas().map(move |voter| (voter, Statement::Vote(vote), signature))
            };
            vote.into_iter().flat_map(of).collect()
        }
        _ => Vec::new(),
    };
    all.retain(|(signer, statement, signature)| {
        membership.check_statement(*signer, statement, signature).is_ok()
    });
    all
}

#[test]
fn no_attack_has_an_honest_signature_that_nobody_made() {
    for attack in Attack::ALL {
        let mut stage = Stage::new(4, *attack, 11);
        let (input, output) = run(&mut stage);
        let key = |(signer, statement, signature): (ReplicaId, Statement, Signature)| {
            (signer, format!("{statement:?}"), signature)
        };
        let made: BTreeSet<_> =
            input.iter().flat_map(|message| signatures(&stage, R0, message)).map(key).collect();
        for (_, message) in &output {
            for (signer, statement, signature) in signatures(&stage, R0, message) {
                let entry = key((signer, statement, signature));
                assert!(signer == R0 || made.contains(&entry), "{attack}: {message:?}");
            }
        }
    }
}

#[test]
fn every_attack_happens_and_is_its_seeds_alone() {
    for attack in Attack::ALL {
        let play = |seed| {
            let mut stage = Stage::new(4, *attack, seed);
            let (_, mut output) = run(&mut stage);
            let first_block = first_block(&stage);
            output.extend(stage.broadcast(first_block));
            let results = Limited::take([(RequestNumber(1), Height(1), Outcome::Malformed)]);
            let reply = Reply { birth: Time(0), nonce: 0, view: View(0), results };
            stage.reply(ReplicaMessage::Reply(reply));
            assert!(stage.byzantine.fired > 0, "{attack}");
            output
        };
        assert_eq!(play(3), play(3), "{attack}");
    }
}
