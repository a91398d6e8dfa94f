//! The seam itself: what an adversary leaves alone stays as it was.

use quorate_consensus::{Action, Event, Input, Peer, Recipients};
use quorate_types::message::{Fetch, Message};
use quorate_types::{Authenticated, ReplicaId, Time, View};
use std::collections::VecDeque;
use std::time::Duration;

use super::stage::{Cluster, R0, R1, R2, Stage, participant, replica, status};
use crate::participant::Machine;
use crate::{Adversary, Attack, Cx, DELAYED_MAX, Participant, Verdict};

/// Does nothing.
#[derive(Debug)]
struct Nothing;

impl Adversary for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }
}

/// Holds everything back and hears nothing.
#[derive(Debug)]
struct Later;

impl Adversary for Later {
    fn name(&self) -> &'static str {
        "later"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        cx.send_after(Duration::from_nanos(10), to, message);
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, _: &Message) -> Verdict {
        Verdict::Drop
    }
}

#[test]
fn an_adversary_that_does_nothing_leaves_no_trace() {
    let mut stage = Stage::new(4, Nothing, 1);
    let propose = stage.cluster.chain(View(0), 1).remove(0);
    let message = Message::Propose(propose);
    let actions = [
        Action::Send(Recipients::All, message.clone()),
        Action::Send(Recipients::One(R2), message),
        Action::Event(Event::Entered(View(3))),
        Action::Reject(Peer::Replica(R1), quorate_types::Rejection::Truncated),
    ];
    for action in actions {
        let expected = format!("{action:?}");
        let mut out = VecDeque::new();
        let machine = stage.machine();
        stage.byzantine.pass(Time(0), machine, &mut out, action);
        assert_eq!(out.len(), 1);
        assert_eq!(format!("{:?}", out[0]), expected);
    }
}

#[test]
fn a_machine_behind_an_idle_adversary_acts_as_the_machine_alone() {
    let cluster = Cluster::new(4);
    let mut honest = Participant::honest(replica(&cluster.config(R0)));
    let mut masked = participant(&cluster, Nothing);
    let batch = cluster.batch(1, 1);
    let bundle = &batch.bundles()[0];
    let request = Input::Request(bundle.session().client, bundle.raw().clone());
    let fetch = Input::Message(Authenticated::from_channel(R1, Message::Fetch(Fetch::Status)));
    let mut inputs = VecDeque::from([Input::Connected(Peer::Replica(R1)), request, fetch]);
    let mut now = Time(0);
    for _ in 0..50 {
        let input = inputs.pop_front().unwrap_or(Input::Timeout);
        now = Time(now.0 + 1).max(honest.poll_timeout().unwrap_or(now));
        honest.handle(now, input.clone());
        masked.handle(now, input);
        while let Some(action) = honest.poll_action() {
            assert_eq!(format!("{:?}", masked.poll_action()), format!("{:?}", Some(&action)));
            match action {
                Action::Persist(number, _) => inputs.push_back(Input::Persisted(number)),
                Action::Verify(peer, value) => {
                    inputs.push_back(Input::Verified(peer, cluster.verifier().check(value)));
                }
                _ => {}
            }
        }
        assert!(masked.poll_action().is_none());
        assert_eq!(masked.poll_timeout(), honest.poll_timeout());
        assert_eq!(masked.status(), honest.status());
    }
    assert_eq!(masked.fired(), 0);
}

#[test]
fn what_is_held_back_leaves_in_order_when_its_time_comes() {
    let mut stage = Stage::new(4, Later, 1);
    let blocks = stage.cluster.chain(View(0), 2);
    let messages: Vec<Message> = blocks.iter().map(|block| status(&block.header.header)).collect();
    for message in &messages {
        assert!(stage.send(R1, message.clone()).is_empty());
    }
    assert!(stage.timeout(Time(9)).is_empty());
    let left: Vec<Message> = stage.timeout(Time(10)).into_iter().map(|(_, message)| message).collect();
    assert_eq!(left, messages);
    let (is_heard, _) = stage.receive(R1, messages[0].clone());
    assert!(!is_heard);
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut stage = Stage::new(4, Later, 1);
    let block = stage.cluster.chain(View(0), 1).remove(0);
    let message = status(&block.header.header);
    for _ in 0..DELAYED_MAX {
        assert!(stage.send(R1, message.clone()).is_empty());
    }
    assert_eq!(stage.send(R1, message.clone()), [(R1, message)]);
}

#[test]
fn a_replica_turns_at_run_time_and_repents() {
    let cluster = Cluster::new(4);
    let mut participant = Participant::honest(replica(&cluster.config(R0)));
    assert!(!participant.is_byzantine());
    participant.attack(Attack::Silent, &cluster.config(R0), Vec::new(), 7);
    assert_eq!(participant.attack_name(), Some("silent"));
    participant.attack(crate::delay().by(Duration::from_millis(1)), &cluster.config(R0), Vec::new(), 7);
    assert_eq!(participant.attack_name(), Some("delay"));
    participant.repent();
    assert!(!participant.is_byzantine());
    assert_eq!((participant.fired(), participant.attack_name()), (0, None));
}

#[test]
fn colluders_sign_and_the_honest_do_not() {
    #[derive(Debug)]
    struct Signs;
    impl Adversary for Signs {
        fn name(&self) -> &'static str {
            "signs"
        }
        fn on_send(&mut self, cx: &mut Cx<'_>, _: ReplicaId, _: Message) {
            let statement = quorate_types::Statement::Wish { epoch: quorate_types::Epoch(0), view: View(1) };
            for replica in cx.membership().replicas() {
                let signature = cx.sign_as(replica, &statement);
                assert_eq!(signature.is_some(), replica == R0 || replica == R2);
                if let Some(signature) = signature {
                    cx.membership().check_statement(replica, &statement, &signature).unwrap();
                }
            }
            cx.fired();
        }
    }
    let cluster = Cluster::new(7);
    let colluders = vec![(R2, cluster.keys[2].clone())];
    let mut byzantine =
        crate::participant::Byzantine::new(Box::new(Signs), &cluster.config(R0), colluders, 1);
    let message = Message::Fetch(Fetch::Status);
    let action = Action::Send(Recipients::One(R1), message);
    let machine = Machine { status: quorate_consensus::ReplicaStatus::default(), due: None, replica: None };
    byzantine.pass(Time(0), machine, &mut VecDeque::new(), action);
    assert_eq!(byzantine.fired, 1);
}
