//! What a Byzantine peer can send: numbers at their ends, the names of others, floods, lies about
//! others. Each is refused by name, nothing panics, memory stays bounded, and the cluster goes on.

mod common;
use common::{Cluster, Envelope, Made, id};
use quorate_consensus::{Event, Input, Peer};
use quorate_types::limited::Limited;
use quorate_types::message::{
    CheckpointVote, Commit, Data, Echo, Fetch, Justify, Message, Status, ViewProof, Vote, Wish,
};
use quorate_types::{
    Digest, Epoch, Evidence, Height, Rejection, ReplicaId, Signature, Statement, Time, View,
};
use std::cell::Cell;
use std::time::Duration;

const ENDS: [u64; 4] = [0, 1, u64::MAX - 1, u64::MAX];

fn status(cluster: &Cluster, number: u64) -> Status {
    Status {
        epoch: cluster.membership.epoch(),
        view: View(number),
        asked: View(number),
        committed: (Height(number), Digest::default()),
        stable: Height(number),
        last_vote: (View(number), Height(number)),
        is_recovering: number == 0,
        start: number,
        clock: Time(number),
        echo: Some(Echo { start: number, clock: Time(number), held: number }),
        base: Height(0),
        seen: None,
    }
}

/// A block of any view, height and time, signed by whoever is the primary there.
fn block_with(cluster: &Cluster, view: u64, height: u64, time: u64) -> Made {
    let mut made = cluster.block(view, cluster.genesis_id(), &[]);
    made.signed.header.height = Height(height);
    made.signed.header.time = Time(time);
    made.signed = cluster.sign_header(made.signed.header);
    made
}

/// Every kind of message with these numbers in it, by replica 3.
fn every_kind(cluster: &Cluster, view: u64, height: u64) -> Vec<Message> {
    let block = (Height(height), Digest::of_bytes(b"block"));
    let made = block_with(cluster, view, height, height);
    // Nobody but replica 3 signed, whatever the certificates say.
    let mut qc = cluster.qc(view, block, &[3]);
    let own = qc.signatures[0].1;
    qc.signatures = Limited::take([0, 1, 3].map(|signer| (id(signer), own)));
    let forged = [0, 1, 3].map(|signer| {
        let own = cluster.view_change(3, view, &cluster.genesis_qc(), &[]);
        quorate_types::certificate::ViewChange { replica: id(signer), ..own }
    });
    let change = cluster.view_change(3, view, &qc, &[&made]);
    let plain = cluster.view_change(3, view, &cluster.genesis_qc(), &[]);
    let (epoch, replica) = (cluster.membership.epoch(), id(3));
    let wish = Statement::Wish { epoch, view: View(view) };
    let statement = |made: &Made| (Statement::Block(made.signed.header), made.signed.signature);
    let evidence = Evidence { replica, first: statement(&made), second: statement(&made) };
    let Message::Vote(vote) = cluster.vote(3, view, block) else { unreachable!() };
    vec![
        made.bare(),
        made.propose(Justify::Quorum(qc.clone().into())),
        made.propose(Justify::ViewChange(cluster.tc(forged.to_vec()))),
        Message::Vote(vote),
        Message::Vote(Vote { executed: Height(height), ..vote }),
        cluster.commit(view, block),
        Message::ViewChange(change.into()),
        Message::ViewChange(plain.into()),
        cluster.checkpoint_vote(3, block, Digest::default()),
        Message::Status(status(cluster, view)),
        Message::Status(status(cluster, height)),
        Message::Wish(Wish { epoch, view: View(view), replica, signature: cluster.signed_by(3, &wish) }),
        Message::Evidence(evidence.into()),
        Message::Fetch(Fetch::Header(Height(height), block.1)),
        Message::Fetch(Fetch::Blocks(Limited::take([block, block]))),
        Message::Fetch(Fetch::Chain(Height(height))),
        Message::Fetch(Fetch::View(View(view))),
        Message::Fetch(Fetch::Status),
        made.header(),
        made.data(),
        Message::Data(Data::Chain(Limited::take([made.signed, made.signed]))),
        Message::Data(Data::Chain(Limited::default())),
        Message::Data(Data::View(ViewProof::Quorum(qc.into()))),
        Message::Data(Data::View(ViewProof::ViewChange(cluster.tc(Vec::new())))),
        Message::Request(bytes::Bytes::from_static(b"no bundle")),
        Message::Request(bytes::Bytes::new()),
    ]
}

