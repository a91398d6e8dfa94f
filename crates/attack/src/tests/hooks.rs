//! Do the typed hooks lie in the user's own types, and count only what they changed?

use quorate_consensus::{Action, Input, Peer};
use quorate_machine::{decode, encode};
use quorate_types::limited::Limited;
use quorate_types::message::{Message, Outcome, ReplicaMessage, Reply};
use quorate_types::{Authenticated, Bundle, Height, RequestNumber, Time, Unverified, View};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use super::stage::{Cluster, R1, Stage, participant};
use crate::{Adversary, Attack, Combine as _, forge_replies, odd_commands, views};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Answer {
    Balance(u64),
    Refused(String),
}

fn reply(outcomes: &[Outcome]) -> ReplicaMessage {
    let results = outcomes.iter().map(|outcome| (RequestNumber(1), Height(1), outcome.clone()));
    ReplicaMessage::Reply(Reply { birth: Time(0), nonce: 0, view: View(0), results: Limited::take(results) })
}

fn executed(answer: &Answer) -> Outcome {
    Outcome::Executed(encode(answer, 100).unwrap())
}

#[test]
fn replies_are_forged_in_their_own_type() {
    let rich = |answer| match answer {
        Answer::Balance(amount) => Answer::Balance(amount + 1),
        refused @ Answer::Refused(_) => refused,
    };
    let mut stage = Stage::new(4, forge_replies(rich), 1);
    let refused = executed(&Answer::Refused("no".into()));
    let truth = [executed(&Answer::Balance(7)), Outcome::Malformed, refused.clone()];
    let lie = [executed(&Answer::Balance(8)), Outcome::Malformed, refused.clone()];
    assert_eq!(stage.reply(reply(&truth)), [reply(&lie)]);
    assert_eq!(stage.byzantine.fired, 1);
    let others = [refused, Outcome::Executed(vec![99]), Outcome::Executed(Vec::new())];
    assert_eq!(stage.reply(reply(&others)), [reply(&others)]);
    assert_eq!(stage.byzantine.fired, 1, "a truth is no lie");
}

/// Drives a primary alone with one client's requests; gives what it had verified for other clients.
fn commands_asked_for(odd: impl Into<Box<dyn Adversary>>, requests: u64) -> (Vec<Bundle>, u64) {
    let cluster = Cluster::new(4);
    let mut traitor = participant(&cluster, odd);
    let batch = cluster.batch(1, requests);
    let mut inputs: VecDeque<Input> = VecDeque::new();
    for bundle in batch.bundles() {
        inputs.push_back(Input::Request(bundle.session().client, bundle.raw().clone()));
        inputs.push_back(Input::Timeout);
    }
    let client = batch.bundles()[0].session().client;
    let mut asked = Vec::new();
    let mut now = Time(1_000_000_000);
    // The others say that they are there.
    for replica in 1..4 {
        let status = super::stage::status(&cluster.chain(View(0), 1)[0].header.header);
        let from = quorate_types::ReplicaId(replica);
        inputs.push_front(Input::Message(Authenticated::from_channel(from, status)));
    }
    while let Some(input) = inputs.pop_front() {
        now = Time(now.0 + 1_000_000);
        traitor.handle(now, input);
        while let Some(action) = traitor.poll_action() {
            match action {
                Action::Persist(number, _) => inputs.push_front(Input::Persisted(number)),
                Action::Verify(peer, work) => {
                    if let (Peer::Client(key), Unverified::Bundle(raw)) = (peer, &work)
                        && key != client
                    {
                        asked.push(Bundle::parse(raw.clone()).unwrap());
                    }
                    inputs.push_front(Input::Verified(peer, cluster.verifier().check(work)));
                }
                _ => {}
            }
        }
    }
    (asked, traitor.fired())
}

#[test]
fn odd_commands_come_with_a_key_of_their_own_and_end_with_the_requests_of_others() {
    let (asked, fired) = commands_asked_for(odd_commands(|number| (number, "odd".to_owned())), 3);
    assert!(!asked.is_empty() && asked.len() <= 3, "{}", asked.len());
    assert_eq!(fired, asked.len() as u64);
    for (bundle, number) in asked.iter().zip(1..) {
        let request = &bundle.requests()[0];
        assert_eq!(request.number, RequestNumber(number));
        assert_eq!(decode::<(u64, String)>(&request.command), Ok((number, "odd".to_owned())));
        assert_eq!(bundle.session(), asked[0].session());
        assert!(bundle.session().birth > Time(0));
    }
}

#[test]
fn odd_commands_pass_through_every_combinator() {
    let odd = || odd_commands(|number| number).during(views(0..1)).times(9).toward([1, 2, 3]);
    for combined in [odd().and(Attack::Replay).into(), odd().then(Attack::Silent).into()] {
        let combined: Box<dyn Adversary> = combined;
        assert!(!commands_asked_for(combined, 3).0.is_empty());
    }
}

#[test]
fn a_command_that_is_too_large_is_not_asked_for() {
    let (asked, fired) = commands_asked_for(odd_commands(|_| vec![0_u8; 2 << 20]), 3);
    assert_eq!((asked.len(), fired), (0, 0));
}

#[test]
fn a_backup_hears_of_blocks_too() {
    let mut stage = Stage::new(4, odd_commands(|number| number), 1);
    let block = stage.cluster.chain(View(1), 1).remove(0);
    for _ in 0..2 {
        assert!(stage.receive(R1, Message::Propose(block.clone())).0);
    }
    assert_eq!(stage.byzantine.fired, 1);
}
