//! What can the traitor say? All that its key and what the honest replicas sent allow, out of a bounded vocabulary. It says
//! anything to anybody at any time, so what it said before does not matter.

use bytes::Bytes;
use quorate_consensus::{BlockId, select};
use quorate_types::certificate::{QuorumCertificate, SignedHeader, ViewChange, ViewChangeCertificate};
use quorate_types::limited::Limited;
use quorate_types::message::{Commit, Data, Fetch, Justify, Message, Propose, Vote};
use quorate_types::{
    Batch, Bundle, Digest, Header, Height, ReplicaId, SecretKey, Signature, Statement, Time, View,
    VoteStatement,
};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::local::START;
use super::messages::{MessageId, Messages, Sent};
use super::scope::Phase;
use crate::setup::Setup;

/// The traitor's number.
pub(super) const TRAITOR: ReplicaId = ReplicaId(0);
const QUORUM: usize = 3;

/// Its key, and the blocks that it makes without anybody.
pub(super) struct Traitor {
    setup: Arc<Setup>,
    key: SecretKey,
    /// Its proposals of view 0.
    opening: Vec<Propose>,
    /// Every batch that there is, by its digest.
    batches: BTreeMap<Digest, Bytes>,
}

/// What honest replicas sent so far, in one state of the whole.
#[derive(Debug, Default)]
struct Known {
    votes: BTreeMap<(View, Height, Digest), Vec<(ReplicaId, Vote)>>,
    commits: Vec<VoteStatement>,
    view_changes: Vec<Arc<ViewChange>>,
    asked: Vec<(ReplicaId, Fetch)>,
}

impl Traitor {
    pub(super) fn new(setup: &Arc<Setup>, bundle: &Bundle, depth: u8) -> Self {
        let full = Batch::new(vec![bundle.clone()]);
        let empty = Batch::default();
        let batches = [&full, &empty].map(|batch| (batch.digest(), batch.raw().clone())).into();
        let key = setup.key(TRAITOR);
        let mut traitor = Self { setup: Arc::clone(setup), key, opening: Vec::new(), batches };
        if setup.membership.primary(View(0)) == TRAITOR {
            for batch in [&full, &empty] {
                let mut parent = (Height(0), setup.membership.genesis_block());
                for height in 0..depth {
                    let batch = if height == 0 { batch } else { &empty };
                    let propose = traitor.propose(View(0), parent, START, batch, Justify::None);
                    parent = (propose.header.header.height, propose.header.header.digest());
                    traitor.opening.push(propose);
                }
            }
        }
        traitor
    }

    /// What it can say in a phase, when this was sent.
    pub(super) fn vocabulary(
        &self,
        phase: Phase,
        sent: &[MessageId],
        messages: &mut Messages,
    ) -> Vec<MessageId> {
        let known = Known::of(sent, messages);
        let said: Vec<(Option<ReplicaId>, Message)> = match phase {
            Phase::Propose(view) => to_all(self.proposals(View(view), &known, messages)),
            Phase::Vote(view) | Phase::Votes(view) => to_all(self.votes(View(view), &known)),
            Phase::Commits(view) => to_all(Self::commits(View(view), &known)),
            Phase::ViewChange(view) => {
                let changes = self.view_changes(View(view), &known, messages).into_iter();
                to_all(changes.map(|change| Message::ViewChange(Arc::new(change))).collect())
            }
            Phase::Data => self.answers(&known, messages),
            Phase::Timeout | Phase::Timeouts | Phase::Fetch | Phase::Any(_) => Vec::new(),
        };
        said.into_iter().map(|(to, message)| messages.number(Sent { from: TRAITOR, to, message })).collect()
    }

