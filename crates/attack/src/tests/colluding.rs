//! Do colluders hear what the others hear, in order, once, and no more than that?

use quorate_types::message::{Fetch, Message};
use quorate_types::{Height, ReplicaId};
use std::sync::{Arc, Mutex};

use super::stage::{R0, R1, R2, R3, Stage};
use crate::combinators::{Group, KNOWLEDGE_MAX};
use crate::participant::Byzantine;
use crate::{Adversary, Cx, Verdict, colluding};

type Heard = Arc<Mutex<Vec<(ReplicaId, Message)>>>;

/// Writes down what it hears, and wants none of it to be delivered.
#[derive(Debug, Default)]
struct Listens(Heard);

impl Adversary for Listens {
    fn name(&self) -> &'static str {
        "listens"
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.0.lock().unwrap().push((from, message.clone()));
        Verdict::Drop
    }
}

/// The stages of replicas 0 and 1, and what each hears.
fn two() -> [(Stage, Heard); 2] {
    let group = Group::default();
    let stage = |replica| {
        let heard = Heard::default();
        let colluder = group.join(Listens(Arc::clone(&heard)));
        assert!(colluder.needs().colluders);
        let mut stage = Stage::new(4, crate::silent(), 1);
        let config = stage.cluster.config(replica);
        stage.byzantine = Byzantine::new(Box::new(colluder), &config, Vec::new(), 1);
        (stage, heard)
    };
    [stage(R0), stage(R1)]
}

fn message(number: u64) -> Message {
    Message::Fetch(Fetch::Chain(Height(number)))
}

#[test]
fn each_hears_what_the_other_heard_before_its_next_event() {
    let [(mut first, _), (mut second, heard)] = two();
    first.receive(R2, message(1));
    first.receive(R3, message(2));
    // Broadcasts reach several members.
    first.receive(R2, message(1));
    // What the member said itself is no news to it.
    first.receive(R1, message(3));
    assert!(heard.lock().unwrap().is_empty());
    assert_eq!(second.send(R2, message(9)), [(R2, message(9))]);
    assert_eq!(*heard.lock().unwrap(), [(R2, message(1)), (R3, message(2))]);
    // Of the others' messages nothing is kept from the own machine, and nothing is told twice.
    assert_eq!(second.receive(R3, message(4)), (false, Vec::new()));
    second.send(R2, message(9));
    assert_eq!(*heard.lock().unwrap(), [(R2, message(1)), (R3, message(2)), (R3, message(4))]);
}

#[test]
fn what_a_group_keeps_is_bounded() {
    let [(mut first, _), (mut second, heard)] = two();
    let count = KNOWLEDGE_MAX as u64 + 10;
    for number in 0..count {
        first.receive(R2, message(number));
    }
    second.send(R2, message(0));
    let expected: Vec<_> = (10..count).map(|number| (R2, message(number))).collect();
    assert_eq!(*heard.lock().unwrap(), expected);
    first.receive(R2, message(count));
    second.send(R2, message(0));
    assert_eq!(heard.lock().unwrap().last(), Some(&(R2, message(count))));
    assert_eq!(heard.lock().unwrap().len(), expected.len() + 1);
}

#[test]
fn each_member_has_an_attack_of_its_own() {
    let members = colluding([1, 3], crate::replay);
    assert_eq!(members.iter().map(|(replica, _)| *replica).collect::<Vec<_>>(), [R1, R3]);
    assert!(members.iter().all(|(_, attack)| attack.name() == "replay" && attack.needs().colluders));
}
