//! Invariant 4: whenever votes prove b committed, `select` of every possible view-change certificate
//! extends b. And the first block that honest replicas vote for in a view is where it must be.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};
use std::collections::BTreeSet;

use super::Invariant;
use super::selection::{contains, selected, subsets};
use crate::chain::{BlockRef, GENESIS, ReplicaSet};
use crate::history::{Contribution, History, bit};
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "select of every possible view-change certificate extends what votes commit";

/// Above this size there are too many possible certificates to look at.
const REPLICAS_MAX: u32 = 10;
/// One in so many moments is looked at where there are more than four replicas.
const EVERY: u64 = 4;
/// Most chains of an equivocating primary that traitors claim in turn.
const FORKS_MAX: usize = 3;

/// Counts the moments at which it could look.
#[derive(Debug)]
pub(crate) struct SelectionExtendsCommits {
    moments: u64,
}

impl SelectionExtendsCommits {
    pub(crate) const fn new(_history: &History, seed: u64) -> Self {
        Self { moments: seed }
    }

    /// Judges every certificate for `new_view` that replicas could still put together.
    fn check(&mut self, history: &History, new_view: View, block: BlockRef) -> Result<(), Violation> {
        self.moments = self.moments.wrapping_add(1);
        let n = history.thresholds.n;
        if n > REPLICAS_MAX || (n > 4 && !self.moments.is_multiple_of(EVERY)) {
            return Ok(());
        }
        let told = contributions(history, new_view);
        let available = told.iter().fold(0, |set: ReplicaSet, (replica, _)| set | bit(*replica));
        let traitors = !history.trusted & ((1 << n) - 1);
        for lie in lies(history, block) {
            let mut wrong = None;
            subsets(available | traitors, history.thresholds.quorum, |signers| {
                let honest = told.iter().filter(|(replica, _)| contains(signers, *replica)).copied();
                let lying =
                    (0..n).map(|id| ReplicaId(id as u16)).filter(|id| contains(signers & traitors, *id));
                let all: Vec<_> = honest.chain(lying.map(|id| (id, lie))).collect();
                let base = selected(&history.chain, n, history.thresholds.support, &all);
                wrong =
                    base.filter(|base| !history.chain.is_ancestor(block, *base)).map(|base| (signers, base));
                wrong.is_none()
            });
            if let Some((signers, base)) = wrong {
                return Err(self.violation(history, new_view, block, (signers, base)));
            }
        }
        Ok(())
    }

    fn violation(
        &self,
        history: &History,
        new_view: View,
        block: BlockRef,
        (signers, base): (ReplicaSet, BlockRef),
    ) -> Violation {
        let chain = &history.chain;
        let name = |block: BlockRef| (chain[block].view.0, chain[block].height.0, chain[block].digest);
        let told = contributions(history, new_view).into_iter();
        let told = told.filter(|(replica, _)| contains(signers, *replica));
        let told = told.map(|(replica, told)| (replica.0, name(told.certified), name(told.tip)));
        let what = format!(
            "votes of {:#b} and commit votes of {:#b} commit {:?}, but for view {new_view} signers {signers:#b} select {:?}; \
             honest ones tell (replica, certified, last claimed) {:?}",
            chain[block].acks,
            chain[block].commits,
            name(block),
            name(base),
            told.collect::<Vec<_>>()
        );
        Violation::of(PROPERTY, what)
    }
}

impl Invariant for SelectionExtendsCommits {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        proven: Option<BlockRef>,
    ) -> Result<(), Violation> {
        if let Some(block) = proven {
            let conflict = history.proven.values().find(|other| !history.chain.is_one_chain(**other, block));
            if let Some(other) = conflict {
                let (one, other) = (&history.chain[block], &history.chain[*other]);
                let what = format!(
                    "votes commit height {} of view {} and, on another chain, height {} of view {}",
                    one.height, one.view, other.height, other.view
                );
                return Err(Violation::of(PROPERTY, what));
            }
            for view in possible_views(history, history.chain[block].view) {
                self.check(history, view, block)?;
            }
        }
        match observation {
            Observation::Sent(_, Message::ViewChange(view_change)) => {
                let view = view_change.new_view;
                history.proven_below(view).map_or(Ok(()), |block| self.check(history, view, block))
            }
            Observation::Sent(replica, Message::Vote(vote)) => match history.chain.find(&vote.vote.digest) {
                Some(block) if history.chain.is_first_of_view(block) => check_first(history, *replica, block),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// Rule V3. The first block of a view extends everything committed below, and a certificate that was
/// shown with it selects its parent.
fn check_first(history: &History, replica: ReplicaId, block: BlockRef) -> Result<(), Violation> {
    let (chain, view) = (&history.chain, history.chain[block].view);
    let fail = |what: &str| {
        Err(Violation::of(
            PROPERTY,
            format!("replica {replica} voted for the first block of view {view}, which {what}"),
        ))
    };
    if history.proven_below(view).is_some_and(|proven| !chain.is_ancestor(proven, block)) {
        return fail("leaves out a committed block");
    }
    let is_justified = chain.certificates(view).iter().any(|certificate| {
        let told = certificate.view_changes.iter().map(|told| Some((told.replica, history.read(told)?)));
        let told: Option<Vec<_>> = told.collect();
        let base =
            told.and_then(|told| selected(chain, history.thresholds.n, history.thresholds.support, &told));
        base.is_some() && base == chain.parent(block)
    });
    if is_justified { Ok(()) } else { fail("no certificate shown with it selects") }
}

/// What each honest replica would put into a view change for this view, if it still could.
fn contributions(history: &History, new_view: View) -> Vec<(ReplicaId, Contribution)> {
    let told = history.honest().filter_map(|replica| {
        let facts = &history.replicas[replica.index()];
        if let Some(told) = facts.view_changes.get(&new_view) {
            return Some((replica, *told));
        }
        let is_too_late = facts.is_recovering || facts.entered >= new_view;
        (!is_too_late).then(|| (replica, history.contribution(replica)))
    });
    told.collect()
}

/// What traitors may tell: nothing, or a chain in the view of the committed block that its primary
/// signed beside it.
fn lies(history: &History, block: BlockRef) -> Vec<Contribution> {
    let mut lies = vec![Contribution { certified: GENESIS, tip: GENESIS }];
    // Headers that an honest primary did not propose are forged, and no claim may hold them.
    if !history.is_trusted(history.primary(history.chain[block].view)) {
        let forks = history.chain.rivals(block).take(FORKS_MAX);
        let forks = forks.map(|tip| Contribution { certified: history.chain.first_of_view(tip), tip });
        // Nobody can forge a certificate.
        lies.extend(forks.filter(|fork| history.could_be_certified(fork.certified)));
    }
    lies
}

/// The views above this one for which certificates could still be put together: those that honest
/// replicas asked for, and the next one.
fn possible_views(history: &History, above: View) -> BTreeSet<View> {
    let mut views = BTreeSet::new();
    let mut newest = above;
    for replica in history.honest() {
        let facts = &history.replicas[replica.index()];
        views.extend(facts.view_changes.range(above.next()..).map(|(view, _)| *view));
        newest = newest.max(facts.entered);
    }
    newest = views.last().copied().unwrap_or(newest).max(newest);
    views.insert(newest.next());
    views
}
