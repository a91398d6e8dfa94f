//! Rule R3: the reply that a client believes is the one that an honest replica computed.

use quorate_types::message::Outcome;
use quorate_types::{Height, RequestNumber, SessionId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "a client's reply is the one that honest replicas computed";

/// What honest replicas computed.
#[derive(Debug, Default)]
pub(crate) struct RepliesAreTrue(BTreeMap<(SessionId, RequestNumber), (Height, Outcome)>);

impl RepliesAreTrue {
    pub(crate) fn new(_history: &History, _seed: u64) -> Self {
        Self::default()
    }
}

impl Invariant for RepliesAreTrue {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Executed(_, execution, outcomes) => {
                for (command, outcome) in execution.commands.iter().zip(*outcomes) {
                    let key = (command.session, command.number);
                    self.0.entry(key).or_insert_with(|| (execution.height, outcome.clone()));
                }
            }
            Observation::Completed(client, completed) => {
                let computed = self.0.get(&(completed.id.session, completed.id.number));
                let is_true = computed.is_some_and(|(height, outcome)| {
                    *height == completed.height
                        && matches!(outcome, Outcome::Executed(reply) if *reply == completed.reply)
                });
                if !is_true {
                    let what = format!(
                        "client {client} believes that request {} ran at height {} with reply {:?}; computed was {computed:?}",
                        completed.id.number, completed.height, completed.reply
                    );
                    return Err(Violation::of(PROPERTY, what));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
