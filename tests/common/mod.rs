//! What do the scenarios share? A service that notices every repeat, and bounds on all waiting.
#![allow(dead_code, reason = "every test program uses a part of it")]

pub(crate) mod files;

use quorate::prelude::*;
use quorate::types::{ReplicaId, View};
use quorate::{LocalReplica, Status};
use std::future::Future;
use std::time::Duration;

/// A list of numbers. What a number's position says depends on all that ran before it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Journal {
    numbers: Vec<u64>,
    /// Text that makes the state large, or nothing.
    ballast: String,
}

impl Journal {
    /// A machine that differs from the others' from the beginning.
    pub(crate) fn with(numbers: Vec<u64>) -> Self {
        Self { numbers, ballast: String::new() }
    }

    /// A machine whose state has many chunks, of which every number changes each.
    pub(crate) fn heavy() -> Self {
        let mut state = 1_u64;
        let letters = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (state >> 60) as u8)
        });
        Self { numbers: Vec::new(), ballast: letters.take(BALLAST_BYTES).collect() }
    }

    fn change_ballast(&mut self, number: u64) {
        let number = format!("{number:016}");
        for begin in (0..self.ballast.len()).step_by(PIECE_BYTES) {
            self.ballast.replace_range(begin..begin + number.len(), &number);
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Appends a number; the reply is its position.
    Append(u64),
    /// All numbers.
    List,
    /// A bug of the service.
    Panic,
    /// Bytes that do nothing.
    Pad(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Position(u64),
    All(Vec<u64>),
    Nothing,
}

impl StateMachine for Journal {
    type Command = Command;
    type Reply = Reply;
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, command: Command, _: &Context) -> Reply {
        match command {
            Command::Append(number) => {
                self.numbers.push(number);
                self.change_ballast(number);
                Reply::Position(self.numbers.len() as u64 - 1)
            }
            Command::List => Reply::All(self.numbers.clone()),
            Command::Panic => panic!("this command is a bug"),
            Command::Pad(_) => Reply::Nothing,
        }
    }

    fn query(&self, (): ()) -> u64 {
        self.numbers.len() as u64
    }
}

/// Waits for an event, but not for ever.
pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(result) => result,
        Err(_) => panic!("this did not happen within {PATIENCE:?}: {what}"),
    }
}

/// Waits until a replica's status meets a condition.
pub(crate) async fn until<S: StateMachine>(
    what: &str,
    replica: LocalReplica<'_, S>,
    condition: impl Fn(&Status) -> bool + Send + 'static,
) -> Status {
    let waited = tokio::time::timeout(PATIENCE, replica.wait_for(condition)).await;
    match waited {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("this did not happen within {PATIENCE:?}: {what}; {:?}", replica.status().await),
    }
}

/// Appends the numbers one after the other, and checks that each ran once and in its place.
pub(crate) async fn append_in_order(client: &Client<Journal>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let submitted = within("a request finishes", client.submit(Command::Append(number))).await;
        assert_eq!(submitted.expect("a request finishes").reply, Reply::Position(number));
    }
}

/// All numbers in the order in which they ran.
pub(crate) async fn list(client: &Client<Journal>) -> Vec<u64> {
    let submitted = within("the list comes", client.submit(Command::List)).await;
    match submitted.expect("the list comes").reply {
        Reply::All(numbers) => numbers,
        other => panic!("not a list: {other:?}"),
    }
}

/// Waits until a replica has entered a view with another primary.
pub(crate) async fn until_replaced(cluster: &LocalCluster<Journal>, primary: usize, witness: usize) {
    let primary = ReplicaId(u16::try_from(primary).expect("a replica's number"));
    let is_replaced = move |status: &Status| status.view > View(0) && status.primary != primary;
    until("the primary is replaced", cluster.replica(witness), is_replaced).await;
}

pub(crate) async fn start(replicas: usize) -> LocalCluster<Journal> {
    LocalCluster::start(replicas, Journal::default).await.expect("the cluster starts")
}

/// Stops everything; a test that gets here has passed.
pub(crate) async fn stop<S: StateMachine>(cluster: LocalCluster<S>) {
    within("the cluster stops", cluster.stop()).await.expect("the cluster stops");
}

/// A dozen chunks.
const BALLAST_BYTES: usize = 768 << 10;
/// Shorter than any chunk but the last.
const PIECE_BYTES: usize = 4 << 10;
/// Far above what anything takes here on two slow cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
