//! The step of the induction behind agreement: whatever votes prove committed in earlier views, an
//! honest replica votes in later views only for blocks that extend it.

use quorate_types::Height;
use quorate_types::message::Message;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "honest votes extend what earlier views committed";

/// Needs no memory of its own.
#[derive(Debug)]
pub(crate) struct VotesExtendCommits;

impl VotesExtendCommits {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self
    }
}

impl Invariant for VotesExtendCommits {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let Observation::Sent(replica, Message::Vote(vote)) = observation else { return Ok(()) };
        if !history.is_trusted(*replica) {
            return Ok(());
        }
        let Some(block) = history.chain.find(&vote.vote.digest) else { return Ok(()) };
        let Some(committed) = history.proven_below(vote.vote.view) else { return Ok(()) };
        // Where the way down is not known there is nothing to judge yet.
        let below: Height = history.chain[committed].height;
        let is_other = history.chain.at_height(block, below).is_some_and(|ancestor| ancestor != committed);
        let is_lower = history.chain[block].height < below;
        if is_other || is_lower {
            let what = format!(
                "replica {replica} voted in view {} for height {}, which does not extend height {below} of an earlier view",
                vote.vote.view, vote.vote.height
            );
            return Err(Violation::of(PROPERTY, what));
        }
        Ok(())
    }
}
