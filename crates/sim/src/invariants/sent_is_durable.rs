//! Invariant 6: whatever was sent is on disk (rule D1), so that a restart can never contradict it.

use quorate_types::message::Message;
use quorate_types::{Header, ReplicaId, View};
use std::collections::BTreeSet;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::{History, ReplicaFacts};
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "whatever was sent is on disk";

/// What each replica has sent before: what is sent again was judged the first time.
#[derive(Debug)]
pub(crate) struct SentIsDurable(Vec<Sent>);

#[derive(Debug, Default)]
struct Sent {
    votes: BTreeSet<BlockRef>,
    commits: BTreeSet<BlockRef>,
    proposals: BTreeSet<BlockRef>,
    view_changes: BTreeSet<View>,
}

impl SentIsDurable {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self(history.replicas.iter().map(|_| Sent::default()).collect())
    }
}

impl Invariant for SentIsDurable {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let Observation::Sent(replica, message) = observation else { return Ok(()) };
        let sent = &mut self.0[replica.index()];
        let facts = &history.replicas[replica.index()];
        let find = |digest| history.chain.find(digest);
        let missing = match message {
            Message::Vote(vote) => match find(&vote.vote.digest) {
                Some(block) if sent.votes.insert(block) => missing_for_vote(history, facts, block),
                _ => None,
            },
            Message::Commit(commit) => match find(&commit.vote.digest) {
                Some(block) if sent.commits.insert(block) && !has_certificate(history, facts, block) => {
                    Some("the certificate behind it")
                }
                _ => None,
            },
            Message::Propose(propose) => match own_block(history, *replica, &propose.header.header) {
                Some(block) if sent.proposals.insert(block) && !facts.durable.blocks.contains(&block) => {
                    Some("the proposed block")
                }
                _ => None,
            },
            Message::ViewChange(view_change) if view_change.replica == *replica => {
                let view = view_change.new_view;
                let is_new = sent.view_changes.insert(view);
                (is_new && !facts.durable.view_changes.contains(&view)).then_some("the view change")
            }
            _ => None,
        };
        let Some(missing) = missing else { return Ok(()) };
        let kind = Message::KINDS[message.kind()];
        Err(Violation::of(PROPERTY, format!("replica {replica} sent a {kind} before {missing} was durable")))
    }
}

/// What a vote needs on the disk: itself, the certificate that it extends, and all blocks between.
fn missing_for_vote(history: &History, facts: &ReplicaFacts, block: BlockRef) -> Option<&'static str> {
    let (chain, durable) = (&history.chain, &facts.durable);
    if !durable.votes.contains(&block) {
        return Some("the vote");
    }
    let view = chain[block].view;
    let first = chain.first_of_view(block);
    if first != block && chain[durable.certified].view != view {
        return Some("a certificate of its view");
    }
    // What the certificate covers is in no claim; below an installed state its blocks were never held.
    if chain[durable.certified].view == view && chain.is_ancestor(block, durable.certified) {
        return None;
    }
    let mut ancestor = block;
    while ancestor != durable.certified && chain[ancestor].view == view && ancestor != crate::chain::GENESIS {
        if !durable.blocks.contains(&ancestor) {
            return Some("the block or an ancestor of it");
        }
        let Some(parent) = chain.parent(ancestor) else { break };
        ancestor = parent;
    }
    None
}

/// Rule C2. The certificate is what a commit vote promises to keep.
fn has_certificate(history: &History, facts: &ReplicaFacts, block: BlockRef) -> bool {
    let rank = |block: BlockRef| (history.chain[block].view, history.chain[block].height);
    rank(facts.durable.certified) >= rank(block)
}

fn own_block(history: &History, sender: ReplicaId, header: &Header) -> Option<BlockRef> {
    (history.primary(header.view) == sender).then(|| history.chain.find_header(header)).flatten()
}
