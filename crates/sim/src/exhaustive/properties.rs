//! What must hold of three honest machines, whatever the traitor said? Judged by what they sent, with arithmetic of its
//! own: four replicas, one of them faulty.

use quorate_consensus::CommitRule;
use quorate_types::{Digest, Height, View};

use super::local::Facts;
use super::messages::Messages;

/// So many honest votes and the traitor's make three, which is a quorum and a fast quorum of four replicas.
const HONEST_ENOUGH: usize = 2;

type Place = (View, Height, Digest);

/// The first property that does not hold.
pub(super) fn judge(facts: [&Facts; 3], messages: &Messages) -> Option<String> {
    for (id, facts) in facts.iter().enumerate() {
        if let Some(offence) = facts.offence {
            return Some(format!("replica {} {offence}", id + 1));
        }
    }
    let votes = places(facts, |facts| &facts.votes);
    let commits = places(facts, |facts| &facts.commits);
    let could = |block: &Place| could_commit(facts, messages, block);
    let committable: Vec<Place> = votes.iter().chain(&commits).copied().filter(could).collect();
    for block in &committable {
        let broken = committable.iter().find(|other| !are_on_one_chain(messages, block, other));
        if let Some(other) = broken {
            return Some(format!("both {block:?} and {other:?} may be committed"));
        }
        let later = votes.iter().filter(|vote| vote.0 > block.0);
        if let Some(vote) = later.into_iter().find(|vote| !messages.extends(vote.2, (block.1, block.2))) {
            return Some(format!("{block:?} may be committed, and the vote for {vote:?} does not extend it"));
        }
    }
    facts.iter().enumerate().find_map(|(id, own)| {
        // [C4] A commit commits all ancestors, and each of them by the rule of the last one.
        let is_proven = |(height, digest, rule): &(Height, Digest, CommitRule)| {
            let above = |places: &[Place], could: &dyn Fn(&Place) -> bool| {
                places.iter().any(|place| messages.extends(place.2, (*height, *digest)) && could(place))
            };
            match rule {
                CommitRule::Fast => above(&votes, &|place| could_commit_fast(facts, messages, place)),
                CommitRule::Slow => above(&commits, &|place| could_commit_slowly(facts, messages, place)),
                CommitRule::Proof | CommitRule::Log => true,
            }
        };
        let wrong =
            own.committed.iter().filter(|(height, ..)| height.0 > 0).find(|commit| !is_proven(commit));
        wrong.map(|(height, digest, rule)| {
            format!(
                "replica {} committed {digest:?} at height {height} by rule {rule:?} without proof",
                id + 1
            )
        })
    })
}

fn places(facts: [&Facts; 3], of: impl Fn(&Facts) -> &Vec<Place>) -> Vec<Place> {
    let mut all: Vec<Place> = facts.iter().flat_map(|facts| of(facts)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn are_on_one_chain(messages: &Messages, one: &Place, other: &Place) -> bool {
    messages.extends(one.2, (other.1, other.2)) || messages.extends(other.2, (one.1, one.2))
}

/// Rules C1 and C3, with all that the traitor could add.
fn could_commit(facts: [&Facts; 3], messages: &Messages, block: &Place) -> bool {
    could_commit_fast(facts, messages, block) || could_commit_slowly(facts, messages, block)
}

fn could_commit_fast(facts: [&Facts; 3], messages: &Messages, block: &Place) -> bool {
    !messages.is_first(&block.2) && backers(facts, messages, block, |facts| &facts.votes) >= HONEST_ENOUGH
}

fn could_commit_slowly(facts: [&Facts; 3], messages: &Messages, block: &Place) -> bool {
    backers(facts, messages, block, |facts| &facts.commits) >= HONEST_ENOUGH
}

/// How many honest replicas named the block, or one of its view that extends it.
fn backers(
    facts: [&Facts; 3],
    messages: &Messages,
    (view, height, digest): &Place,
    of: impl Fn(&Facts) -> &Vec<Place>,
) -> usize {
    let backs = |named: &Place| named.0 == *view && messages.extends(named.2, (*height, *digest));
    facts.iter().filter(|facts| of(facts).iter().any(backs)).count()
}
