//! One fixed sample of every kind of message, with a name for each.

use bytes::Bytes;
use quorate_types::limited::Limited;
use quorate_types::message::{
    CheckpointVote, ClientMessage, Commit, Data, Echo, Fetch, Justify, Message, Outcome, Propose,
    ReplicaMessage, Reply, Seen, Status, ViewProof, Vote, Wish,
};
use quorate_types::state::ContentBuilder;
use quorate_types::{
    Batch, ChunkId, Epoch, Evidence, Height, Rejection, ReplicaId, RequestNumber, StateHead, Statement, Time,
    View, VoteStatement,
};
use std::sync::Arc;

use super::{Cluster, digest};

/// Every kind of [`Message`], and of what stands in it.
pub(crate) fn messages(cluster: &Cluster) -> Vec<Message> {
    let mut all = proposals(cluster);
    all.extend(signed(cluster));
    all.extend(evidence(cluster).into_iter().map(|evidence| Message::Evidence(Arc::new(evidence))));
    all.push(status(cluster, None));
    all.push(status(cluster, Some(Echo { start: 77_001, clock: Time(1_000_003), held: 500 })));
    all.extend(fetches().into_iter().map(Message::Fetch));
    all.extend(data(cluster).into_iter().map(Message::Data));
    all.push(Message::Request(cluster.bundle(&[b"add 5"]).raw().clone()));
    all
}

/// A name for every variant. There is no wildcard, so that a new variant does not compile until
/// it has a name, and no test passes until it has a sample.
pub(crate) fn name(message: &Message) -> &'static str {
    match message {
        Message::Propose(propose) => match propose.justify {
            Justify::None => "propose/none",
            Justify::ViewChange(_) => "propose/view-change",
            Justify::Quorum(_) => "propose/quorum",
        },
        Message::Vote(_) => "vote",
        Message::Commit(_) => "commit",
        Message::ViewChange(_) => "view-change",
        Message::CheckpointVote(_) => "checkpoint-vote",
        Message::Status(status) => match status.echo {
            None => "status/no-echo",
            Some(_) => "status/echo",
        },
        Message::Wish(_) => "wish",
        Message::Evidence(evidence) => match evidence.first.0 {
            Statement::Block(_) => "evidence/block",
            Statement::Vote(_) => "evidence/vote",
            Statement::ViewChange { .. } => "evidence/view-change",
            Statement::Checkpoint(_) => "evidence/checkpoint",
            Statement::Wish { .. } => "evidence/wish",
            Statement::Bundle(_) => "evidence/bundle",
        },
        Message::Fetch(fetch) => match fetch {
            Fetch::Header(..) => "fetch/header",
            Fetch::Blocks(_) => "fetch/blocks",
            Fetch::Chain(_) => "fetch/chain",
            Fetch::View(_) => "fetch/view",
            Fetch::Status => "fetch/status",
            Fetch::State(_) => "fetch/state",
            Fetch::Chunks(_) => "fetch/chunks",
        },
        Message::Data(data) => match data {
            Data::Header(_) => "data/header",
            Data::Block { .. } => "data/block",
            Data::Chain(_) => "data/chain",
            Data::View(ViewProof::Quorum(_)) => "data/view/quorum",
            Data::View(ViewProof::ViewChange(_)) => "data/view/view-change",
            Data::Checkpoint(_) => "data/checkpoint",
            Data::State { .. } => "data/state",
            Data::Chunk(_) => "data/chunk",
            Data::Absent(_) => "data/absent",
        },
        Message::Request(_) => "request",
    }
}

/// How many names [`name`] has.
pub(crate) const NAMES: usize = 33;

/// What clients say.
pub(crate) fn client_messages(cluster: &Cluster) -> Vec<(&'static str, ClientMessage)> {
    let all = [ClientMessage::Request(cluster.bundle(&[b"add 5", b""]).raw().clone()), ClientMessage::Hello];
    let name = |message: &ClientMessage| match message {
        ClientMessage::Request(_) => "client/request",
        ClientMessage::Hello => "client/hello",
    };
    all.into_iter().map(|message| (name(&message), message)).collect()
}

