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
    /// For how many seconds; an exploration that is not done then says so.
    pub seconds_max: u64,
}

/// What honest replicas may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// None, one or two of the proposals of a view, in any order. A traitor that leads view 0 has two for each height; a
    /// later view it may open on whatever some certificate selects, twice each, and on what that certificate does not select.
    Propose(u64),
    /// Any of the votes of a view, in any order: the traitor has one for every block that an honest replica voted for.
    Vote(u64),
    /// All votes of a view or none.
    Votes(u64),
    /// All commit votes of a view or none: the traitor has one for every block that an honest replica voted for.
    Commits(u64),
    /// The view timer runs out or does not.
    Timeout,
    /// The view timer runs out, if it runs.
    Timeouts,
    /// For who is to lead the view, any of the view changes for it, in any order: the traitor has one for each certificate
    /// that votes allow, with each claim above it. For the others, to whom it matters only that there are enough, all honest
    /// ones with the first of the traitor's, or none.
    ViewChange(u64),
    /// All questions for blocks and proofs, or none.
    Fetch,
    /// All answers, or none; the traitor answers what it was asked.
    Data,
    /// One message of any kind or one timeout at a time, in any order, so many times.
    Any(u8),
}

/// Unless a scope says otherwise.
const SECONDS_MAX: u64 = 30;
/// Steps in any order of the long run.
const ANY_STEPS: u8 = 9;

impl Scope {
    /// One view under this primary, with votes that come before and after view changes, and any order of them.
    #[must_use]
    pub fn one_view(primary: u16) -> Self {
        Self::of(&[primary], vec![Phase::Propose(0), Phase::Vote(0), Phase::Timeout, Phase::Vote(0)])
    }

    /// Two views under these primaries, up to the commit of the second one's first block. Votes of the first view are not
    /// delivered: whoever knows that something is committed is more careful, and nothing wrong needs it.
    #[must_use]
    pub fn two_views(primaries: [u16; 2]) -> Self {
        let mut phases = vec![Phase::Propose(0), Phase::Timeout];
        phases.extend(opening(1));
        phases.extend([Phase::Votes(1), Phase::Commits(1)]);
        Self::of(&primaries, phases)
    }

    /// Three views under these primaries, up to the votes for the third one's first block. Everybody leaves the views at
    /// their ends; whoever is not heard has as good as stayed.
    #[must_use]
    pub fn three_views(primaries: [u16; 3]) -> Self {
        let mut phases = vec![Phase::Propose(0), Phase::Timeouts];
        phases.extend(opening(1));
        phases.extend([Phase::Votes(1), Phase::Timeouts]);
        phases.extend(opening(2));
        Self::of(&primaries, phases)
    }

    /// Two views under these primaries, and any order of so many steps.
    #[must_use]
    pub fn any_order(primaries: [u16; 2], steps: u8) -> Self {
        Self::of(&primaries, vec![Phase::Any(steps)])
    }

    fn of(primaries: &[u16], phases: Vec<Phase>) -> Self {
        Self { primaries: primaries.to_vec(), phases, depth: 1, seconds_max: SECONDS_MAX }
    }

    /// Every exploration of the long run, with its name. Honest replicas that have not led yet are alike: of scopes that
    /// differ in their names alone there is one.
    #[must_use]
    pub fn all() -> Vec<(String, Self)> {
        let deep = |scope| Self { depth: 2, ..scope };
        let mut scopes = vec![
            ("one view", Self::one_view(0)),
            ("one view", Self::one_view(1)),
            ("one view, two blocks", deep(Self::one_view(0))),
        ];
        for primaries in leaders::<2>() {
            scopes.push(("two views", Self::two_views(primaries)));
            if primaries[0] == 0 {
                scopes.push(("two views, two blocks", deep(Self::two_views(primaries))));
            }
            scopes.push(("any order", Self::any_order(primaries, ANY_STEPS)));
        }
        scopes.extend(
            leaders::<3>().into_iter().map(|primaries| ("three views", Self::three_views(primaries))),
        );
        let name = |(kind, scope): (&str, Self)| {
            let primaries: Vec<String> = scope.primaries.iter().map(u16::to_string).collect();
            (format!("{kind} {}", primaries.join("-")), scope)
        };
        scopes.into_iter().map(name).collect()
    }
}

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
