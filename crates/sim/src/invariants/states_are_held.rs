//! Rules D1 and K3: a replica vouches for a state, and offers it, only while it holds it durably, and never goes back to an
//! older one than its own.

use quorate_consensus::Event;
use quorate_types::message::{Data, Message};
use quorate_types::{Digest, Height, ReplicaId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "a state is vouched for only while it is held";

/// What each replica's disk holds.
#[derive(Debug)]
pub(crate) struct StatesAreHeld(Vec<Held>);

#[derive(Clone, Debug, Default)]
struct Held {
    durable: BTreeMap<Height, Digest>,
    /// States below are not needed any more.
    needed: Height,
    executed: Height,
}

impl StatesAreHeld {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self(vec![Held::default(); history.replicas.len()])
    }
}

impl Held {
    fn on_found(&mut self, replica: ReplicaId, states: &[(Height, Digest)]) -> Result<(), String> {
        let found: BTreeMap<Height, Digest> = states.iter().copied().collect();
        let mut needed = self.durable.range(self.needed..);
        if let Some((height, _)) = needed.find(|(height, root)| found.get(height) != Some(root)) {
            return Err(format!("the state of height {height} was durable at replica {replica} and is gone"));
        }
        self.durable = found;
        Ok(())
    }

    fn on_sent(&self, replica: ReplicaId, message: &Message) -> Result<(), String> {
        let (height, root) = match message {
            Message::CheckpointVote(vote) if vote.replica == replica => {
                (vote.checkpoint.height, vote.checkpoint.state_root)
            }
            Message::Data(Data::State { head, .. }) => (head.height, head.root()),
            _ => return Ok(()),
        };
        if self.durable.get(&height) == Some(&root) {
            return Ok(());
        }
        let kind = Message::KINDS[message.kind()];
        Err(format!(
            "replica {replica} sent a {kind} for the state of height {height}, which is not on its disk"
        ))
    }
}

impl Invariant for StatesAreHeld {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let result = match observation {
            Observation::StateDurable(replica, height, root) => {
                self.0[replica.index()].durable.insert(*height, *root);
                Ok(())
            }
            Observation::Cut(replica, needed) => {
                self.0[replica.index()].needed = *needed;
                Ok(())
            }
            Observation::Wiped(replica) => {
                self.0[replica.index()] = Held::default();
                Ok(())
            }
            Observation::Recovered(replica, _, states) => self.0[replica.index()].on_found(*replica, states),
            Observation::Sent(replica, message) => self.0[replica.index()].on_sent(*replica, message),
            Observation::Executed(replica, execution, _) => {
                self.0[replica.index()].executed = execution.height;
                Ok(())
            }
            Observation::Restored(replica, height) => {
                self.0[replica.index()].executed = *height;
                Ok(())
            }
            Observation::Installing(replica, height) if *height <= self.0[replica.index()].executed => {
                let executed = self.0[replica.index()].executed;
                Err(format!("replica {replica} executed up to height {executed} and went back to {height}"))
            }
            Observation::Event(replica, Event::Stable(height, root)) => {
                let own = self.0[replica.index()].durable.get(height);
                if own.is_some_and(|own| own != root) {
                    Err(format!("replica {replica} holds another state of height {height} than is stable"))
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        };
        result.map_err(|what| Violation::of(PROPERTY, what))
    }
}