/// One Byzantine replica sends every kind of message with numbers at their ends; the others go on.
#[test]
fn numbers_at_their_ends_stop_nobody() {
    for (view, height) in ENDS.iter().flat_map(|view| ENDS.map(|height| (*view, height))) {
        let mut cluster = Cluster::new(4);
        for message in every_kind(&cluster, view, height) {
            for to in 0..3 {
                cluster.deliver(3, to, message.clone());
            }
            cluster.round_where(|e| e.to != id(3));
            cluster.pass(Duration::from_millis(200));
        }
        // Its own word, sent as its own, counts as one replica's: the three others still agree.
        for i in 0..3 {
            cluster.request(i, 1);
        }
        let others = |e: &Envelope| e.to != id(3) && e.from != id(3);
        assert!(
            cluster.run_where(5_000, others, |c| (0..3).all(|i| c.commands(i).len() == 1)),
            "view {view}, height {height}"
        );
        assert!((0..3).all(|i| cluster.hosts[i].halted.is_none()));
        cluster.assert_one_history(&[3]);
        cluster.assert_promises_kept(&[3]);
    }
}

/// The same numbers where their sender may use them: the primary of the view sends the block.
#[test]
fn a_primary_with_extreme_heights_and_times_is_survived() {
    for (height, time) in ENDS.iter().flat_map(|height| ENDS.map(|time| (*height, time))) {
        let mut cluster = Cluster::new(4);
        let made = block_with(&cluster, 0, height, time);
        for to in 1..4 {
            cluster.deliver(0, to, made.bare());
            let vote = cluster.vote(0, 0, made.id());
            cluster.deliver(0, to, vote);
            cluster.request(to, 1);
        }
        cluster.stop(0);
        assert!(
            cluster.run_until(5_000, |c| (1..4).all(|i| c.commands(i).len() == 1)),
            "height {height}, time {time}"
        );
        cluster.assert_one_history(&[0]);
    }
}

/// Messages of another epoch are refused by name.
#[test]
fn another_epoch_is_refused() {
    let mut cluster = Cluster::new(4);
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    let mut vote = cluster.statement(0, block.id());
    vote.epoch = Epoch(7);
    let signature = cluster.signed_by(3, &Statement::Vote(vote));
    let zero = Digest::default();
    let mut change = cluster.view_change(3, 1, &cluster.genesis_qc(), &[]);
    change.epoch = Epoch(7);
    let Message::CheckpointVote(good) = cluster.checkpoint_vote(3, block.id(), zero) else { unreachable!() };
    let mut checkpoint = good.checkpoint;
    checkpoint.epoch = Epoch(7);
    let signed = cluster.signed_by(3, &Statement::Checkpoint(checkpoint));
    let wish = Statement::Wish { epoch: Epoch(7), view: View(1) };
    let messages = [
        Message::Vote(Vote { vote, signature, executed: Height(0), result_root: zero }),
        Message::Commit(Commit { vote }),
        Message::ViewChange(change.into()),
        Message::CheckpointVote(CheckpointVote { checkpoint, replica: id(3), signature: signed }),
        Message::Status(Status { epoch: Epoch(7), ..status(&cluster, 1) }),
        Message::Wish(Wish {
            epoch: Epoch(7),
            view: View(1),
            replica: id(3),
            signature: cluster.signed_by(3, &wish),
        }),
    ];
    let count = messages.len();
    for message in messages {
        cluster.deliver(3, 1, message);
    }
    let refusals = &cluster.hosts[1].rejections;
    assert_eq!(*refusals, vec![(Peer::Replica(id(3)), Rejection::WrongEpoch); count]);
}

