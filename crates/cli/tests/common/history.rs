//! What did clients of the key-value store see, and can it have happened? Every operation of a run, judged by
//! [`linearizability`](quorate_sim::linearizability).

use bytes::Bytes;
use quorate::{Client, SubmitError};
use quorate_services::kv::{Command, KeyValue, Reply};
use quorate_sim::linearizability::{Model, Operation, check};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Operations of all clients of one run.
pub(crate) struct History {
    start: Instant,
    operations: Mutex<Vec<Operation<Command, Reply>>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), operations: Mutex::default() }
    }

    /// Submits a command until its outcome is known; under one id it runs at most once.
    pub(crate) async fn execute(&self, client: &Client<KeyValue>, command: Command) -> Reply {
        let invoked = self.now();
        let mut result = client.submit(command.clone()).await;
        let reply = loop {
            result = match result {
                Ok(submitted) => break submitted.reply,
                Err(SubmitError::Unknown { id }) => client.retry(id, command.clone()).await,
                Err(SubmitError::NoQuorum { .. }) => client.submit(command.clone()).await,
                Err(error) => panic!("{error}"),
            }
        };
        let returned = Some((reply.clone(), self.now()));
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.push(Operation { input: command, invoked, returned });
        reply
    }

    /// Fails if no order of the operations explains what clients heard.
    pub(crate) fn check(&self) {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(found) = check(&Store, &operations) {
            panic!("{found}: {:?}", operations[found.operation]);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The store, one key at a time.
struct Store;

impl Model for Store {
    type Input = Command;
    type Output = Reply;
    type Key = Bytes;
    type State = Option<Bytes>;

    fn key(&self, input: &Command) -> Bytes {
        match input {
            Command::Put { key, .. }
            | Command::Get { key }
            | Command::Delete { key }
            | Command::Cas { key, .. } => key.clone(),
        }
    }

    fn step(&self, state: &Option<Bytes>, input: &Command, output: Option<&Reply>) -> Option<Option<Bytes>> {
        let (reply, after) = match input {
            Command::Put { value, .. } => (Reply::Done, Some(value.clone())),
            Command::Get { .. } => (Reply::Value(state.clone()), state.clone()),
            Command::Delete { .. } => (Reply::Deleted(state.is_some()), None),
            Command::Cas { expected, value, .. } if state == expected => (Reply::Done, value.clone()),
            Command::Cas { .. } => (Reply::Differs(state.clone()), state.clone()),
        };
        output.is_none_or(|output| *output == reply).then_some(after)
    }
}
