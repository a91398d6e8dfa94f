//! What does the second chain of an equivocating primary look like? For each block of the first
//! chain the twin that the deceived replicas see, and every message as it reads with the twins.

use bytes::Bytes;
use quorate_types::certificate::{SignedHeader, ViewChange};
use quorate_types::limited::Limited;
use quorate_types::message::{Commit, Data, Fetch, Justify, Message, Propose, Status};
use quorate_types::{Batch, Digest, Header, ReplicaId, Time, VoteStatement};
use std::collections::VecDeque;

use crate::adversary::{Cx, Verdict};
use crate::forge;

/// Most twins that are kept; the oldest are forgotten first.
const TWINS_MAX: usize = 256;

/// A block of the second chain.
#[derive(Debug)]
pub(crate) struct Twin {
    /// The block of the first chain in whose place it stands.
    pub(crate) first: Digest,
    pub(crate) digest: Digest,
    pub(crate) header: SignedHeader,
    pub(crate) batch: Bytes,
}

/// What a deceived replica hears.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Lie {
    Truth,
    Other(Message),
    Silence,
}

impl Lie {
    fn or_truth(lie: Option<Message>) -> Self {
        lie.map_or(Self::Truth, Self::Other)
    }
}

/// The second chains of the traitor's views.
#[derive(Debug, Default)]
pub(crate) struct Fork {
    twins: VecDeque<Twin>,
}

impl Fork {
    /// The twin of a block of the first chain.
    pub(crate) fn twin_of(&self, first: &Digest) -> Option<&Twin> {
        self.twins.iter().rev().find(|twin| twin.first == *first)
    }
    /// The block of the second chain with this digest.
    pub(crate) fn twin(&self, digest: &Digest) -> Option<&Twin> {
        self.twins.iter().rev().find(|twin| twin.digest == *digest)
    }

    /// Makes the twin of a proposed block: above the twin of its parent with the same batch, or
    /// beside it with another content.
    pub(crate) fn add(&mut self, cx: &mut Cx<'_>, propose: &Propose) {
        let first = propose.header.header;
        if self.twin_of(&first.parent).is_some() {
            return self.put(cx, propose, first, propose.batch.clone());
        }
        let (batch, digest, time) = other_content(cx, propose);
        self.put(cx, propose, Header { batch: digest, time, ..first }, batch);
    }

    /// Puts a block in the place of a proposed one, above the twin of its parent if that has one.
    pub(crate) fn put(&mut self, cx: &Cx<'_>, propose: &Propose, mut header: Header, batch: Bytes) {
        if let Some(parent) = self.twin_of(&header.parent) {
            header.time = header.time.max(parent.header.header.time);
            header.parent = parent.digest;
        }
        if self.twins.len() == TWINS_MAX {
            self.twins.pop_front();
        }
        let (first, digest) = (propose.header.header.digest(), header.digest());
        self.twins.push_back(Twin { first, digest, header: forge::signed_header(cx, header), batch });
    }

    /// What the deceived replicas hear in place of a message.
    pub(crate) fn lie(&self, cx: &Cx<'_>, message: &Message) -> Lie {
        let is_twinned = |digest: &Digest| self.twin_of(digest).is_some();
        match message {
            Message::Propose(propose) => Lie::or_truth(self.twin_proposal(propose).map(Message::Propose)),
            Message::Vote(vote) => {
                Lie::or_truth(self.twin_vote(vote.vote).map(|twin| forge::vote(cx, twin, vote)))
            }
            Message::Commit(commit) => {
                Lie::or_truth(self.twin_vote(commit.vote).map(|vote| Message::Commit(Commit { vote })))
            }
            Message::Status(status) => Lie::or_truth(self.twin_of(&status.committed.1).map(|twin| {
                Message::Status(Status { committed: (status.committed.0, twin.digest), ..*status })
            })),
            // Who asks for a block of the first chain would hear of the equivocation here.
            Message::Data(Data::Header(header) | Data::Block { header, .. })
                if is_twinned(&header.header.digest()) =>
            {
                Lie::Silence
            }
            Message::Data(Data::Chain(headers))
                if headers.iter().any(|header| is_twinned(&header.header.digest())) =>
            {
                let twins = headers
                    .iter()
                    .map(|header| self.twin_of(&header.header.digest()).map_or(*header, |twin| twin.header));
                Lie::Other(Message::Data(Data::Chain(Limited::take(twins))))
            }
            _ => Lie::Truth,
        }
    }

