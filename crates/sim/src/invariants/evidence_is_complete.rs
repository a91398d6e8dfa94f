//! Whoever signs two statements that contradict each other is convicted by every honest replica that both reached.
//!
//! Attributable are, of one signer: two headers of a primary for one view and height, two votes for one view and height,
//! two view changes for one view, and two checkpoint votes for one height (rule V7). Commit votes, statuses and answers
//! carry no signature, wishes contradict nothing, and clients' bundles are not replicas' statements.
//!
//! "Reached" means that the replica had to take both in: the first was valid and is what it keeps for that place, and
//! neither was of a view that is over or outside the limits of memory. Where a rule lets a replica forget, it owes
//! nothing; here every such case is read in the replica's favour.

use quorate_consensus::{Event, Record};
use quorate_types::certificate::ViewChange;
use quorate_types::message::{CheckpointVote, Justify, Message, Propose, Vote};
use quorate_types::{Evidence, Height, ReplicaId, Signature, Statement, Unverified, View};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "two contradicting statements that reached an honest replica are reported";

/// How long a replica may take: two verifications, each of which takes half a millisecond at most.
const BOUND_NS: u64 = 10_000_000;
/// Most votes of one replica that are kept in a view.
const VOTES_MAX: usize = 64;
/// Votes so far above the committed height are always within the window of votes.
const AHEAD_MAX: u64 = 32;
/// View changes, and checkpoint votes, of one replica that are always kept.
const VIEW_CHANGES_KEPT: usize = 8;
const CHECKPOINT_VOTES_KEPT: usize = 2;
/// So many view changes of one replica at a time can push each other out while they are verified.
const BURST_MAX: usize = VIEW_CHANGES_KEPT;
/// Pieces of evidence against one replica that there is always room for.
const EVIDENCE_KEPT: usize = 8;

/// What reached each honest replica, and what it owes.
#[derive(Debug)]
pub(crate) struct EvidenceIsComplete(Vec<Reached>);

/// Who did what in which view, which is what a piece of evidence counts for.
type Offence = (ReplicaId, &'static str, Option<View>);

#[derive(Debug, Default)]
struct Reached {
    view: View,
    committed: Height,
    /// No header at or below it is surely held.
    forgotten: Height,
    stable: Height,
    /// The first votes for each place. One so far ahead that it may have been refused takes room and owes nothing.
    votes: BTreeMap<ReplicaId, BTreeMap<Height, Option<Vote>>>,
    /// Who sent a vote of a later view that does not verify: its place there may be taken.
    spoilt: BTreeSet<(ReplicaId, View)>,
    proposals: BTreeMap<Height, Propose>,
    view_changes: BTreeMap<ReplicaId, BTreeMap<View, Arc<ViewChange>>>,
    /// When reports of the latest view changes of each replica would be due.
    bursts: BTreeMap<ReplicaId, VecDeque<u64>>,
    checkpoint_votes: BTreeMap<ReplicaId, VecDeque<CheckpointVote>>,
    reported: BTreeSet<Offence>,
    owed: Vec<Owed>,
}

/// A report that has to come.
#[derive(Debug)]
struct Owed {
    offence: Offence,
    due: u64,
    until: Until,
}

/// What makes a report unnecessary.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// The replica leaves this view.
    Left(View),
    /// The replica enters this view or a later one.
    Entered(View),
    /// A checkpoint at this height or above is stable.
    Stable(Height),
}

impl EvidenceIsComplete {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self(history.replicas.iter().map(|_| Reached::default()).collect())
    }
}

impl Reached {
    /// A message arrives at a replica that is in this view.
    fn on_delivered(
        &mut self,
        history: &History,
        (from, to): (ReplicaId, ReplicaId),
        (at, view): (u64, View),
        message: &Message,
    ) -> Result<(), String> {
        if view != self.view {
            self.view = view;
            self.votes.clear();
            self.proposals.clear();
            self.spoilt.retain(|(_, spoilt)| *spoilt >= view);
        }
        let due = at + BOUND_NS;
        match message {
            Message::Vote(vote) => self.on_vote(history, from, vote, due),
            Message::Propose(propose) => self.on_proposal(history, (from, to), propose, due),
            Message::ViewChange(change) if change.replica == from => {
                self.on_view_change(history, change, due)
            }
            Message::CheckpointVote(vote) if vote.replica == from => {
                self.on_checkpoint_vote(history, vote, due);
            }
            _ => {}
        }
        self.judge(at, to)
    }

