//! In which states can one honest machine be? Each is made once by the machine itself, which has a disk, verifiers and an
//! application that take no time.

use quorate_consensus::{Action, CommitRule, Event, Input, Peer, Recipients, Recovered, Replica};
use quorate_types::message::{Data, Fetch, Message, Outcome};
use quorate_types::{Authenticated, Bundle, Digest, Height, ReplicaId, Time, Verifier, View};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::messages::{MessageId, Messages, Sent};
use crate::setup::Setup;

/// One machine in one of its states.
#[derive(Clone, Debug)]
pub(super) struct Local {
    id: ReplicaId,
    machine: Replica,
    now: Time,
    /// What it sent so far.
    pub(super) sent: Arc<BTreeSet<MessageId>>,
    pub(super) facts: Arc<Facts>,
}

/// What it promised and believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Facts {
    pub(super) votes: Vec<(View, Height, Digest)>,
    pub(super) commits: Vec<(View, Height, Digest)>,
    pub(super) committed: Vec<(Height, Digest, CommitRule)>,
    /// The highest view that it asked for.
    asked: View,
    /// What it did that no honest replica does.
    pub(super) offence: Option<&'static str>,
}

/// What a machine gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Message(MessageId),
    Timeout,
}

/// All clocks start here.
pub(super) const START: Time = Time(1_700_000_000_000_000_000);
/// Timers that run out within so long are view timers; all others rest.
const VIEW_TIMER_MAX: Duration = Duration::from_secs(60);
/// Most inputs that follow from one.
const INPUTS_MAX: u32 = 10_000;

/// The honest machines when everybody has heard everybody and has got a client's bundle.
pub(super) fn wake(setup: &Setup, bundle: &Bundle, messages: &mut Messages) -> Vec<Local> {
    let ids: Vec<ReplicaId> = setup.membership.replicas().collect();
    let mut machines: Vec<Replica> =
        ids.iter().map(|id| Replica::new(START, setup.config(*id, 1), Recovered::fresh())).collect();
    let mut inputs: VecDeque<(ReplicaId, Input)> = VecDeque::new();
    for id in &ids {
        let others = ids.iter().filter(|other| *other != id);
        inputs.extend(others.map(|other| (*id, Input::Connected(Peer::Replica(*other)))));
    }
    while let Some((id, input)) = inputs.pop_front() {
        let said = drive(&mut machines[id.index()], START, &setup.verifier, Some(input));
        for (to, message) in said.sends {
            let all = ids.iter().filter(|other| **other != id && to.is_none_or(|to| to == **other));
            let input = || Input::Message(Authenticated::from_channel(id, message.clone()));
            inputs.extend(all.map(|other| (*other, input())));
        }
    }
    let honest = ids.into_iter().zip(machines).skip(1);
    let locals = honest.map(|(id, mut machine)| {
        assert!(machine.status().is_awake, "everybody has heard everybody");
        let input = Input::Request(bundle.session().client, bundle.raw().clone());
        let said = drive(&mut machine, START, &setup.verifier, Some(input));
        let mut local = Local { id, machine, now: START, sent: Arc::default(), facts: Arc::default() };
        local.take(said, messages);
        local
    });
    locals.collect()
}

impl Local {
    /// What this state is known by. Whatever a machine holds is part of it.
    pub(super) fn digest(&self) -> Digest {
        let Self { id, machine, now, sent, facts } = self;
        Digest::of_bytes(format!("{id} {now:?} {machine:?} {sent:?} {facts:?}").as_bytes())
    }

    /// Whether a view timer runs.
    pub(super) fn can_time_out(&self) -> bool {
        self.machine.poll_timeout().is_some_and(|due| due <= self.now.after(VIEW_TIMER_MAX))
    }

