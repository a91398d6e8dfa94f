//! Good and bad histories, each a few observations.

use bytes::Bytes;
use quorate_consensus::Command;
use quorate_consensus::client::RequestId;
use quorate_machine::encode;
use quorate_types::{Digest, Time};
use std::sync::Arc;

use super::*;
use crate::setup::{Bounds, Crypto, Setup};
use crate::tally::Tally;

/// Observations of a cluster that adds numbers, for one client.
struct Case {
    history: History,
    judge: Linearizable,
    session: SessionId,
}

impl Case {
    fn new() -> Self {
        let setup = Setup::planned(4, Crypto::Fast, Bounds::default());
        let session = SessionId { client: setup.client_key(0).public(), birth: Time(1), nonce: 1 };
        let history = History::new(setup, ApplicationFactory::new(Tally::default));
        let judge = Linearizable::new(&history, 0);
        Self { history, judge, session }
    }

    fn show(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        self.judge.observe(&self.history, observation, None)
    }

    fn issue(&mut self, number: u64) {
        let setup = Arc::clone(&self.history.setup);
        let request = (RequestNumber(number), add(number));
        let cluster = setup.membership.cluster();
        let bundle = Bundle::sign(&cluster, setup.client_key(0), self.session, &[request]);
        self.show(&Observation::Issued(&bundle)).expect("asking breaks nothing");
    }

    /// A replica executes a block of these requests and gets these replies: count and sum.
    fn execute(&mut self, height: u64, numbers: &[u64], replies: &[(u64, u64)]) -> Result<(), Violation> {
        let commands = numbers.iter().map(|number| Command {
            session: self.session,
            number: RequestNumber(*number),
            command: add(*number),
        });
        let execution = Execution {
            height: Height(height),
            block: Digest::of_bytes(&height.to_le_bytes()),
            time: Time(height),
            commands: commands.collect(),
        };
        let outcomes: Vec<_> = replies.iter().map(|reply| Outcome::Executed(bytes(reply))).collect();
        self.show(&Observation::Executed(ReplicaId(1), &execution, &outcomes))
    }

    fn complete(&mut self, number: u64, height: u64, reply: (u64, u64)) -> Result<(), Violation> {
        let id = RequestId { session: self.session, number: RequestNumber(number) };
        let completed = Completed { id, height: Height(height), reply: bytes(&reply) };
        self.show(&Observation::Completed(0, &completed))
    }
}

fn add(number: u64) -> Bytes {
    encode(&number, usize::MAX).expect("a number has an encoding").into()
}

fn bytes(reply: &(u64, u64)) -> Vec<u8> {
    encode(reply, usize::MAX).expect("numbers have an encoding")
}

#[test]
fn what_follows_the_log_is_accepted_however_often_it_is_executed() {
    let mut case = Case::new();
    case.issue(5);
    case.issue(6);
    case.execute(1, &[6, 5], &[(1, 6), (2, 11)]).expect("it is the log");
    case.complete(5, 1, (2, 11)).expect("it stands there");
    case.execute(1, &[6, 5], &[(1, 6), (2, 11)]).expect("another replica does the same");
    case.issue(7);
    case.execute(2, &[7], &[(3, 18)]).expect("it is the log");
    case.complete(7, 2, (3, 18)).expect("it comes later, as it was made later");
    case.complete(6, 1, (1, 6)).expect("an early answer may come late");
}

#[test]
fn a_replica_that_computes_something_else_is_seen() {
    let mut case = Case::new();
    case.issue(5);
    case.execute(1, &[5], &[(1, 6)]).expect_err("5 was added");
    let mut case = Case::new();
    case.execute(1, &[5], &[(1, 5)]).expect("it is the log");
    case.execute(2, &[6], &[(1, 6)]).expect_err("the state was lost in between");
}

#[test]
fn a_reply_that_was_never_computed_is_seen() {
    for (number, height, reply) in [(5, 1, (2, 5)), (5, 2, (1, 5)), (6, 1, (1, 5))] {
        let mut case = Case::new();
        case.issue(5);
        case.execute(1, &[5], &[(1, 5)]).expect("it is the log");
        case.complete(number, height, reply).expect_err("nobody computed that");
    }
}

#[test]
fn a_request_that_comes_before_what_was_answered_sooner_is_seen() {
    let mut case = Case::new();
    case.issue(5);
    case.execute(1, &[6], &[(1, 6)]).expect("it is the log");
    case.execute(2, &[5], &[(2, 11)]).expect("it is the log");
    case.complete(5, 2, (2, 11)).expect("it stands there");
    case.issue(6);
    case.complete(6, 1, (1, 6)).expect_err("6 was made when 5 had been answered");
}