/// Nobody speaks for another replica, and nobody outside the membership speaks at all.
#[test]
fn the_names_of_others_are_refused() {
    let mut cluster = Cluster::new(4);
    let change = cluster.view_change(2, 1, &cluster.genesis_qc(), &[]);
    cluster.deliver(3, 1, Message::ViewChange(change.into()));
    let (epoch, view) = (cluster.membership.epoch(), View(1));
    let signature = cluster.signed_by(2, &Statement::Wish { epoch, view });
    cluster.deliver(3, 1, Message::Wish(Wish { epoch, view, replica: id(2), signature }));
    let vote = cluster.checkpoint_vote(2, cluster.genesis_id(), Digest::default());
    cluster.deliver(3, 1, vote);
    assert_eq!(cluster.hosts[1].rejections, [(Peer::Replica(id(3)), Rejection::WrongSender); 3]);
    cluster.hosts[1].rejections.clear();
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    for stranger in [4, 9, usize::from(u16::MAX)] {
        let vote = cluster.vote(0, 0, block.id());
        cluster.deliver(stranger, 1, vote);
    }
    let echo = cluster.vote(1, 0, block.id());
    cluster.deliver(1, 1, echo);
    assert!(cluster.hosts[1].rejections.iter().all(|(_, why)| *why == Rejection::UnknownSigner));
    assert_eq!(cluster.hosts[1].rejections.len(), 4);
}

/// A bad signature on what only a signature vouches for is refused.
#[test]
fn forged_signatures_are_refused() {
    let mut cluster = Cluster::new(4);
    let mut change = cluster.view_change(3, 1, &cluster.genesis_qc(), &[]);
    change.signature = Signature([7; 64]);
    cluster.deliver(3, 1, Message::ViewChange(change.into()));
    let wish = Wish { epoch: Epoch(0), view: View(1), replica: id(3), signature: Signature([7; 64]) };
    cluster.deliver(3, 1, Message::Wish(wish));
    assert_eq!(cluster.hosts[1].rejections, [(Peer::Replica(id(3)), Rejection::BadSignature); 2]);
    assert_eq!(cluster.hosts[1].replica.status().asked, View(0));
}

/// A flood of votes for future views and heights is not kept.
#[test]
fn a_flood_of_votes_is_bounded() {
    let mut cluster = Cluster::new(4);
    for number in 1..20_000u64 {
        let block = (Height(number % 70), Digest::of_bytes(&number.to_le_bytes()));
        let vote = cluster.vote(3, number, block);
        cluster.deliver(3, 1, vote);
        let commit = cluster.commit(number, block);
        cluster.deliver(3, 1, commit);
    }
    assert_eq!(cluster.hosts[1].replica.pending_blocks(), 0);
    assert!(cluster.wire.len() < 1_000, "{} messages in answer", cluster.wire.len());
    let far = cluster.vote(3, 0, (Height(1_000), Digest::default()));
    cluster.deliver(3, 1, far);
    assert!(cluster.is_refused(1, Rejection::AboveWindow));
}

/// Signed headers for thousands of heights take a bounded place, and the next view drops them.
#[test]
fn a_flood_of_headers_is_bounded() {
    let mut cluster = Cluster::new(4);
    for height in 1..5_000 {
        let made = block_with(&cluster, 0, height, cluster.now.0);
        cluster.deliver(0, 1, made.bare());
    }
    assert!(cluster.hosts[1].replica.pending_blocks() <= 256);
    assert!(cluster.is_refused(1, Rejection::AboveWindow));
    cluster.enter(1, 1, &[0, 2, 3]);
    assert!(cluster.hosts[1].replica.pending_blocks() <= 1);
}

/// Headers that a Byzantine primary has for each vote are asked for one at a time per voter.
#[test]
fn a_flood_of_conflicting_votes_asks_little() {
    let mut cluster = Cluster::new(4);
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(0, 1, block.bare());
    cluster.wire.clear();
    for number in 0..2_000u64 {
        let vote = cluster.vote(3, 0, (Height(1), Digest::of_bytes(&number.to_le_bytes())));
        cluster.deliver(3, 1, vote);
    }
    assert_eq!(cluster.count_sent(1, |m| matches!(m, Message::Fetch(_))), 1);
    assert_eq!(cluster.hosts[1].evidence.len(), 1, "one piece for one view");
}

/// Data that nobody asked for is refused before it costs a signature.
#[test]
fn unrequested_data_is_refused() {
    let mut cluster = Cluster::new(4);
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(3, 1, block.data());
    cluster.deliver(3, 1, block.header());
    cluster.deliver(3, 1, Message::Data(Data::Chain(Limited::take([block.signed]))));
    assert_eq!(cluster.hosts[1].rejections, [(Peer::Replica(id(3)), Rejection::Unrequested); 3]);
    assert_eq!(cluster.hosts[1].replica.pending_blocks(), 0);
}

