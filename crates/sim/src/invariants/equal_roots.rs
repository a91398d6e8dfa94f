//! Invariant 7: equal state roots at equal heights, and a quorum behind every stable checkpoint.

use quorate_consensus::Event;
use quorate_types::message::Message;
use quorate_types::{Digest, Height, ReplicaId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::{BlockRef, ReplicaSet};
use crate::history::{History, bit};
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "equal state roots at equal heights";

/// The first root of each kind that was seen at each height.
#[derive(Debug, Default)]
pub(crate) struct EqualRoots {
    snapshots: BTreeMap<Height, Digest>,
    results: BTreeMap<Height, Digest>,
    states: BTreeMap<Height, (Digest, ReplicaSet)>,
}

impl EqualRoots {
    pub(crate) fn new(_history: &History, _seed: u64) -> Self {
        Self::default()
    }

    fn on_checkpoint(&mut self, replica: ReplicaId, height: Height, root: Digest) -> Result<(), Violation> {
        let (known, voters) = self.states.entry(height).or_insert((root, 0));
        *voters |= bit(replica);
        equal("states", replica, height, (*known, root))
    }

    /// A replica's own vote counts for it before it has left.
    fn on_stable(
        &mut self,
        history: &History,
        replica: ReplicaId,
        height: Height,
        root: Digest,
    ) -> Result<(), Violation> {
        self.on_checkpoint(replica, height, root)?;
        let voters = self.states.get(&height).map_or(0, |(_, voters)| *voters);
        if history.could_reach(voters, history.thresholds.quorum) {
            return Ok(());
        }
        let what = format!(
            "the checkpoint at height {height} is stable at replica {replica} with votes of {voters:#b}"
        );
        Err(Violation::of(PROPERTY, what))
    }
}

impl Invariant for EqualRoots {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Root(replica, height, root) => {
                let known = *self.snapshots.entry(*height).or_insert(*root);
                equal("snapshots", *replica, *height, (known, *root))
            }
            Observation::Sent(replica, Message::Vote(vote)) if vote.executed > Height(0) => {
                let known = *self.results.entry(vote.executed).or_insert(vote.result_root);
                equal("results", *replica, vote.executed, (known, vote.result_root))
            }
            Observation::Sent(replica, Message::CheckpointVote(vote)) if vote.replica == *replica => {
                self.on_checkpoint(*replica, vote.checkpoint.height, vote.checkpoint.state_root)
            }
            Observation::Event(replica, Event::Stable(height, root)) => {
                self.on_stable(history, *replica, *height, *root)
            }
            _ => Ok(()),
        }
    }
}

fn equal(what: &str, replica: ReplicaId, height: Height, roots: (Digest, Digest)) -> Result<(), Violation> {
    if roots.0 == roots.1 {
        return Ok(());
    }
    let what =
        format!("the {what} at height {height}: {:?} before, {:?} at replica {replica}", roots.0, roots.1);
    Err(Violation::of(PROPERTY, what))
}
