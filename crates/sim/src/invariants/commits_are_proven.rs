//! Rules C1, C3 and C5: every commit has the votes, commit votes or statements that it rests on.

use quorate_consensus::{CommitRule, Event};
use quorate_types::message::{Data, Message};
use quorate_types::{Height, ReplicaId};

use super::Invariant;
use crate::chain::{BlockRef, ReplicaSet};
use crate::history::{History, bit};
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "every commit has its proof";

/// What honest replicas committed and said that they did.
#[derive(Debug)]
pub(crate) struct CommitsAreProven {
    committed: Vec<Height>,
    /// The greatest height that each replica told another one to have committed.
    told: Vec<Height>,
}

impl CommitsAreProven {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        let heights = vec![Height(0); history.replicas.len()];
        Self { committed: heights.clone(), told: heights }
    }

    fn is_proven(&self, history: &History, replica: ReplicaId, block: BlockRef, rule: CommitRule) -> bool {
        let height = history.chain[block].height;
        match rule {
            CommitRule::Fast | CommitRule::Slow => history.is_proven(block),
            CommitRule::Proof => {
                let told = history.honest().filter(|other| self.told[other.index()] >= height);
                let told = told.fold(0, |set: ReplicaSet, other| set | bit(other));
                history.could_reach(told, history.thresholds.weak)
            }
            CommitRule::Log => self.committed[replica.index()] >= height,
        }
    }

    fn tell(&mut self, replica: ReplicaId, height: Height) {
        let told = &mut self.told[replica.index()];
        *told = height.max(*told);
    }
}

impl Invariant for CommitsAreProven {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Sent(replica, Message::Status(status)) => self.tell(*replica, status.committed.0),
            Observation::Sent(replica, Message::Data(Data::Chain(headers))) => {
                if let Some(last) = headers.last() {
                    self.tell(*replica, last.header.height);
                }
            }
            // A certified state has a quorum behind it, which invariant 7 judges.
            Observation::Event(replica, Event::Installed(height, _)) => {
                let committed = &mut self.committed[replica.index()];
                *committed = (*committed).max(*height);
            }
            Observation::Event(replica, Event::Committed { height, digest, view, rule }) => {
                let block = history.chain.find(digest);
                if !block.is_some_and(|block| self.is_proven(history, *replica, block, *rule)) {
                    let what = format!(
                        "replica {replica} committed height {height} of view {view} by the rule {rule:?}, which does not hold"
                    );
                    return Err(Violation::of(PROPERTY, what));
                }
                let committed = &mut self.committed[replica.index()];
                *committed = (*committed).max(*height);
            }
            _ => {}
        }
        Ok(())
    }
}
