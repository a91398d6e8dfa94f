//! Invariant 1: one digest per height over all honest commits, and no gaps.

use quorate_consensus::Event;
use quorate_types::{Height, ReplicaId};

use super::Invariant;
use crate::chain::{BlockRef, GENESIS};
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "one digest per height over all honest commits, no gaps";

/// The chain that honest replicas committed, and how far each executed it.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// By height.
    committed: Vec<BlockRef>,
    executed: Vec<Height>,
}

impl Agreement {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self { committed: vec![GENESIS], executed: vec![Height(0); history.replicas.len()] }
    }

    /// Adds a committed block with all its ancestors.
    fn commit(
        &mut self,
        history: &History,
        replica: ReplicaId,
        mut block: BlockRef,
    ) -> Result<(), Violation> {
        let chain = &history.chain;
        let mut above = Vec::new();
        while chain[block].height.0 >= self.committed.len() as u64 {
            above.push(block);
            let height = chain[block].height;
            block = chain.parent(block).ok_or_else(|| {
                Violation::of(
                    PROPERTY,
                    format!("replica {replica} committed height {height} and nobody knows its parent"),
                )
            })?;
        }
        let height = chain[block].height;
        let known = self.at(height);
        if known != Some(block) {
            let other = known.map(|known| chain[known].digest);
            let what = format!(
                "at height {height} replica {replica} committed {:?} of view {}, others {other:?}",
                chain[block].digest, chain[block].view
            );
            return Err(Violation::of(PROPERTY, what));
        }
        self.committed.extend(above.into_iter().rev());
        Ok(())
    }

    fn at(&self, height: Height) -> Option<BlockRef> {
        self.committed.get(usize::try_from(height.0).ok()?).copied()
    }
}

impl Invariant for Agreement {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Event(replica, Event::Committed { height, digest, .. }) => {
                let block =
                    history.chain.find(digest).filter(|block| history.chain[*block].height == *height);
                let unknown = || {
                    format!("replica {replica} committed a block at height {height} that nobody was shown")
                };
                self.commit(history, *replica, block.ok_or_else(|| Violation::of(PROPERTY, unknown()))?)
            }
            Observation::Executed(replica, execution, _) => {
                let executed = &mut self.executed[replica.index()];
                if execution.height != executed.next() {
                    let what = format!(
                        "replica {replica} executed height {} after height {executed}",
                        execution.height
                    );
                    return Err(Violation::of(PROPERTY, what));
                }
                *executed = execution.height;
                let committed = self.at(execution.height).map(|block| history.chain[block].digest);
                if committed != Some(execution.block) {
                    let what = format!(
                        "replica {replica} executed {:?} at height {}, committed is {committed:?}",
                        execution.block, execution.height
                    );
                    return Err(Violation::of(PROPERTY, what));
                }
                Ok(())
            }
            Observation::Restored(replica, height) => {
                self.executed[replica.index()] = *height;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