    fn on_vote(&mut self, history: &History, voter: ReplicaId, vote: &Vote, due: u64) {
        let (view, height) = (vote.vote.view, vote.vote.height);
        let signed = |vote: &Vote| (Statement::Vote(vote.vote), vote.signature);
        if view > self.view && !is_signed(history, voter, &signed(vote)) {
            self.spoilt.insert((voter, view));
        }
        if view != self.view || self.spoilt.contains(&(voter, view)) {
            return;
        }
        let is_ahead = height.0 > self.committed.0 + AHEAD_MAX;
        let kept = self.votes.entry(voter).or_default();
        let Some(first) = kept.get(&height).copied() else {
            kept.insert(height, (!is_ahead).then_some(*vote));
            if kept.len() > VOTES_MAX {
                kept.pop_first();
            }
            return;
        };
        let Some(first) = first.filter(|_| !is_ahead) else { return };
        self.on_two(history, voter, (signed(&first), signed(vote)), (due, Until::Left(view)));
    }

    fn on_proposal(
        &mut self,
        history: &History,
        (from, to): (ReplicaId, ReplicaId),
        propose: &Propose,
        due: u64,
    ) {
        let header = &propose.header.header;
        let (view, height) = (header.view, header.height);
        let is_in_reach =
            height > self.forgotten.max(self.stable) && height.0 <= self.committed.0 + AHEAD_MAX;
        if from != history.primary(view) || view != self.view || !is_in_reach {
            return;
        }
        let Some(first) = self.proposals.get(&height).cloned() else {
            self.proposals.insert(height, propose.clone());
            return;
        };
        if first.header == propose.header {
            return;
        }
        // A first block is kept if its parent is what its certificate selects, as its voter found.
        let voted = history.replicas[to.index()].votes.get(&(view, height));
        let has_voted =
            voted.is_some_and(|block| history.chain[*block].digest == first.header.header.digest());
        let is_taken_in = |propose: &Propose| match &propose.justify {
            Justify::None => true,
            Justify::Quorum(certificate) => certificate.vote.view == view && certificate.vote.height < height,
            Justify::ViewChange(_) => has_voted,
        };
        let is_valid = |propose: &Propose| is_good(history, Unverified::Proposal(Box::new(propose.clone())));
        if [&first, propose].into_iter().all(|propose| is_taken_in(propose) && is_valid(propose)) {
            let signed =
                |propose: &Propose| (Statement::Block(propose.header.header), propose.header.signature);
            self.on_two(history, from, (signed(&first), signed(propose)), (due, Until::Left(view)));
        }
    }

    /// Whether so many view changes of one replica came at a time that some may have found no room in verification.
    fn is_flood(&mut self, from: ReplicaId, due: u64) -> bool {
        let burst = self.bursts.entry(from).or_default();
        burst.push_back(due);
        if burst.len() > BURST_MAX {
            burst.pop_front();
        }
        burst.len() == BURST_MAX && burst.front().is_some_and(|first| first + BOUND_NS > due)
    }

    fn on_view_change(&mut self, history: &History, change: &Arc<ViewChange>, due: u64) {
        let view = change.new_view;
        if self.is_flood(change.replica, due) {
            // Nobody outside can tell which of them the replica still has.
            self.view_changes.remove(&change.replica);
            self.owed
                .retain(|owed| owed.offence.0 != change.replica || !matches!(owed.until, Until::Entered(_)));
            return;
        }
        if view <= self.view {
            return;
        }
        let kept = self.view_changes.entry(change.replica).or_default();
        let is_valid =
            |change: &Arc<ViewChange>| is_good(history, Unverified::ViewChange(Arc::clone(change)));
        let Some(first) = kept.get(&view).cloned() else {
            kept.insert(view, Arc::clone(change));
            if kept.len() > VIEW_CHANGES_KEPT {
                kept.pop_first();
            }
            return;
        };
        if first == *change {
            return;
        }
        if !is_valid(&first) {
            kept.insert(view, Arc::clone(change));
        } else if is_valid(change) && self.has_room(change.replica) {
            let signed = |change: &ViewChange| (change.statement(), change.signature);
            let two = (signed(&first), signed(change));
            self.on_two(history, change.replica, two, (due, Until::Entered(view)));
        }
    }

    fn on_checkpoint_vote(&mut self, history: &History, vote: &CheckpointVote, due: u64) {
        let height = vote.checkpoint.height;
        if height <= self.stable {
            return;
        }
        let signed = |vote: &CheckpointVote| (Statement::Checkpoint(vote.checkpoint), vote.signature);
        let kept = self.checkpoint_votes.entry(vote.replica).or_default();
        let Some(first) = kept.iter().find(|kept| kept.checkpoint.height == height).copied() else {
            if is_signed(history, vote.replica, &signed(vote)) {
                kept.push_back(*vote);
            }
            if kept.len() > CHECKPOINT_VOTES_KEPT {
                kept.pop_front();
            }
            return;
        };
        if self.has_room(vote.replica) {
            self.on_two(history, vote.replica, (signed(&first), signed(vote)), (due, Until::Stable(height)));
        }
    }

