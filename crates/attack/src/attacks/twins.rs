//! `twins`: two unmodified machines with one key.
//!
//! The second machine is a clone of the first, made when the attack begins, and lives in memory: see [`Second`]. Each
//! of the other replicas talks with one of the two, or with both, drawn anew in each view. So both have a history that
//! is consistent in itself, and together they equivocate over any number of views: in proposals, votes, commit votes
//! and view changes.
//!
//! Must hold: one chain commits, and there is evidence as soon as an honest replica hears both.

mod second;

use quorate_consensus::{Input, Replica};
use quorate_types::message::Message;
use quorate_types::{Height, ReplicaId, Signature, Time, View};
use std::collections::BTreeMap;

pub use second::CLOCK_AHEAD;
use second::Second;

use crate::adversary::{Adversary, Cx, Verdict};

/// Two machines with one key.
#[derive(Debug)]
pub struct Twins {
    schedule: Schedule,
    sides: Sides,
    second: Option<Second>,
    signed: BTreeMap<Place, Signature>,
}

/// Who talks with which of the two machines; whoever is on both sides talks with both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// The first machine's peers.
    pub first: Vec<ReplicaId>,
    /// The second machine's peers.
    pub second: Vec<ReplicaId>,
}

/// When which sides are in force.
#[derive(Debug)]
enum Schedule {
    /// Drawn anew in each view, the higher one of the two machines.
    Drawn(Option<View>),
    /// Each until its time; the last one for ever.
    Until(Vec<(Time, Sides)>),
}

/// Where a replica may sign one statement only: the kind of message, its view and its height.
type Place = (usize, View, Height);

/// Most places of which it is remembered what was signed there.
const PLACES_MAX: usize = 256;

/// Two machines with one key, and sides that are drawn in each view: every replica talks with the first, the second
/// or both.
#[must_use]
pub const fn twins() -> Twins {
    let sides = Sides { first: Vec::new(), second: Vec::new() };
    Twins { schedule: Schedule::Drawn(None), sides, second: None, signed: BTreeMap::new() }
}

impl Twins {
    /// Other sides: each until its time on the driver's clock, the last one for ever. Without any nobody is heard.
    #[must_use]
    pub fn sides(self, until: Vec<(Time, Sides)>) -> Self {
        Self { schedule: Schedule::Until(until), ..self }
    }

    /// Makes the second machine, if there is none or it cannot go on, and chooses the sides.
    fn prepare(&mut self, cx: &mut Cx<'_>) {
        if self.second.as_ref().is_none_or(|second| second.is_lost(cx)) {
            self.second = cx.machine.map(|machine: &Replica| Second::of(machine.clone()));
        }
        let second = self.second.as_ref().map_or(View(0), |second| second.status().view);
        let view = cx.status().view.max(second);
        match &mut self.schedule {
            Schedule::Drawn(drawn) if *drawn != Some(view) => {
                *drawn = Some(view);
                self.sides = draw(cx);
            }
            Schedule::Drawn(_) => {}
            Schedule::Until(until) => {
                while until.len() > 1 && until.first().is_some_and(|(end, _)| *end <= cx.now()) {
                    until.remove(0);
                }
                if let Some((_, sides)) = until.first() {
                    self.sides.clone_from(sides);
                }
            }
        }
    }

    /// Gives the second machine an input and sends what it wants to say.
    fn feed_second(&mut self, cx: &mut Cx<'_>, input: Input) {
        let Some(second) = &mut self.second else { return };
        let Some((sends, replies)) = second.handle(cx.now(), input) else { return };
        let asked = cx.status().asked;
        for (to, message) in sends {
            let heard = self.sides.second.iter().copied().filter(|peer| to.is_none_or(|to| to == *peer));
            for peer in heard.collect::<Vec<_>>() {
                self.note_signed(cx, &message, asked);
                cx.send(peer, message.clone());
            }
        }
        for (client, message) in replies {
            cx.reply(client, message);
        }
    }

    /// Counts a deviation if the other machine signed something else in this place, or left the view: `asked` is what
    /// that one asked for.
    fn note_signed(&mut self, cx: &mut Cx<'_>, message: &Message, asked: View) {
        let (view, height, signature) = match message {
            Message::Propose(propose) => {
                let header = &propose.header.header;
                (header.view, header.height, propose.header.signature)
            }
            Message::Vote(vote) => (vote.vote.view, vote.vote.height, vote.signature),
            Message::ViewChange(change) => (change.new_view, Height(0), change.signature),
            _ => return,
        };
        let is_left = view < asked && !matches!(message, Message::ViewChange(_));
        let first = *self.signed.entry((message.kind(), view, height)).or_insert(signature);
        if first != signature || is_left {
            cx.fired();
        }
        if self.signed.len() > PLACES_MAX {
            self.signed.pop_first();
        }
    }
}

/// Every other replica on one side or on both.
fn draw(cx: &mut Cx<'_>) -> Sides {
    let mut sides = Sides::default();
    for other in cx.others() {
        let side = cx.draw(3);
        if side != 0 {
            sides.first.push(other);
        }
        if side != 1 {
            sides.second.push(other);
        }
    }
    sides
}

impl Adversary for Twins {
    fn name(&self) -> &'static str {
        "twins"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.prepare(cx);
        if self.sides.first.contains(&to) {
            let asked = self.second.as_ref().map_or(View(0), |second| second.status().asked);
            self.note_signed(cx, &message, asked);
            cx.send(to, message);
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.prepare(cx);
        if self.sides.second.contains(&from) {
            self.feed_second(cx, second::message(from, message));
        }
        if self.sides.first.contains(&from) { Verdict::Deliver } else { Verdict::Drop }
    }
    fn on_input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        self.prepare(cx);
        self.feed_second(cx, input.clone());
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.prepare(cx);
        self.feed_second(cx, Input::Timeout);
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.second.as_ref().and_then(Second::poll_timeout)
    }
}
