//! `and`: two attacks at once, one behind the other.

use quorate_consensus::{Action, Recipients};
use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId, Time, View};

use super::effects::Effects;
use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// Two attacks in a row: what the first sends, and what it tells clients, goes through the second
/// as if the honest machine had sent it.
///
/// Both hear everything that arrives; the honest machine gets what neither of them keeps from it.
/// What the first holds back goes through the second at once and leaves at its time, or later if
/// the second holds it back as well.
#[derive(Debug)]
pub struct And {
    first: Box<dyn Adversary>,
    second: Box<dyn Adversary>,
}

impl And {
    pub(crate) fn new(first: Box<dyn Adversary>, second: Box<dyn Adversary>) -> Self {
        Self { first, second }
    }

    /// Lets the first act, and puts what it does through the second.
    fn act<R>(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R) -> R {
        let (result, Effects { out, delayed, inputs, fired }) = cx.inside(&mut *self.first, act);
        for action in out {
            match action {
                Action::Send(Recipients::One(to), message) => {
                    cx.pass_to(&mut *self.second, |second, cx| second.on_send(cx, to, message));
                }
                Action::Reply(client, message) => {
                    cx.pass_to(&mut *self.second, |second, cx| second.on_reply(cx, client, message));
                }
                other => unreachable!("an adversary sends and replies: {other:?}"),
            }
        }
        for (due, to, message) in delayed.into_all() {
            let ((), effects) = cx.inside(&mut *self.second, |second, cx| second.on_send(cx, to, message));
            cx.apply(effects.held_until(due, cx.now()));
        }
        cx.inputs.extend(inputs);
        cx.count(fired);
        result
    }
}

impl Adversary for And {
    /// The name of the first.
    fn name(&self) -> &'static str {
        self.first.name()
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.act(cx, |first, cx| first.on_send(cx, to, message));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let first = self.act(cx, |first, cx| first.on_receive(cx, from, message));
        let second = cx.pass_to(&mut *self.second, |second, cx| second.on_receive(cx, from, message));
        if first == Verdict::Deliver { second } else { Verdict::Drop }
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        self.act(cx, |first, cx| first.on_reply(cx, client, message));
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let is_due = |attack: &dyn Adversary, now| attack.poll_timeout().is_some_and(|due| due <= now);
        if is_due(&*self.first, cx.now()) {
            self.act(cx, |first, cx| first.on_timeout(cx));
        }
        if is_due(&*self.second, cx.now()) {
            cx.pass_to(&mut *self.second, |second, cx| second.on_timeout(cx));
        }
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.first.poll_timeout().into_iter().chain(self.second.poll_timeout()).min()
    }
    fn needs(&self) -> Needs {
        self.first.needs().union(self.second.needs())
    }
    fn end(&self, view: View) -> End {
        match (self.first.end(view), self.second.end(view)) {
            (End::Never, _) | (_, End::Never) => End::Never,
            (End::Reached, End::Reached) => End::Reached,
            _ => End::Later,
        }
    }
}