    /// What the honest machine may hear of the second chain, of which it would wonder: nothing. Who asks for
    /// its blocks is served.
    pub(crate) fn hear(&self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        match message {
            Message::Vote(vote) if self.twin(&vote.vote.digest).is_some() => Verdict::Drop,
            Message::Commit(commit) if self.twin(&commit.vote.digest).is_some() => {
                cx.send(from, Message::Commit(*commit));
                Verdict::Drop
            }
            Message::Evidence(evidence) if evidence.replica == cx.id() => Verdict::Drop,
            Message::Fetch(Fetch::Header(_, digest)) => {
                if let Some(twin) = self.twin(digest) {
                    cx.send(from, Message::Data(Data::Header(twin.header)));
                }
                Verdict::Deliver
            }
            Message::Fetch(Fetch::Blocks(digests)) => {
                for twin in digests.iter().filter_map(|(_, digest)| self.twin(digest)) {
                    let (header, batch) = (twin.header, twin.batch.clone());
                    cx.send(from, Message::Data(Data::Block { header, batch }));
                }
                Verdict::Deliver
            }
            _ => Verdict::Deliver,
        }
    }

    /// The proposal as the deceived replicas see it.
    fn twin_proposal(&self, propose: &Propose) -> Option<Propose> {
        let twin = self.twin_of(&propose.header.header.digest())?;
        let justify = match &propose.justify {
            // The second chain has no certificate for a block of the first.
            Justify::Quorum(certificate) if self.twin_of(&certificate.vote.digest).is_some() => Justify::None,
            other => other.clone(),
        };
        Some(Propose { header: twin.header, justify, batch: twin.batch.clone() })
    }

    fn twin_vote(&self, vote: VoteStatement) -> Option<VoteStatement> {
        let twin = self.twin_of(&vote.digest)?;
        Some(VoteStatement { height: twin.header.header.height, digest: twin.digest, ..vote })
    }

    /// The view change that claims the second chain; none if it would claim nothing else.
    pub(crate) fn twin_view_change(&self, cx: &Cx<'_>, truth: &ViewChange) -> Option<ViewChange> {
        if self.twin_of(&truth.high_qc.vote.digest).is_some() {
            return None;
        }
        let twin = |header: &_| self.twin_of(header).map(|twin| twin.header);
        let is_forked = truth.claim.iter().any(|header| twin(&header.header.digest()).is_some());
        let claim =
            truth.claim.iter().map(|header| twin(&header.header.digest()).unwrap_or(*header)).collect();
        is_forked.then(|| forge::view_change(cx, truth.new_view, truth.high_qc.clone(), claim))
    }
}

/// Another valid content: no requests, the same in another order, or another time.
fn other_content(cx: &mut Cx<'_>, propose: &Propose) -> (Bytes, Digest, Time) {
    let Header { batch: digest, time, .. } = propose.header.header;
    // An honest machine's batches can be read; if not, the time still tells two blocks apart.
    let bundles = Batch::parse(propose.batch.clone()).map_or(Vec::new(), |batch| batch.bundles().to_vec());
    match cx.draw(3) {
        0 if !bundles.is_empty() => {
            let batch = Batch::default();
            (batch.raw().clone(), batch.digest(), time)
        }
        1 if bundles.len() > 1 => {
            let batch = Batch::new(bundles.into_iter().rev().collect());
            (batch.raw().clone(), batch.digest(), time)
        }
        _ => (propose.batch.clone(), digest, Time(time.0.saturating_add(1))),
    }
}
