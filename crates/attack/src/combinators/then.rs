//! `then`: one attack after another.

use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId, Time, View};

use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// An attack until it ends, and from then on another, which begins without knowing what was before.
///
/// An attack with a window ends with it, and one with a number of times after them, whether or not
/// it deviated. One with neither ends when it has deviated and the honest machine enters a later
/// view. A replica that restarts begins anew.
#[derive(Debug)]
pub struct Then {
    first: Box<dyn Adversary>,
    second: Box<dyn Adversary>,
    /// The view in which the first attack deviated first.
    fired_in: Option<View>,
    is_second: bool,
}

impl Then {
    pub(crate) fn new(first: Box<dyn Adversary>, second: Box<dyn Adversary>) -> Self {
        Self { first, second, fired_in: None, is_second: false }
    }

    fn is_over(&self, view: View) -> bool {
        match self.first.end(view) {
            End::Never => self.fired_in.is_some_and(|fired_in| fired_in < view),
            End::Later => false,
            End::Reached => true,
        }
    }

    fn act<R>(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R) -> R {
        let view = cx.status().view;
        self.is_second |= self.is_over(view);
        if self.is_second {
            return cx.pass_to(&mut *self.second, act);
        }
        let (result, effects) = cx.inside(&mut *self.first, act);
        if effects.fired() > 0 && self.fired_in.is_none() {
            self.fired_in = Some(view);
        }
        cx.apply(effects);
        result
    }
}

impl Adversary for Then {
    /// The name of the attack whose turn it is.
    fn name(&self) -> &'static str {
        if self.is_second { self.second.name() } else { self.first.name() }
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.act(cx, |attack, cx| attack.on_send(cx, to, message));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.act(cx, |attack, cx| attack.on_receive(cx, from, message))
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        self.act(cx, |attack, cx| attack.on_reply(cx, client, message));
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.act(cx, |attack, cx| attack.on_timeout(cx));
    }
    fn poll_timeout(&self) -> Option<Time> {
        if self.is_second { self.second.poll_timeout() } else { self.first.poll_timeout() }
    }
    fn needs(&self) -> Needs {
        self.first.needs().union(self.second.needs())
    }
    fn end(&self, view: View) -> End {
        match self.second.end(view) {
            End::Reached if !self.is_second => End::Later,
            second => second,
        }
    }
}
