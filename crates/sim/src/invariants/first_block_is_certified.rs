//! Invariant 5: blocks above R_v have QC(R_v), and R_v is never fast-committed.

use quorate_consensus::{CommitRule, Event};
use quorate_types::message::Message;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "blocks above R_v have QC(R_v); R_v is never fast-committed";

/// Has no state: everything is in the history.
#[derive(Debug)]
pub(crate) struct FirstBlockIsCertified;

impl FirstBlockIsCertified {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self
    }
}

impl Invariant for FirstBlockIsCertified {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let chain = &history.chain;
        match observation {
            Observation::Sent(replica, Message::Vote(vote)) => {
                let Some(block) = chain.find(&vote.vote.digest) else { return Ok(()) };
                let first = chain.first_of_view(block);
                if first == block || history.could_be_certified(first) {
                    return Ok(());
                }
                let what = format!(
                    "replica {replica} voted for height {} in view {}, whose first block at height {} has no certificate",
                    vote.vote.height, vote.vote.view, chain[first].height
                );
                Err(Violation::of(PROPERTY, what))
            }
            Observation::Event(
                replica,
                Event::Committed { height, digest, view, rule: CommitRule::Fast },
            ) => {
                // Votes commit it with a descendant, but never by itself.
                let is_alone = |block| chain.is_first_of_view(block) && !history.is_proven(block);
                if !chain.find(digest).is_some_and(is_alone) {
                    return Ok(());
                }
                let what = format!(
                    "replica {replica} committed height {height}, the first of view {view}, by votes alone"
                );
                Err(Violation::of(PROPERTY, what))
            }
            _ => Ok(()),
        }
    }
}