    fn proposals(&self, view: View, known: &Known, messages: &Messages) -> Vec<Message> {
        let membership = &self.setup.membership;
        if membership.primary(view) != TRAITOR {
            return Vec::new();
        }
        if view == View(0) {
            return self.opening.iter().cloned().map(Message::Propose).collect();
        }
        let own = self.view_changes(view, known, messages).into_iter().map(Arc::new);
        let honest = known.view_changes.iter().filter(|change| change.new_view == view).cloned();
        let all: Vec<Arc<ViewChange>> = own.chain(honest).collect();
        let mut openings: BTreeMap<BlockId, Arc<ViewChangeCertificate>> = BTreeMap::new();
        for chosen in choices(&all) {
            let chosen: Vec<&ViewChange> = chosen.into_iter().map(|change| &**change).collect();
            if let Ok(base) = select(&chosen, membership.quorums(), |view| membership.primary(view)) {
                let view_changes = Limited::take(chosen.into_iter().cloned());
                openings.entry(base).or_insert_with(|| Arc::new(ViewChangeCertificate { view_changes }));
            }
        }
        // What any of them selects, and genesis, are the wrong blocks to go on from for the others.
        let mut bases: Vec<BlockId> = openings.keys().copied().collect();
        bases.push((Height(0), membership.genesis_block()));
        bases.sort_unstable();
        bases.dedup();
        let mut proposals = Vec::new();
        for (selected, certificate) in &openings {
            for base in &bases {
                for variant in 0..if base == selected { 2 } else { 1 } {
                    let parent = messages.block(&base.1).map_or(START, |signed| signed.header.time);
                    let justify = Justify::ViewChange(Arc::clone(certificate));
                    let time = Time(parent.0 + variant);
                    let propose = self.propose(view, *base, time, &Batch::default(), justify);
                    proposals.push(Message::Propose(propose));
                }
            }
        }
        proposals
    }

    fn propose(&self, view: View, parent: BlockId, time: Time, batch: &Batch, justify: Justify) -> Propose {
        let membership = &self.setup.membership;
        let header = Header {
            cluster: membership.cluster(),
            epoch: membership.epoch(),
            view,
            height: parent.0.next(),
            parent: parent.1,
            batch: batch.digest(),
            time,
        };
        Propose { header: SignedHeader::sign(header, &self.key), justify, batch: batch.raw().clone() }
    }

    /// One for each block that an honest replica voted for.
    fn votes(&self, view: View, known: &Known) -> Vec<Message> {
        let blocks = known.votes.iter().filter(|(place, _)| place.0 == view);
        let like = blocks.filter_map(|(_, votes)| votes.first());
        like.map(|(_, like)| {
            Message::Vote(Vote { signature: self.sign(&Statement::Vote(like.vote)), ..*like })
        })
        .collect()
    }

    fn commits(view: View, known: &Known) -> Vec<Message> {
        let voted = known.votes.values().filter_map(|votes| votes.first()).map(|(_, vote)| vote.vote);
        let mut named: Vec<VoteStatement> = voted.chain(known.commits.iter().copied()).collect();
        named.retain(|vote| vote.view == view);
        named.sort_unstable_by_key(|vote| vote.digest);
        named.dedup();
        named.into_iter().map(|vote| Message::Commit(Commit { vote })).collect()
    }

    /// One for each certificate that votes allow, with each claim above it. The first has nothing to tell.
    fn view_changes(&self, view: View, known: &Known, messages: &Messages) -> Vec<ViewChange> {
        let membership = &self.setup.membership;
        let mut certificates =
            vec![QuorumCertificate::genesis(membership.epoch(), membership.genesis_block())];
        certificates.extend(known.votes.values().filter_map(|votes| self.certify(votes)));
        certificates.retain(|certificate| certificate.vote.view < view);
        let mut changes = Vec::new();
        for certificate in certificates {
            let below = (certificate.vote.view, certificate.vote.digest);
            let mut claims: Vec<Vec<SignedHeader>> = vec![Vec::new()];
            let mut next = 0;
            while let Some(claim) = claims.get(next).cloned() {
                let top = claim.last().map_or(below.1, |last| last.header.digest());
                let above = self.blocks(known, messages).into_iter();
                let above = above.filter(|block| block.header.parent == top && block.header.view == below.0);
                claims.extend(above.map(|block| claim.iter().copied().chain([block]).collect()));
                next += 1;
            }
            changes
                .extend(claims.into_iter().map(|claim| self.view_change(view, certificate.clone(), claim)));
        }
        changes
    }

