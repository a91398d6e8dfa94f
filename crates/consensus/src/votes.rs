//! Who voted for what in the present view: per replica the greatest acknowledged height and the
//! last 64 signatures, and the same for one view ahead.

use quorate_types::message::Vote;
use quorate_types::{Digest, Height, Quorums, ReplicaId, Signature, View, VoteStatement};
use std::collections::VecDeque;

use crate::mutation::{self, Mutation};

/// Most votes that are kept of one replica in one view.
const VOTES_MAX: usize = 64;

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It counts.
    New,
    /// It was there already, or is too old to matter.
    Known,
    /// The same replica voted for another block of this height before.
    Conflict(Vote),
}

/// The votes of one replica in one view.
#[derive(Clone, Debug, Default)]
struct Ballot {
    view: View,
    /// In rising order of height.
    votes: VecDeque<Vote>,
    /// The greatest height voted for on the own chain.
    acked: Height,
    /// The greatest block for which it sent a commit vote.
    commit: Option<VoteStatement>,
}

impl Ballot {
    fn in_view(view: View) -> Self {
        Self { view, ..Self::default() }
    }

    fn take(&mut self, vote: Vote) -> Taken {
        let place = self.votes.partition_point(|kept| kept.vote.height < vote.vote.height);
        if let Some(kept) = self.votes.get(place)
            && kept.vote.height == vote.vote.height
        {
            if kept.vote.digest == vote.vote.digest || mutation::is(Mutation::EvidenceOverlooked) {
                return Taken::Known;
            }
            return Taken::Conflict(*kept);
        }
        if self.votes.len() >= VOTES_MAX && !mutation::is(Mutation::VotesUnbounded) {
            if place == 0 {
                return Taken::Known;
            }
            self.votes.pop_front();
            self.votes.insert(place - 1, vote);
        } else {
            self.votes.insert(place, vote);
        }
        Taken::New
    }

    fn at(&self, height: Height) -> Option<&Vote> {
        let place = self.votes.binary_search_by_key(&height, |vote| vote.vote.height).ok()?;
        self.votes.get(place)
    }
}

/// All votes and commit votes that count.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    view: View,
    present: Vec<Ballot>,
    ahead: Vec<Ballot>,
}

impl Tally {
    pub(crate) fn new(quorums: Quorums, view: View) -> Self {
        let ballots = vec![Ballot::in_view(view); quorums.n()];
        Self { view, ahead: ballots.clone(), present: ballots }
    }

    /// Enters a view: what was heard ahead of it becomes the present.
    pub(crate) fn enter(&mut self, view: View) {
        self.view = view;
        for (present, ahead) in self.present.iter_mut().zip(&mut self.ahead) {
            if mutation::is(Mutation::StaleVotesCounted) {
                present.view = view;
            } else if ahead.view == view {
                *present = std::mem::take(ahead);
            } else {
                *present = Ballot::in_view(view);
            }
        }
    }

    fn ballot(&mut self, voter: ReplicaId, view: View) -> Option<&mut Ballot> {
        if view == self.view {
            return self.present.get_mut(voter.index());
        }
        let ahead = self.ahead.get_mut(voter.index())?;
        if view < self.view || view < ahead.view {
            return None;
        }
        if view > ahead.view {
            if mutation::is(Mutation::VotesUnbounded) {
                ahead.view = view;
                return Some(ahead);
            }
            *ahead = Ballot::in_view(view);
        }
        Some(ahead)
    }

    pub(crate) fn on_vote(&mut self, voter: ReplicaId, vote: Vote) -> Taken {
        self.ballot(voter, vote.vote.view).map_or(Taken::Known, |ballot| ballot.take(vote))
    }

    /// Says whether the commit vote is higher than what was heard of this replica.
    pub(crate) fn on_commit(&mut self, voter: ReplicaId, commit: VoteStatement) -> bool {
        let Some(ballot) = self.ballot(voter, commit.view) else { return false };
        if ballot.commit.is_some_and(|kept| kept.height >= commit.height) {
            return false;
        }
        ballot.commit = Some(commit);
        true
    }

    /// Notes that this replica's vote at this height is for the block on the own chain.
    pub(crate) fn acknowledge(&mut self, voter: ReplicaId, height: Height) {
        if let Some(ballot) = self.present.get_mut(voter.index()) {
            ballot.acked = ballot.acked.max(height);
        }
    }

