//! Are the mutations of `small_scope` small and valid, and those of `any_bytes` of all kinds?

use quorate_types::message::{Data, Fetch, Message, Wish};
use quorate_types::{Digest, Epoch, Height, Statement, View, VoteStatement};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::stage::{R0, R1, Stage, commit, status};
use crate::attacks::off_by_one::{Change, off_by_one};
use crate::{Adversary, Cx, any_bytes, small_scope};

/// How many of view, height and digest of two votes differ, and whether view and height differ by one.
fn differences(one: &VoteStatement, other: &VoteStatement) -> usize {
    let (views, heights) = (one.view.0.abs_diff(other.view.0), one.height.0.abs_diff(other.height.0));
    assert!(views <= 1 && heights <= 1);
    (views + heights) as usize + usize::from(one.digest != other.digest)
}

#[test]
fn small_scopes_are_off_by_one_old_or_missing_in_so_many_rounds() {
    let mut stage = Stage::new(4, small_scope().percent(50).rounds(40), 3);
    let (mut wrong, mut old, mut missing, mut rounds) = (0, 0, 0, BTreeSet::new());
    let blocks = stage.cluster.chain(View(5), 300);
    for block in &blocks {
        let honest = stage.cluster.vote(R0, &block.header.header);
        for (_, sent) in stage.broadcast(Message::Vote(honest)) {
            let Message::Vote(vote) = sent else { panic!("{sent:?}") };
            if vote == honest {
                continue;
            }
            rounds.insert(honest.vote.height);
            let statement = Statement::Vote(vote.vote);
            stage.cluster.membership.check_statement(R0, &statement, &vote.signature).expect("signed again");
            if blocks.iter().any(|block| stage.cluster.vote(R0, &block.header.header) == vote) {
                old += 1;
            } else {
                assert_eq!(differences(&honest.vote, &vote.vote), 1);
                wrong += 1;
            }
        }
        let fired = stage.byzantine.fired as usize;
        if fired > wrong + old + missing {
            missing = fired - wrong - old;
            rounds.insert(honest.vote.height);
        }
    }
    assert!(wrong > 20 && old > 5 && missing > 2, "{wrong} {old} {missing}");
    assert!((35..=40).contains(&rounds.len()), "{} rounds", rounds.len());
}

#[test]
fn all_that_see_a_faulty_round_see_the_same() {
    let mut stage = Stage::new(10, small_scope().percent(100).rounds(1000), 3);
    for block in stage.cluster.chain(View(5), 100) {
        let honest = Message::Vote(stage.cluster.vote(R0, &block.header.header));
        let sent = stage.broadcast(honest.clone());
        let kinds: Vec<_> = sent.iter().map(|(_, message)| message).filter(|sent| **sent != honest).collect();
        assert!(kinds.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// Sends all changes of a message.
#[derive(Debug)]
struct AllChanges;

impl Adversary for AllChanges {
    fn name(&self) -> &'static str {
        "all_changes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: quorate_types::ReplicaId, message: Message) {
        for change in Change::ALL {
            if let Some(changed) = off_by_one(cx, &message, change) {
                cx.send(to, changed);
            }
        }
    }
}

#[test]
fn every_kind_with_a_view_height_or_digest_is_changed_and_signed_again() {
    let mut stage = Stage::new(4, AllChanges, 3);
    let blocks = stage.cluster.chain(View(4), 2);
    let header = blocks[0].header.header;
    let (epoch, view) = (Epoch(0), View(5));
    let signature = stage.cluster.sign(R0, &Statement::Wish { epoch, view });
    let wish = Wish { epoch, view, replica: R0, signature };
    let view_change = stage.cluster.view_change(R0, View(5), stage.cluster.certificate(&header), &blocks);
    for (message, count) in [
        (Message::Propose(blocks[0].clone()), 6),
        (Message::Vote(stage.cluster.vote(R0, &header)), 6),
        (commit(&header), 6),
        (Message::ViewChange(Arc::new(view_change)), 6),
        (Message::CheckpointVote(stage.cluster.checkpoint_vote(R0, &header)), 4),
        (status(&header), 6),
        (Message::Wish(wish), 2),
        (Message::Fetch(Fetch::Header(Height(5), Digest([1; 32]))), 4),
        (Message::Fetch(Fetch::View(View(5))), 2),
        (Message::Fetch(Fetch::View(View(0))), 1),
        (Message::Fetch(Fetch::Status), 0),
        (Message::Data(Data::Header(blocks[0].header)), 6),
        (Message::Request(bytes::Bytes::from_static(b"bundle")), 0),
    ] {
        let changed = stage.send(R1, message.clone());
        assert!(changed.iter().all(|(_, changed)| *changed != message));
        assert_eq!(changed.len(), count, "{message:?}");
        for (_, changed) in changed {
            let (statement, signature) = match &changed {
                Message::Propose(propose) => {
                    (Statement::Block(propose.header.header), propose.header.signature)
                }
                Message::Vote(vote) => (Statement::Vote(vote.vote), vote.signature),
                Message::ViewChange(change) => (change.statement(), change.signature),
                Message::CheckpointVote(vote) => (Statement::Checkpoint(vote.checkpoint), vote.signature),
                Message::Wish(wish) => {
                    (Statement::Wish { epoch: wish.epoch, view: wish.view }, wish.signature)
                }
                Message::Data(Data::Header(signed)) => (Statement::Block(signed.header), signed.signature),
                _ => continue,
            };
            assert_eq!(signature, stage.cluster.sign(R0, &statement));
        }
    }
    // What others signed stays as they signed it.
    let foreign = stage.cluster.chain(View(1), 1).remove(0);
    assert!(stage.send(R1, Message::Data(Data::Header(foreign.header))).is_empty());
}

#[test]
fn any_bytes_are_of_every_kind_and_can_be_read() {
    let mut stage = Stage::new(4, any_bytes().percent(50), 3);
    let (mut kinds, mut payloads, mut deviations) = (BTreeSet::new(), 0, 0);
    for block in stage.cluster.chain(View(0), 2000) {
        let honest = Message::Propose(block.clone());
        let sent: Vec<Message> = stage.send(R1, honest.clone()).into_iter().map(|sent| sent.1).collect();
        assert!((1..=2).contains(&sent.len()));
        for message in sent.into_iter().filter(|message| *message != honest) {
            assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
            kinds.insert(message.kind());
            deviations += 1;
            if let Message::Propose(propose) = &message {
                payloads += usize::from(propose.header == block.header && propose.batch != block.batch);
            }
        }
    }
    assert_eq!(stage.byzantine.fired, deviations);
    assert_eq!(kinds, (0..Message::KINDS.len()).collect());
    assert!(payloads > 100, "{payloads}");
}
