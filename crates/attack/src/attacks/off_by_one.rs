//! What is a message like whose view, height or digest is wrong by one? Valid otherwise: the traitor signs it again, if
//! it was its own to sign.

use quorate_types::certificate::SignedHeader;
use quorate_types::limited::Limited;
use quorate_types::message::{CheckpointVote, Commit, Data, Fetch, Message, Propose, Status, Wish};
use quorate_types::{Digest, Header, Height, Statement, View, VoteStatement};
use std::sync::Arc;

use crate::adversary::Cx;
use crate::forge;

/// A field that is changed, and in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    View(Step),
    Height(Step),
    /// Messages with two digests change in either.
    Digest(Step),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Up,
    Down,
}

impl Change {
    pub(crate) const ALL: [Self; 6] = [
        Self::View(Step::Up),
        Self::View(Step::Down),
        Self::Height(Step::Up),
        Self::Height(Step::Down),
        Self::Digest(Step::Up),
        Self::Digest(Step::Down),
    ];

    fn view(self, view: View) -> View {
        match self {
            Self::View(Step::Up) => view.plus(1),
            Self::View(Step::Down) => view.minus(1),
            _ => view,
        }
    }
    fn height(self, height: Height) -> Height {
        match self {
            Self::Height(Step::Up) => height.plus(1),
            Self::Height(Step::Down) => height.minus(1),
            _ => height,
        }
    }
    fn digest(self, digest: Digest) -> Digest {
        match self {
            Self::Digest(_) => other(digest),
            _ => digest,
        }
    }
    fn vote(self, vote: VoteStatement) -> VoteStatement {
        let (view, height, digest) =
            (self.view(vote.view), self.height(vote.height), self.digest(vote.digest));
        VoteStatement { view, height, digest, ..vote }
    }
    fn header(self, header: Header) -> Header {
        let (view, height) = (self.view(header.view), self.height(header.height));
        match self {
            Self::Digest(Step::Up) => Header { batch: other(header.batch), ..header },
            Self::Digest(Step::Down) => Header { parent: other(header.parent), ..header },
            _ => Header { view, height, ..header },
        }
    }
    /// Only headers that the traitor signed.
    fn own_header(self, cx: &Cx<'_>, signed: &SignedHeader) -> Option<SignedHeader> {
        let is_own = cx.membership().primary(signed.header.view) == cx.id();
        is_own.then(|| forge::signed_header(cx, self.header(signed.header)))
    }
}

fn other(mut digest: Digest) -> Digest {
    digest.0[0] ^= 1;
    digest
}

/// The message with one change; `None` if it has no such field, or the field cannot go further.
pub(crate) fn off_by_one(cx: &Cx<'_>, message: &Message, change: Change) -> Option<Message> {
    let changed = match message {
        Message::Propose(propose) => {
            let header = change.own_header(cx, &propose.header)?;
            Message::Propose(Propose { header, ..propose.clone() })
        }
        Message::Vote(vote) => forge::vote(cx, change.vote(vote.vote), vote),
        Message::Commit(commit) => Message::Commit(Commit { vote: change.vote(commit.vote) }),
        Message::ViewChange(truth) => {
            let mut high_qc = truth.high_qc.clone();
            let claim = truth.claim.clone().into_vec();
            if !matches!(change, Change::View(_)) {
                high_qc.vote = change.vote(high_qc.vote);
            }
            Message::ViewChange(Arc::new(forge::view_change(cx, change.view(truth.new_view), high_qc, claim)))
        }
        Message::CheckpointVote(vote) => Message::CheckpointVote(checkpoint_vote(cx, vote, change)),
        Message::Status(status) => {
            let committed = (change.height(status.committed.0), change.digest(status.committed.1));
            Message::Status(Status { view: change.view(status.view), committed, ..*status })
        }
        Message::Wish(wish) => {
            let (epoch, view) = (wish.epoch, change.view(wish.view));
            Message::Wish(Wish { view, signature: cx.sign(&Statement::Wish { epoch, view }), ..*wish })
        }
        Message::Fetch(fetch) => Message::Fetch(changed_fetch(fetch, change)),
        Message::Data(data) => Message::Data(changed_data(cx, data, change)?),
        Message::Evidence(_) | Message::Request(_) => return None,
    };
    (changed != *message).then_some(changed)
}

fn checkpoint_vote(cx: &Cx<'_>, vote: &CheckpointVote, change: Change) -> CheckpointVote {
    let mut checkpoint = vote.checkpoint;
    checkpoint.height = change.height(checkpoint.height);
    match change {
        Change::Digest(Step::Up) => checkpoint.state_root = other(checkpoint.state_root),
        Change::Digest(Step::Down) => checkpoint.block = other(checkpoint.block),
        _ => {}
    }
    CheckpointVote { checkpoint, signature: cx.sign(&Statement::Checkpoint(checkpoint)), ..*vote }
}

fn changed_fetch(fetch: &Fetch, change: Change) -> Fetch {
    let block = |(height, digest): (Height, Digest)| (change.height(height), change.digest(digest));
    match fetch.clone() {
        Fetch::Header(height, digest) => {
            let (height, digest) = block((height, digest));
            Fetch::Header(height, digest)
        }
        Fetch::Blocks(blocks) => Fetch::Blocks(Limited::take(blocks.into_vec().into_iter().map(block))),
        Fetch::Chain(height) => Fetch::Chain(change.height(height)),
        Fetch::View(view) => Fetch::View(change.view(view)),
        Fetch::Status => Fetch::Status,
        Fetch::State(height) => Fetch::State(change.height(height)),
        Fetch::Chunks(chunks) => {
            Fetch::Chunks(Limited::take(chunks.into_vec().into_iter().map(|chunk| change.digest(chunk))))
        }
    }
}

fn changed_data(cx: &Cx<'_>, data: &Data, change: Change) -> Option<Data> {
    Some(match data {
        Data::Header(header) => Data::Header(change.own_header(cx, header)?),
        Data::Block { header, batch } => {
            Data::Block { header: change.own_header(cx, header)?, batch: batch.clone() }
        }
        Data::Absent(chunks) => {
            let chunks = chunks.clone().into_vec();
            Data::Absent(Limited::take(chunks.into_iter().map(|chunk| change.digest(chunk))))
        }
        // What others certified has no other form that is valid.
        Data::Chain(_) | Data::View(_) | Data::Checkpoint(_) | Data::State { .. } | Data::Chunk(_) => {
            return None;
        }
    })
}
