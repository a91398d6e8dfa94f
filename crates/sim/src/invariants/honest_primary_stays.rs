//! Invariant 13: from a bound after healing on, no honest primary is deposed but by a D3 wish.

use quorate_consensus::{Cause, Event};

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "after healing no honest primary is deposed";

/// Whether the bound has passed.
#[derive(Debug)]
pub(crate) struct HonestPrimaryStays {
    is_settled: bool,
}

impl HonestPrimaryStays {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self { is_settled: false }
    }
}

impl Invariant for HonestPrimaryStays {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Settled => self.is_settled = true,
            // Who joins W others follows at least one honest replica, which is judged itself.
            Observation::Event(_, Event::ViewChange { cause: Cause::Others | Cause::Wish, .. }) => {}
            Observation::Event(replica, Event::ViewChange { view, cause }) if self.is_settled => {
                let left = view.minus(1);
                let newest = history.honest().map(|other| history.replicas[other.index()].entered).max();
                // The wish of a replica without its disk is work that only the next view can do.
                let is_wished = history.honest().any(|other| history.replicas[other.index()].is_recovering);
                // Who asked before the bound votes in this view no more, so that its primary may lack a quorum.
                let is_given_up = history.honest().any(|other| {
                    let asked = history.replicas[other.index()].view_changes.keys().next_back();
                    other != *replica && asked.is_some_and(|asked| *asked > left)
                });
                let is_excused = is_wished || is_given_up;
                if history.is_trusted(history.primary(left)) && newest == Some(left) && !is_excused {
                    let what =
                        format!("replica {replica} gave up view {left} of an honest primary: {cause:?}");
                    return Err(Violation::of(PROPERTY, what));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