    /// The own chain starts again: nothing is acknowledged on it yet.
    pub(crate) fn forget_acknowledged(&mut self) {
        for ballot in &mut self.present {
            ballot.acked = Height(0);
        }
    }

    /// A block joined the own chain: votes that came before it count now.
    pub(crate) fn on_linked(&mut self, height: Height, digest: Digest) {
        for ballot in &mut self.present {
            if ballot.at(height).is_some_and(|vote| vote.vote.digest == digest) {
                ballot.acked = ballot.acked.max(height);
            }
        }
    }

    /// [V7] The blocks at the same height for which others voted.
    pub(crate) fn others_at(&self, (height, digest): (Height, Digest)) -> Vec<(ReplicaId, (Height, Digest))> {
        let votes = (0..).map(ReplicaId).zip(&self.present);
        let others = votes.filter_map(|(voter, ballot)| {
            let vote = ballot.at(height).filter(|vote| vote.vote.digest != digest)?;
            Some((voter, (height, vote.vote.digest)))
        });
        others.collect()
    }

    /// [C1] The greatest height that a fast quorum acknowledged.
    pub(crate) fn fast(&self, quorums: Quorums) -> Option<Height> {
        let needed = quorums.fast() - usize::from(mutation::is(Mutation::FastQuorumMinusOne));
        Quorums::reached_by(needed, self.present.iter().map(|ballot| ballot.acked))
    }

    /// [C3] The commit votes, highest first.
    pub(crate) fn commits(&self) -> Vec<VoteStatement> {
        let mut commits: Vec<_> = self.present.iter().filter_map(|ballot| ballot.commit).collect();
        commits.sort_unstable_by_key(|commit| std::cmp::Reverse(commit.height));
        commits
    }

    /// The signatures on one block.
    pub(crate) fn signatures(&self, height: Height, digest: Digest) -> Vec<(ReplicaId, Signature)> {
        (0..)
            .map(ReplicaId)
            .zip(&self.present)
            .filter_map(|(voter, ballot)| {
                let vote = ballot.at(height).filter(|vote| vote.vote.digest == digest)?;
                Some((voter, vote.signature))
            })
            .collect()
    }

    /// The highest block on which a quorum voted, among those that `is_on_chain` accepts.
    pub(crate) fn prepared(
        &self,
        quorums: Quorums,
        is_on_chain: impl Fn(Height, &Digest) -> bool,
    ) -> Option<(Height, Digest)> {
        let heights = self.present.iter().map(|ballot| ballot.acked);
        let top = Quorums::reached_by(quorums.quorum(), heights)?;
        let lowest = Height(top.0.saturating_sub(VOTES_MAX as u64));
        (lowest.0 + 1..=top.0).rev().map(Height).find_map(|height| {
            let mut on_chain = self.present.iter().filter_map(|ballot| ballot.at(height));
            let digest = on_chain.find(|vote| is_on_chain(height, &vote.vote.digest))?.vote.digest;
            (self.signatures(height, digest).len() >= quorums.quorum()).then_some((height, digest))
        })
    }

    /// Drops a vote whose signature is bad.
    pub(crate) fn drop_vote(&mut self, voter: ReplicaId, vote: &VoteStatement) {
        if let Some(ballot) = self.present.get_mut(voter.index()) {
            ballot.votes.retain(|kept| kept.vote != *vote);
        }
    }

    /// The highest vote of each replica in the present view.
    pub(crate) fn highest(&self) -> impl Iterator<Item = (ReplicaId, &Vote)> {
        (0..)
            .map(ReplicaId)
            .zip(&self.present)
            .filter_map(|(voter, ballot)| Some((voter, ballot.votes.back()?)))
    }

    /// This replica's votes above a height, to be sent again.
    pub(crate) fn votes_above(&self, voter: ReplicaId, height: Height) -> Vec<Vote> {
        let ballot = self.present.get(voter.index());
        let votes = ballot.into_iter().flat_map(|ballot| &ballot.votes);
        votes.filter(|vote| vote.vote.height > height).copied().collect()
    }

    /// How many votes of a replica are kept.
    pub(crate) fn held_of(&self, voter: ReplicaId) -> usize {
        self.present[voter.index()].votes.len() + self.ahead[voter.index()].votes.len()
    }

    /// This replica's commit vote.
    pub(crate) fn commit_of(&self, voter: ReplicaId) -> Option<VoteStatement> {
        self.present.get(voter.index())?.commit
    }
}
