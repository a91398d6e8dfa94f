//! `with_probability`: an attack on some messages, by chance.

use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId, Time, View};

use super::Probability;
use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// An attack that strikes each message with a probability, drawn for each message and recipient.
///
/// A message that it spares leaves honestly and unseen by the attack. Everything that arrives it
/// hears, and its timer runs; what it does on such an event is struck or spared as a whole.
#[derive(Debug)]
pub struct WithProbability {
    inner: Box<dyn Adversary>,
    probability: Probability,
}

impl WithProbability {
    pub(crate) fn new(inner: Box<dyn Adversary>, probability: Probability) -> Self {
        Self { inner, probability }
    }

    fn strikes(&self, cx: &mut Cx<'_>) -> bool {
        cx.draw(1_000_000) < u64::from(self.probability.millionths())
    }
}

impl Adversary for WithProbability {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if !self.strikes(cx) {
            return cx.send(to, message);
        }
        cx.pass_to(&mut *self.inner, |inner, cx| inner.on_send(cx, to, message));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let (verdict, effects) = cx.inside(&mut *self.inner, |inner, cx| inner.on_receive(cx, from, message));
        if !self.strikes(cx) {
            return Verdict::Deliver;
        }
        cx.apply(effects);
        verdict
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        if !self.strikes(cx) {
            return cx.reply(client, message);
        }
        cx.pass_to(&mut *self.inner, |inner, cx| inner.on_reply(cx, client, message));
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let ((), effects) = cx.inside(&mut *self.inner, |inner, cx| inner.on_timeout(cx));
        if self.strikes(cx) {
            cx.apply(effects);
        }
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
