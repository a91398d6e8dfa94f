//! Invariant 6: a restart remembers all that was sent (rule D2), so that no second statement can follow.

use quorate_consensus::Record;
use quorate_types::{Height, ReplicaId, View};

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::{History, ReplicaFacts};
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "a restart remembers all that was sent";

/// What each replica had sent when it lost its disk: that is forgotten, and rule D3 makes up for it.
#[derive(Debug)]
pub(crate) struct PromisesSurvive(Vec<Promises>);

/// The greatest vote and the highest view asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Promises {
    vote: Option<(View, Height)>,
    asked: View,
}

impl PromisesSurvive {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self(vec![Promises::default(); history.replicas.len()])
    }

    fn judge(&self, history: &History, replica: ReplicaId, records: &[Record]) -> Result<(), String> {
        let facts = &history.replicas[replica.index()];
        let (sent, forgotten, read) = (sent(facts), self.0[replica.index()], read(records));
        if sent.vote > read.vote && sent.vote > forgotten.vote {
            return Err(format!(
                "replica {replica} sent votes up to {:?} and remembers {:?}",
                sent.vote, read.vote
            ));
        }
        if sent.asked > read.asked && sent.asked > forgotten.asked {
            return Err(format!(
                "replica {replica} asked for view {} and remembers to have asked for {}",
                sent.asked, read.asked
            ));
        }
        for record in records {
            let Record::Vote(vote) = record else { continue };
            let known = facts.votes.get(&(vote.vote.view, vote.vote.height));
            if known.is_some_and(|known| history.chain[*known].digest != vote.vote.digest) {
                return Err(format!(
                    "replica {replica} sent a vote for another block than the one on its disk: view {}, height {}",
                    vote.vote.view, vote.vote.height
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for PromisesSurvive {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Wiped(replica) => {
                self.0[replica.index()] = sent(&history.replicas[replica.index()]);
                Ok(())
            }
            Observation::Recovered(replica, records, _) => {
                self.judge(history, *replica, records).map_err(|what| Violation::of(PROPERTY, what))
            }
            _ => Ok(()),
        }
    }
}

fn sent(facts: &ReplicaFacts) -> Promises {
    let vote = facts.votes.last_key_value().map(|(slot, _)| *slot);
    let asked = facts.view_changes.last_key_value().map(|(view, _)| *view).unwrap_or_default();
    Promises { vote, asked }
}

/// What a log says, read without the replica's own code.
fn read(records: &[Record]) -> Promises {
    let mut read = Promises::default();
    for record in records {
        match record {
            Record::Vote(vote) => read.vote = read.vote.max(Some((vote.vote.view, vote.vote.height))),
            Record::ViewChange(change) => read.asked = read.asked.max(change.new_view),
            Record::Summary(summary) => {
                read.asked = read.asked.max(summary.asked);
                let vote = summary.last_vote.map(|(view, height, ..)| (view, height));
                read.vote = read.vote.max(vote);
            }
            _ => {}
        }
    }
    read
}