/// More unchecked messages of one peer than its share are refused; others are not touched by it.
#[test]
fn one_peer_cannot_fill_the_verifier() {
    let mut cluster = Cluster::new(4);
    let mut waiting = Vec::new();
    for view in 1..1_000 {
        let change = cluster.view_change(3, view, &cluster.genesis_qc(), &[]);
        let message = quorate_types::Authenticated::from_channel(id(3), Message::ViewChange(change.into()));
        let now = cluster.now;
        cluster.hosts[1].replica.handle(now, Input::Message(message));
        while let Some(action) = cluster.hosts[1].replica.poll_action() {
            match action {
                quorate_consensus::Action::Verify(peer, work) => waiting.push((peer, work)),
                quorate_consensus::Action::Reject(peer, why) => {
                    cluster.hosts[1].rejections.push((peer, why));
                }
                _ => {}
            }
        }
    }
    assert_eq!(waiting.len(), 256);
    assert!(cluster.is_refused(1, Rejection::TooManyPending));
    let block = cluster.block(0, cluster.genesis_id(), &[1]);
    cluster.deliver(0, 1, block.bare());
    assert_eq!(cluster.voted(1), [block.id()]);
}

/// Nobody is convicted by statements that do not contradict, that it did not sign, or that belong
/// to another slot; who sends such a thing is named.
#[test]
fn framing_is_refused() {
    let mut cluster = Cluster::new(4);
    let genesis = cluster.genesis_id();
    let (one, two) = (cluster.block(0, genesis, &[1]), cluster.block(0, genesis, &[2]));
    let above = cluster.block(0, one.id(), &[3]);
    let of = |made: &Made| (Statement::Block(made.signed.header), made.signed.signature);
    let vote = |cluster: &Cluster, signer: usize, view: u64, made: &Made| {
        let statement = Statement::Vote(cluster.statement(view, made.id()));
        (statement, cluster.signed_by(signer, &statement))
    };
    let frames = [
        (id(0), of(&one), of(&one), Rejection::NotEvidence),
        (id(0), of(&one), of(&above), Rejection::NotEvidence),
        (id(0), of(&one), vote(&cluster, 0, 0, &two), Rejection::NotEvidence),
        (id(2), of(&one), of(&two), Rejection::WrongPrimary),
        (id(2), vote(&cluster, 2, 0, &one), vote(&cluster, 2, 1, &two), Rejection::NotEvidence),
        (id(2), vote(&cluster, 2, 0, &one), vote(&cluster, 3, 0, &two), Rejection::BadSignature),
        (id(2), vote(&cluster, 3, 0, &one), vote(&cluster, 3, 0, &two), Rejection::BadSignature),
        (ReplicaId(9), vote(&cluster, 2, 0, &one), vote(&cluster, 2, 0, &two), Rejection::UnknownSigner),
    ];
    for (replica, first, second, expected) in frames {
        cluster.hosts[1].rejections.clear();
        cluster.deliver(3, 1, Message::Evidence(Evidence { replica, first, second }.into()));
        assert_eq!(cluster.hosts[1].rejections, [(Peer::Replica(id(3)), expected)]);
    }
    assert!(cluster.hosts[1].evidence.is_empty());
    assert_eq!(cluster.hosts[1].replica.status().asked, View(0));
}

/// A replica that goes on offending fills no memory and no network.
#[test]
fn evidence_is_bounded() {
    let mut cluster = Cluster::new(4);
    for view in 1..200 {
        for content in [1u8, 2] {
            let block = (Height(1), Digest::of_bytes(&[content]));
            let vote = Statement::Vote(cluster.statement(view, block));
            let other = (Height(1), Digest::of_bytes(&[content, 0]));
            let second = Statement::Vote(cluster.statement(view, other));
            let evidence = Evidence {
                replica: id(3),
                first: (vote, cluster.signed_by(3, &vote)),
                second: (second, cluster.signed_by(3, &second)),
            };
            cluster.deliver(3, 1, Message::Evidence(evidence.into()));
        }
    }
    let most = cluster.limits.evidence_per_replica_max;
    assert_eq!(cluster.hosts[1].evidence.len(), most);
    assert_eq!(cluster.count_sent(1, |m| matches!(m, Message::Evidence(_))), 3 * most);
}