    /// The state after an input.
    pub(super) fn step(&self, step: Step, messages: &mut Messages, verifier: &Verifier) -> Self {
        let mut next = self.clone();
        let input = match step {
            Step::Timeout => {
                next.now = next.machine.poll_timeout().unwrap_or(next.now);
                Input::Timeout
            }
            Step::Message(number) => {
                let sent = messages.get(number);
                Input::Message(Authenticated::from_channel(sent.from, sent.message.clone()))
            }
        };
        let said = drive(&mut next.machine, next.now, verifier, Some(input));
        next.take(said, messages);
        next
    }

    fn take(&mut self, said: Said, messages: &mut Messages) {
        let facts = Arc::make_mut(&mut self.facts);
        for (to, message) in said.sends {
            facts.note(&message);
            if is_explored(&message) {
                let number = messages.number(Sent { from: self.id, to, message });
                Arc::make_mut(&mut self.sent).insert(number);
            }
        }
        for event in said.events {
            if let Event::Committed { height, digest, rule, .. } = event {
                facts.committed.push((height, digest, rule));
            }
        }
    }
}

impl Facts {
    fn note(&mut self, message: &Message) {
        match message {
            Message::Vote(vote) => {
                let place = (vote.vote.view, vote.vote.height, vote.vote.digest);
                if self.votes.contains(&place) {
                    return;
                }
                if self.votes.iter().any(|other| (other.0, other.1) == (place.0, place.1)) {
                    self.offence = Some("voted for two blocks of one view and height");
                }
                if place.0 < self.asked {
                    self.offence = Some("voted in a view that it had left");
                }
                self.votes.push(place);
            }
            Message::Commit(commit) => {
                let place = (commit.vote.view, commit.vote.height, commit.vote.digest);
                if place.0 < self.asked {
                    self.offence = Some("sent a commit vote in a view that it had left");
                }
                if !self.commits.contains(&place) {
                    self.commits.push(place);
                }
            }
            Message::ViewChange(change) => self.asked = self.asked.max(change.new_view),
            _ => {}
        }
    }
}

/// What a machine wanted to have sent, to whom or to all, and what it told.
#[derive(Debug, Default)]
struct Said {
    sends: Vec<(Option<ReplicaId>, Message)>,
    events: Vec<Event>,
}

/// Gives a machine an input, and at once whatever it wants done.
fn drive(machine: &mut Replica, now: Time, verifier: &Verifier, first: Option<Input>) -> Said {
    let (mut said, mut answers) = (Said::default(), VecDeque::from_iter(first));
    for _ in 0..INPUTS_MAX {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Send(Recipients::All, message) => said.sends.push((None, message)),
                Action::Send(Recipients::One(to), message) => said.sends.push((Some(to), message)),
                Action::Persist(number, _) => answers.push_back(Input::Persisted(number)),
                Action::Verify(peer, work) => answers.push_back(Input::Verified(peer, verifier.check(work))),
                Action::Execute(execution) => {
                    let outcomes = vec![Outcome::Executed(Vec::new()); execution.commands.len()];
                    answers.push_back(Input::Executed(execution.height, outcomes));
                }
                Action::Event(event) => said.events.push(event),
                _ => {}
            }
        }
        match answers.pop_front() {
            Some(input) => machine.handle(now, input),
            None if machine.poll_timeout().is_some_and(|due| due <= now) => {
                machine.handle(now, Input::Timeout)
            }
            None => return said,
        }
    }
    panic!("a machine does more than {INPUTS_MAX} things after one input");
}

/// What is not explored: statuses and what hangs on them (repeats, catching up, lost disks), checkpoints, evidence.
const fn is_explored(message: &Message) -> bool {
    matches!(
        message,
        Message::Propose(_)
            | Message::Vote(_)
            | Message::Commit(_)
            | Message::ViewChange(_)
            | Message::Fetch(Fetch::Header(..) | Fetch::Blocks(_) | Fetch::View(_))
            | Message::Data(Data::Header(_) | Data::Block { .. } | Data::View(_))
    )
}