/// What replicas say to clients, with every outcome in a reply of its own.
pub(crate) fn replica_messages() -> Vec<(String, ReplicaMessage)> {
    let welcome = ReplicaMessage::Welcome { epoch: Epoch(0), clock: Time(1_700), view: View(16) };
    let mut all = vec![("replica/welcome".to_owned(), welcome)];
    let outcomes = [
        Outcome::Executed(b"7".to_vec()),
        Outcome::Malformed,
        Outcome::ReplyTooLarge,
        Outcome::SessionExpired,
        Outcome::SessionsFull,
        Outcome::Forgotten,
        Outcome::Panicked,
    ];
    for outcome in outcomes {
        let name = match &outcome {
            Outcome::Executed(_) => "executed",
            Outcome::Malformed => "malformed",
            Outcome::ReplyTooLarge => "reply-too-large",
            Outcome::SessionExpired => "session-expired",
            Outcome::SessionsFull => "sessions-full",
            Outcome::Forgotten => "forgotten",
            Outcome::Panicked => "panicked",
        };
        let results = Limited::take([(RequestNumber(3), Height(48_211), outcome)]);
        let reply = Reply { birth: Time(1_700), nonce: 7, view: View(16), results };
        all.push((format!("replica/reply/{name}"), ReplicaMessage::Reply(reply)));
    }
    for why in Rejection::ALL {
        let refused = ReplicaMessage::Refused { bundle: digest(1), why: *why };
        all.push((format!("replica/refused/{why}"), refused));
    }
    all
}

/// Every statement that there is.
pub(crate) fn statements(cluster: &Cluster) -> Vec<(&'static str, Statement)> {
    let all = [
        Statement::Block(cluster.header(0, 1, cluster.membership.genesis_block())),
        Statement::Vote(cluster.vote(0, 1)),
        Statement::ViewChange { epoch: Epoch(0), view: View(1), content: digest(2) },
        Statement::Checkpoint(cluster.checkpoint(1024)),
        Statement::Wish { epoch: Epoch(0), view: View(1) },
        Statement::Bundle(digest(3)),
    ];
    let name = |statement: &Statement| match statement {
        Statement::Block(_) => "block",
        Statement::Vote(_) => "vote",
        Statement::ViewChange { .. } => "view-change",
        Statement::Checkpoint(_) => "checkpoint",
        Statement::Wish { .. } => "wish",
        Statement::Bundle(_) => "bundle",
    };
    all.into_iter().map(|statement| (name(&statement), statement)).collect()
}

/// Two statements of every kind by replica 0, which is the primary of view 0; those of the first
/// four kinds contradict each other.
pub(crate) fn evidence(cluster: &Cluster) -> Vec<Evidence> {
    statements(cluster)
        .into_iter()
        .map(|(_, first)| {
            let second = rival(first);
            Evidence {
                replica: ReplicaId(0),
                first: (first, cluster.sign(0, &first)),
                second: (second, cluster.sign(0, &second)),
            }
        })
        .collect()
}

/// A statement of the same kind and for the same slot with another content.
pub(crate) fn rival(mut statement: Statement) -> Statement {
    match &mut statement {
        Statement::Block(header) => header.time = Time(header.time.0 + 1),
        Statement::Vote(VoteStatement { digest: content, .. }) | Statement::ViewChange { content, .. } => {
            *content = digest(4);
        }
        Statement::Checkpoint(checkpoint) => checkpoint.state_root = digest(4),
        Statement::Wish { .. } => {}
        Statement::Bundle(content) => *content = digest(4),
    }
    statement
}

fn proposals(cluster: &Cluster) -> Vec<Message> {
    let batch = Batch::new(vec![cluster.bundle(&[b"add 5", b"add 2"])]);
    let vote = cluster.vote(0, 1);
    let justifications = [
        Justify::None,
        Justify::ViewChange(Arc::new(cluster.tc(1))),
        Justify::Quorum(Arc::new(cluster.qc(vote))),
    ];
    let propose = |justify| {
        let mut header = cluster.header(0, 2, vote.digest);
        header.batch = batch.digest();
        let header = cluster.signed(header);
        Message::Propose(Propose { header, justify, batch: batch.raw().clone() })
    };
    justifications.into_iter().map(propose).collect()
}