/// A primary that signs two certificates' worth of first blocks gets neither committed twice.
#[test]
fn two_first_blocks_of_one_view_convict_their_primary() {
    let mut cluster = Cluster::new(4);
    let tc = cluster.empty_tc(1, &[0, 2, 3]);
    let (one, two) =
        (cluster.block(1, cluster.genesis_id(), &[1]), cluster.block(1, cluster.genesis_id(), &[2]));
    for (to, block) in [(0, &one), (2, &one), (3, &two)] {
        cluster.deliver(1, to, block.propose(Justify::ViewChange(tc.clone())));
    }
    for i in [0, 2, 3] {
        cluster.request(i, 9);
    }
    cluster.stop(1);
    let is_done = |c: &Cluster| {
        [0, 2, 3].iter().all(|i| c.commands(*i).iter().any(|command| command.as_ref() == b"command 9"))
    };
    assert!(cluster.run_until(5_000, is_done));
    assert!([0, 2, 3].iter().all(|i| cluster.hosts[*i].evidence.len() == 1));
    cluster.assert_one_history(&[1]);
    cluster.assert_promises_kept(&[1]);
}

/// Each kind of message that is lost once on its way to one replica comes again. With replica 2
/// away from the start, replica 3 is needed.
#[test]
fn whatever_is_lost_once_comes_again() {
    for kind in 0..5 {
        let mut cluster = Cluster::new(7);
        cluster.stop(5);
        cluster.stop(6);
        let lost = [const { Cell::new(false) }; 7];
        let passes = |e: &Envelope| {
            let is_kind = match e.message {
                Message::Propose(_) => kind == 0,
                Message::Vote(_) => kind == 1,
                Message::Commit(_) => kind == 2,
                Message::CheckpointVote(_) => kind == 3,
                Message::ViewChange(_) => kind == 4,
                _ => false,
            };
            !(is_kind && e.to == id(3) && !lost[e.from.index()].replace(true))
        };
        if kind == 4 {
            (0..5).for_each(|i| cluster.request(i, 1));
            let no_proposals =
                |e: &Envelope| passes(e) && !matches!(e.message, Message::Propose(_) | Message::Vote(_));
            let have_asked = |c: &Cluster| (0..5).all(|i| c.hosts[i].replica.status().asked > View(0));
            assert!(cluster.run_where(1_000, no_proposals, have_asked));
        }
        for number in 1..=4 {
            cluster.request(0, number);
            let is_done = |c: &Cluster| (0..5).all(|i| c.commands(i).len() as u64 >= number);
            assert!(cluster.run_where(4_000, passes, is_done), "kind {kind}, request {number}");
        }
        let is_stable = |c: &Cluster| (0..5).all(|i| c.hosts[i].replica.status().stable.0 >= 4);
        assert!(cluster.run_where(1_000, passes, is_stable), "kind {kind}");
        assert!(lost.iter().any(Cell::get), "kind {kind} was lost");
        if kind < 4 {
            assert!((0..5).all(|i| cluster.hosts[i].replica.status().asked == View(0)), "kind {kind}");
        }
        cluster.assert_one_history(&[]);
        cluster.assert_promises_kept(&[]);
    }
}

/// [D1] Answers to a peer that asks without end wait for the disk within its own room, and the others get theirs.
#[test]
fn questions_of_one_peer_take_no_room_from_the_others() {
    let mut cluster = Cluster::new(4);
    cluster.run_requests(1..=2);
    cluster.hosts[2].is_syncing = false;
    cluster.run_requests(3..=3);
    cluster.run_until(20, |_| false);
    let committed = |event: &Event| match event {
        Event::Committed { height, digest, .. } => Some((*height, *digest)),
        _ => None,
    };
    let known = cluster.hosts[2].events.iter().rev().find_map(committed).expect("it committed");
    let question = || Message::Fetch(Fetch::Blocks(Limited::take([known; 16])));
    for _ in 0..100 {
        cluster.deliver(3, 2, question());
    }
    cluster.deliver(1, 2, question());
    let refused = |peer: usize| {
        let of = |(from, why): &&(Peer, Rejection)| {
            *from == Peer::Replica(id(peer)) && *why == Rejection::TooManyPending
        };
        cluster.hosts[2].rejections.iter().filter(of).count()
    };
    assert_eq!((refused(3), refused(1)), (100 * 16 - 100, 0));
}
