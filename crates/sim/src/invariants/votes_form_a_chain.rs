//! Invariant 2: the votes of an honest replica in a view form a chain, and after a view change it
//! casts none in the views that it left. Nor does it ever sign two statements for one place.

use quorate_consensus::Record;
use quorate_types::certificate::ViewChange;
use quorate_types::message::{CheckpointVote, Message};
use quorate_types::{CheckpointStatement, Height, ReplicaId, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "honest votes per view form a chain, none after a view change";

/// What each replica signed.
#[derive(Debug)]
pub(crate) struct VotesFormAChain(Vec<Signed>);

#[derive(Debug, Default)]
struct Signed {
    votes: BTreeSet<BlockRef>,
    last: Option<BlockRef>,
    commits: BTreeSet<BlockRef>,
    proposals: BTreeMap<(View, Height), BlockRef>,
    view_changes: BTreeMap<View, Arc<ViewChange>>,
    /// The highest view change that the running process has made, sent or not.
    made: View,
    checkpoints: BTreeMap<Height, CheckpointStatement>,
}

impl VotesFormAChain {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self(history.replicas.iter().map(|_| Signed::default()).collect())
    }
}

impl Signed {
    /// The lowest view in which it may still sign.
    fn view_min(&self) -> View {
        self.view_changes.last_key_value().map_or(View(0), |(view, _)| *view).max(self.made)
    }

    fn on_vote(&mut self, history: &History, block: BlockRef) -> Result<(), String> {
        if !self.votes.insert(block) {
            return Ok(());
        }
        let (view, height) = (history.chain[block].view, history.chain[block].height);
        if view < self.view_min() {
            return Err(format!("voted in view {view} after it asked for view {}", self.view_min()));
        }
        if let Some(last) = self.last.replace(block) {
            let before = &history.chain[last];
            if view < before.view {
                return Err(format!("voted in view {view} after it voted in view {}", before.view));
            }
            if view == before.view && !history.chain.is_ancestor(last, block) {
                return Err(format!(
                    "voted in view {view} for height {height}, which does not extend its vote for height {}",
                    before.height
                ));
            }
        }
        Ok(())
    }

    fn on_commit(&mut self, history: &History, block: BlockRef) -> Result<(), String> {
        let view = history.chain[block].view;
        if self.commits.insert(block) && view < self.view_min() {
            return Err(format!(
                "sent a commit vote of view {view} after it asked for view {}",
                self.view_min()
            ));
        }
        Ok(())
    }

    fn on_propose(&mut self, history: &History, block: BlockRef) -> Result<(), String> {
        let (view, height) = (history.chain[block].view, history.chain[block].height);
        let view_min = self.view_min();
        match self.proposals.insert((view, height), block) {
            None if view < view_min => {
                Err(format!("proposed in view {view} after it asked for view {view_min}"))
            }
            Some(other) if other != block => {
                Err(format!("proposed two blocks in view {view} at height {height}"))
            }
            _ => Ok(()),
        }
    }

    fn on_view_change(&mut self, view_change: &Arc<ViewChange>) -> Result<(), String> {
        let view = view_change.new_view;
        let known = self.view_changes.entry(view).or_insert_with(|| Arc::clone(view_change));
        if Arc::ptr_eq(known, view_change) || known == view_change {
            return Ok(());
        }
        Err(format!("signed two view changes for view {view}"))
    }

    /// Rule R4. Whoever forgets its last vote tells too low a tip, and may vote again.
    fn on_status(&self, history: &History, told: (View, Height)) -> Result<(), String> {
        let last = self.last.map(|last| (history.chain[last].view, history.chain[last].height));
        match last {
            Some(last) if told < last => {
                Err(format!("tells a last vote {told:?} below the one it sent, {last:?}"))
            }
            _ => Ok(()),
        }
    }

    fn on_checkpoint(&mut self, vote: &CheckpointVote) -> Result<(), String> {
        let known = self.checkpoints.entry(vote.checkpoint.height).or_insert(vote.checkpoint);
        if *known == vote.checkpoint {
            return Ok(());
        }
        Err(format!("vouched for two states at height {}", vote.checkpoint.height))
    }
}

impl Invariant for VotesFormAChain {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let (replica, message) = match observation {
            Observation::Sent(replica, message) => (replica, message),
            // [V6] From the moment that a view change is made, votes that wait for the disk are void.
            Observation::Appended(replica, _, Record::ViewChange(view_change)) => {
                let made = &mut self.0[replica.index()].made;
                *made = view_change.new_view.max(*made);
                return Ok(());
            }
            Observation::Stopped(replica) => {
                self.0[replica.index()].made = View(0);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let signed = &mut self.0[replica.index()];
        let find =
            |digest| history.chain.find(digest).ok_or("voted for a block that nobody proposed".to_owned());
        let result = match message {
            Message::Vote(vote) => find(&vote.vote.digest).and_then(|block| signed.on_vote(history, block)),
            Message::Commit(commit) => {
                find(&commit.vote.digest).and_then(|block| signed.on_commit(history, block))
            }
            Message::Propose(propose) => own_proposal(history, *replica, &propose.header.header)
                .map_or(Ok(()), |block| signed.on_propose(history, block)),
            Message::ViewChange(view_change) if view_change.replica == *replica => {
                signed.on_view_change(view_change)
            }
            Message::Status(status) if !history.replicas[replica.index()].is_wiped => {
                signed.on_status(history, status.last_vote)
            }
            Message::CheckpointVote(vote) if vote.replica == *replica => signed.on_checkpoint(vote),
            _ => Ok(()),
        };
        result.map_err(|what| Violation::of(PROPERTY, format!("replica {replica} {what}")))
    }
}

/// The block, if the sender is the one that signed it: others may pass a proposal on.
fn own_proposal(history: &History, sender: ReplicaId, header: &quorate_types::Header) -> Option<BlockRef> {
    (history.primary(header.view) == sender).then(|| history.chain.find_header(header)).flatten()
}
