//! `times`: an attack that is honest after a number of deviations.

use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId, Time, View};
use std::num::NonZeroU64;

use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// An attack until it has deviated a number of times.
///
/// What one event sets off is not torn apart: an attack that answers one message with eight lies
/// may end with seven more than the number. It ends with the last of them.
#[derive(Debug)]
pub struct Times {
    inner: Box<dyn Adversary>,
    left: u64,
}

impl Times {
    pub(crate) fn new(inner: Box<dyn Adversary>, count: NonZeroU64) -> Self {
        Self { inner, left: count.get() }
    }

    fn act<R>(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R) -> R {
        let (result, effects) = cx.inside(&mut *self.inner, act);
        self.left = self.left.saturating_sub(effects.fired());
        cx.apply(effects);
        result
    }
}

impl Adversary for Times {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if self.left == 0 {
            return cx.send(to, message);
        }
        self.act(cx, |inner, cx| inner.on_send(cx, to, message));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if self.left == 0 {
            return Verdict::Deliver;
        }
        self.act(cx, |inner, cx| inner.on_receive(cx, from, message))
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        if self.left == 0 {
            return cx.reply(client, message);
        }
        self.act(cx, |inner, cx| inner.on_reply(cx, client, message));
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.left > 0 {
            self.act(cx, |inner, cx| inner.on_timeout(cx));
        }
    }
    fn poll_timeout(&self) -> Option<Time> {
        if self.left > 0 { self.inner.poll_timeout() } else { None }
    }
    fn needs(&self) -> Needs {
        self.inner.needs()
    }
    fn end(&self, view: View) -> End {
        match self.inner.end(view) {
            _ if self.left == 0 => End::Reached,
            End::Never => End::Later,
            inner => inner,
        }
    }
}