fn signed(cluster: &Cluster) -> Vec<Message> {
    let vote = cluster.vote(0, 300);
    let checkpoint = cluster.checkpoint(1024);
    let wish = Statement::Wish { epoch: Epoch(0), view: View(300) };
    let qc = cluster.qc(cluster.vote(0, 1));
    let claim = cluster.chain(&qc.vote, 0, 2);
    vec![
        Message::Vote(Vote {
            vote,
            signature: cluster.sign(1, &Statement::Vote(vote)),
            executed: Height(299),
            result_root: digest(5),
        }),
        Message::Commit(Commit { vote }),
        Message::ViewChange(Arc::new(cluster.view_change(2, 1, qc, claim))),
        Message::CheckpointVote(CheckpointVote {
            checkpoint,
            replica: ReplicaId(1),
            signature: cluster.sign(1, &Statement::Checkpoint(checkpoint)),
        }),
        Message::Wish(Wish {
            epoch: Epoch(0),
            view: View(300),
            replica: ReplicaId(3),
            signature: cluster.sign(3, &wish),
        }),
    ]
}

fn status(cluster: &Cluster, echo: Option<Echo>) -> Message {
    Message::Status(Status {
        epoch: Epoch(0),
        view: View(16),
        asked: View(17),
        committed: (Height(48_211), digest(6)),
        stable: Height(48_128),
        last_vote: (View(16), Height(48_213)),
        is_recovering: false,
        start: 77_003,
        clock: Time(1_000_001),
        echo,
        base: Height(47_104),
        seen: echo.map(|_| {
            let vote = cluster.vote(0, 300);
            let signature = cluster.sign(0, &Statement::Vote(vote));
            Seen { vote: Some((vote, signature)), view_change: Some((View(17), digest(2), signature)) }
        }),
    })
}

fn fetches() -> Vec<Fetch> {
    vec![
        Fetch::Header(Height(300), digest(7)),
        Fetch::Blocks(Limited::take([(Height(300), digest(8)), (Height(301), digest(9))])),
        Fetch::Chain(Height(48_211)),
        Fetch::View(View(16)),
        Fetch::Status,
        Fetch::State(Height(48_128)),
        Fetch::Chunks(Limited::take([digest(10), digest(11)])),
    ]
}

fn data(cluster: &Cluster) -> Vec<Data> {
    let batch = Batch::new(vec![cluster.bundle(&[b"add 5"])]);
    let mut header = cluster.header(0, 1, cluster.membership.genesis_block());
    header.batch = batch.digest();
    let header = cluster.signed(header);
    vec![
        Data::Header(header),
        Data::Block { header, batch: batch.raw().clone() },
        Data::Chain(Limited::take(cluster.chain(&cluster.genesis_qc().vote, 0, 2))),
        Data::View(ViewProof::Quorum(Arc::new(cluster.qc(cluster.vote(0, 1))))),
        Data::View(ViewProof::ViewChange(Arc::new(cluster.tc(1)))),
        Data::Checkpoint(Arc::new(cluster.checkpoint_certificate(1024))),
        Data::State { header, head: Arc::new(state_head()) },
        Data::Chunk(Bytes::from_static(b"chunk")),
        Data::Absent(Limited::take([digest(10)])),
    ]
}

fn state_head() -> StateHead {
    let content = |bytes: &[u8]| {
        let mut builder = ContentBuilder::default();
        builder.push(ChunkId::of(bytes)).expect("one chunk");
        builder.finish().expect("one page").0
    };
    StateHead {
        configuration: digest(12),
        height: Height(1024),
        result_root: digest(13),
        sessions: content(b"sessions"),
        application: content(b"application"),
    }
}

/// A payload that no kind without payload may carry.
pub(crate) const STRAY: Bytes = Bytes::from_static(b"stray");
