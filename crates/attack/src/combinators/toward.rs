//! `toward`: an attack that some replicas see and the others do not.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, Time, View};
use std::collections::BTreeSet;

use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// An attack in what some replicas are sent. All others, and all clients, find the replica honest.
///
/// The attack hears of messages for its targets, and of every message that arrives. What it would
/// send to somebody else is not sent, and does not count. It can keep from the honest machine only
/// what a target sent.
#[derive(Debug)]
pub struct Toward {
    inner: Box<dyn Adversary>,
    targets: BTreeSet<ReplicaId>,
}

impl Toward {
    pub(crate) fn new(inner: Box<dyn Adversary>, targets: BTreeSet<ReplicaId>) -> Self {
        Self { inner, targets }
    }

    fn act<R>(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R) -> R {
        let (result, mut effects) = cx.inside(&mut *self.inner, act);
        effects.retain_sent_to(|to| self.targets.contains(&to));
        cx.apply(effects);
        result
    }
}

impl Adversary for Toward {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if !self.targets.contains(&to) {
            return cx.send(to, message);
        }
        self.act(cx, |inner, cx| inner.on_send(cx, to, message));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let verdict = self.act(cx, |inner, cx| inner.on_receive(cx, from, message));
        if self.targets.contains(&from) { verdict } else { Verdict::Deliver }
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.act(cx, |inner, cx| inner.on_timeout(cx));
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.inner.poll_timeout()
    }
    fn needs(&self) -> Needs {
        self.inner.needs()
    }
    fn end(&self, view: View) -> End {
        self.inner.end(view)
    }
}
