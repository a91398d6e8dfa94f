//! Invariant 9: every executed request was issued by its client.

use bytes::Bytes;
use quorate_types::{RequestNumber, SessionId};
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "every executed request was issued by its client";

/// What clients asked for.
#[derive(Debug, Default)]
pub(crate) struct ClientIssuedIt(BTreeMap<(SessionId, RequestNumber), Bytes>);

impl ClientIssuedIt {
    pub(crate) fn new(_history: &History, _seed: u64) -> Self {
        Self::default()
    }
}

impl Invariant for ClientIssuedIt {
    fn observe(
        &mut self,
        _: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Issued(bundle) => {
                for request in bundle.requests() {
                    let key = (*bundle.session(), request.number);
                    self.0.entry(key).or_insert_with(|| request.command.clone());
                }
            }
            Observation::Executed(replica, execution, _) => {
                for command in &execution.commands {
                    if self.0.get(&(command.session, command.number)) != Some(&command.command) {
                        let what = format!(
                            "replica {replica} executed request {} of {} at height {}, which its client did not issue",
                            command.number, command.session, execution.height
                        );
                        return Err(Violation::of(PROPERTY, what));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