    fn has_room(&self, accused: ReplicaId) -> bool {
        self.reported.iter().filter(|(replica, ..)| *replica == accused).count() < EVIDENCE_KEPT
    }

    /// Two statements of one place: a report is owed if they contradict each other and both are signed.
    fn on_two(
        &mut self,
        history: &History,
        accused: ReplicaId,
        (first, second): ((Statement, Signature), (Statement, Signature)),
        (due, until): (u64, Until),
    ) {
        // Their places are one.
        if first.0 == second.0 || ![&first, &second].iter().all(|one| is_signed(history, accused, one)) {
            return;
        }
        let offence = offence(&Evidence { replica: accused, first, second });
        if !self.reported.contains(&offence) && !self.owed.iter().any(|owed| owed.offence == offence) {
            self.owed.push(Owed { offence, due, until });
        }
    }

    fn judge(&mut self, now: u64, replica: ReplicaId) -> Result<(), String> {
        let (view, stable) = (self.view, self.stable);
        self.owed.retain(|owed| match owed.until {
            Until::Left(left) => view == left,
            Until::Entered(entered) => view < entered,
            Until::Stable(height) => stable < height,
        });
        let overdue = self.owed.iter().find(|owed| owed.due < now);
        overdue.map_or(Ok(()), |Owed { offence: (accused, offence, of), .. }| {
            let of = of.map_or(String::new(), |view| format!(" in view {view}"));
            Err(format!("replica {replica} had {offence} of replica {accused}{of} and shows no proof"))
        })
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Committed { height, .. } => self.committed = self.committed.max(*height),
            Event::Stable(height, _) => {
                self.stable = self.stable.max(*height);
                self.proposals.retain(|kept, _| kept > height);
            }
            // The chain of the view begins anew.
            Event::Installed(height, _) => {
                self.forgotten = self.forgotten.max(*height);
                self.proposals.clear();
            }
            _ => {}
        }
    }

    /// What is in the log is known, and news no more.
    fn on_recovered(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Evidence(evidence) => drop(self.reported.insert(offence(evidence))),
                Record::Summary(summary) => {
                    self.reported.extend(summary.evidence.iter().map(|evidence| offence(evidence)));
                }
                _ => {}
            }
        }
    }

    /// The process ended, and with it what it kept.
    fn forget(&mut self) {
        *self = Self {
            view: self.view,
            committed: self.committed,
            forgotten: self.forgotten,
            stable: self.stable,
            reported: std::mem::take(&mut self.reported),
            ..Self::default()
        };
    }
}

impl Invariant for EvidenceIsComplete {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Delivered { at, from, to, view, message } => self.0[to.index()]
                .on_delivered(history, (*from, *to), (*at, *view), message)
                .map_err(|what| Violation::of(PROPERTY, what))?,
            Observation::Reported(replica, evidence) => {
                let (reached, offence) = (&mut self.0[replica.index()], offence(evidence));
                reached.owed.retain(|owed| owed.offence != offence);
                reached.reported.insert(offence);
            }
            // The power may have failed between the record of a proof and showing it.
            Observation::Recovered(replica, records, _) => self.0[replica.index()].on_recovered(records),
            Observation::Event(replica, event) => self.0[replica.index()].on_event(event),
            Observation::Stopped(replica)
            | Observation::Wiped(replica)
            | Observation::Distrusted(replica) => {
                self.0[replica.index()].forget();
            }
            _ => {}
        }
        Ok(())
    }
}

fn offence(evidence: &Evidence) -> Offence {
    let (kind, view) = match &evidence.first.0 {
        Statement::Block(header) => ("two headers", Some(header.view)),
        Statement::Vote(vote) => ("two votes", Some(vote.view)),
        Statement::ViewChange { view, .. } => ("two view changes", Some(*view)),
        Statement::Checkpoint(_) => ("two checkpoint votes", None),
        Statement::Wish { .. } | Statement::Bundle(_) => ("nothing", None),
    };
    (evidence.replica, kind, view)
}

fn is_signed(history: &History, signer: ReplicaId, (statement, signature): &(Statement, Signature)) -> bool {
    history.setup.membership.check_statement(signer, statement, signature).is_ok()
}

fn is_good(history: &History, value: Unverified) -> bool {
    history.setup.verifier.check(value).is_ok()
}