    /// The blocks that honest replicas voted for, and its own of view 0.
    fn blocks(&self, known: &Known, messages: &Messages) -> Vec<SignedHeader> {
        let voted = known.votes.keys().filter_map(|(_, _, digest)| messages.block(digest)).copied();
        let mut blocks: Vec<SignedHeader> = voted.chain(self.opening.iter().map(|own| own.header)).collect();
        blocks.sort_unstable_by_key(|block| block.header.digest());
        blocks.dedup();
        blocks
    }

    fn view_change(
        &self,
        new_view: View,
        high_qc: QuorumCertificate,
        claim: Vec<SignedHeader>,
    ) -> ViewChange {
        let (epoch, replica) = (self.setup.membership.epoch(), TRAITOR);
        let (claim, signature) = (Limited::take(claim), Signature([0; 64]));
        let unsigned = ViewChange { epoch, new_view, replica, high_qc, claim, signature };
        ViewChange { signature: self.sign(&unsigned.statement()), ..unsigned }
    }

    /// A certificate of two honest votes or more, and its own.
    fn certify(&self, votes: &[(ReplicaId, Vote)]) -> Option<QuorumCertificate> {
        let vote = votes.first()?.1.vote;
        let own = (TRAITOR, self.sign(&Statement::Vote(vote)));
        let honest = votes.iter().map(|(voter, vote)| (*voter, vote.signature));
        let signatures: Vec<_> = std::iter::once(own).chain(honest).take(QUORUM).collect();
        (signatures.len() == QUORUM)
            .then(|| QuorumCertificate { vote, signatures: Limited::take(signatures) })
    }

    /// The blocks that it is asked for.
    fn answers(&self, known: &Known, messages: &Messages) -> Vec<(Option<ReplicaId>, Message)> {
        let mut answers = Vec::new();
        for (asker, fetch) in &known.asked {
            let wanted: Vec<Digest> = match fetch {
                Fetch::Header(_, digest) => vec![*digest],
                Fetch::Blocks(blocks) => blocks.iter().map(|(_, digest)| *digest).collect(),
                _ => Vec::new(),
            };
            for header in wanted.iter().filter_map(|digest| messages.block(digest)).copied() {
                let batch = self.batches.get(&header.header.batch).cloned();
                let data = match (fetch, batch) {
                    (Fetch::Blocks(_), Some(batch)) => Data::Block { header, batch },
                    _ => Data::Header(header),
                };
                answers.push((Some(*asker), Message::Data(data)));
            }
        }
        answers
    }

    fn sign(&self, statement: &Statement) -> Signature {
        statement.sign(&self.key, &self.setup.membership.cluster())
    }
}

impl Known {
    fn of(sent: &[MessageId], messages: &Messages) -> Self {
        let mut known = Self::default();
        for sent in sent.iter().map(|number| messages.get(*number)) {
            match &sent.message {
                Message::Vote(vote) => {
                    let place = (vote.vote.view, vote.vote.height, vote.vote.digest);
                    let votes = known.votes.entry(place).or_default();
                    if votes.iter().all(|(voter, _)| *voter != sent.from) {
                        votes.push((sent.from, *vote));
                    }
                }
                Message::Commit(commit) => known.commits.push(commit.vote),
                Message::ViewChange(change) => known.view_changes.push(Arc::clone(change)),
                Message::Fetch(fetch) if sent.to == Some(TRAITOR) => {
                    known.asked.push((sent.from, fetch.clone()))
                }
                _ => {}
            }
        }
        for votes in known.votes.values_mut() {
            votes.sort_by_key(|(voter, _)| *voter);
        }
        known.view_changes.sort_by_key(|change| change.replica);
        known
    }
}

fn to_all(messages: Vec<Message>) -> Vec<(Option<ReplicaId>, Message)> {
    messages.into_iter().map(|message| (None, message)).collect()
}

/// Every choice of a quorum of view changes by distinct replicas, in their order.
fn choices(all: &[Arc<ViewChange>]) -> Vec<Vec<&Arc<ViewChange>>> {
    let mut choices = Vec::new();
    for (one, first) in all.iter().enumerate() {
        for (two, second) in all.iter().enumerate().skip(one + 1) {
            for third in &all[two + 1..] {
                if first.replica < second.replica && second.replica < third.replica {
                    choices.push(vec![first, second, third]);
                }
            }
        }
    }
    choices
}
