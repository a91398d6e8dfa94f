//! What is explored? Who leads which view, and which messages come when.

use serde::{Deserialize, Serialize};

/// One exploration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Who leads each view; replica 0 is the traitor.
    pub primaries: Vec<u16>,
    /// What happens in order.
    pub phases: Vec<Phase>,
    /// How many blocks the traitor has above each other in view 0, 1 or 2.
    pub depth: u8,
    /// Most states after a phase; beyond it the exploration says that it is not complete, and ends.
    pub states_max: usize,
}

/// What honest replicas may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Proposals of a view. A traitor that leads view 0 has two for each height; a later view it may open on whatever some
    /// certificate selects, twice each, and on what that certificate does not select.
    Propose(u64),
    /// Votes of a view: the traitor has one for every block that an honest replica voted for.
    Vote(u64),
    /// Commit votes of a view, as votes.
    Commit(u64),
    /// Their view timers run out, or not.
    Timeout,
    /// View changes for a view: the traitor has one for each certificate that votes allow, with each claim above it. Who is
    /// not to lead the view gets the first of them alone, as its own certificate does not depend on it.
    ViewChange(u64),
    /// Questions for blocks and proofs.
    Fetch,
    /// Answers; the traitor may answer what it was asked.
    Data,
    /// One message of any kind or one timeout at a time, in any order, so many times.
    Any(u8),
}

/// Most states after a phase, unless a scope says otherwise.
const STATES_MAX: usize = 4_000_000;

impl Scope {
    /// Two views under these primaries, votes and commits of the first included.
    #[must_use]
    pub fn two_views(primaries: [u16; 2]) -> Self {
        let mut phases = vec![Phase::Propose(0), Phase::Vote(0), Phase::Timeout];
        phases.extend(opening(1));
        Self::of(&primaries, phases)
    }

    /// Three views under these primaries. Of the first view only proposals, and of the second no commit votes are
    /// delivered: what a replica knows to be committed makes it more careful, and is not needed to be wrong.
    #[must_use]
    pub fn three_views(primaries: [u16; 3]) -> Self {
        let mut phases = vec![Phase::Propose(0), Phase::Timeout];
        phases.extend(opening(1));
        phases.extend([Phase::Vote(1), Phase::Timeout]);
        phases.extend(opening(2));
        Self::of(&primaries, phases)
    }

    /// Two views under these primaries, and any order of so many steps.
    #[must_use]
    pub fn any_order(primaries: [u16; 2], steps: u8) -> Self {
        Self::of(&primaries, vec![Phase::Any(steps)])
    }

    fn of(primaries: &[u16], phases: Vec<Phase>) -> Self {
        Self { primaries: primaries.to_vec(), phases, depth: 1, states_max: STATES_MAX }
    }

    /// Every exploration of the long run, with its name. Honest replicas that have not led yet are alike: of views that
    /// differ in their names alone there is one.
    #[must_use]
    pub fn all() -> Vec<(String, Self)> {
        let name = |kind: &str, primaries: &[u16]| {
            let primaries: Vec<String> = primaries.iter().map(u16::to_string).collect();
            format!("{kind} {}", primaries.join("-"))
        };
        let mut all = Vec::new();
        for primaries in leaders::<2>() {
            all.push((name("two views", &primaries), Self::two_views(primaries)));
            let deep = Self { depth: 2, ..Self::two_views(primaries) };
            all.push((name("two views, two blocks", &primaries), deep));
            all.push((name("any order", &primaries), Self::any_order(primaries, ANY_STEPS)));
        }
        for primaries in leaders::<3>() {
            all.push((name("three views", &primaries), Self::three_views(primaries)));
        }
        all
    }
}

/// Steps in any order of the long run.
const ANY_STEPS: u8 = 9;

/// How a view begins.
fn opening(view: u64) -> [Phase; 6] {
    [Phase::ViewChange(view), Phase::Fetch, Phase::Data, Phase::Propose(view), Phase::Fetch, Phase::Data]
}

/// Who may lead so many views; an honest replica with a number leads only after all with lower numbers did.
fn leaders<const VIEWS: usize>() -> Vec<[u16; VIEWS]> {
    let count = 4_u32.pow(VIEWS as u32);
    let of = |number: u32| std::array::from_fn(|view| (number / 4_u32.pow(view as u32) % 4) as u16);
    let is_first_of_alike = |primaries: &[u16; VIEWS]| {
        let mut highest = 0;
        primaries.iter().all(|primary| {
            let is_next = *primary <= highest + 1;
            highest = highest.max(*primary);
            is_next
        })
    };
    (0..count).map(of).filter(is_first_of_alike).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_leaders_are_named_in_order() {
        assert_eq!(leaders::<2>(), [[0, 0], [1, 0], [0, 1], [1, 1], [1, 2]]);
        assert_eq!(leaders::<3>().len(), 15);
    }
}
