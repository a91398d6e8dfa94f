//! `during`: an attack in some views only.

use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId, Time, View};

use super::Views;
use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// An attack while the view of the honest machine is in a window; before and after it the replica
/// is honest.
///
/// Outside the window the attack hears nothing. What it held back inside leaves at its time, also
/// after the end. It ends with the last view.
#[derive(Debug)]
pub struct During {
    inner: Box<dyn Adversary>,
    views: Views,
    /// Whether the view was one of them at the last event: outside, the attack's timer rests.
    is_open: bool,
}

impl During {
    pub(crate) fn new(inner: Box<dyn Adversary>, views: Views) -> Self {
        Self { inner, views, is_open: false }
    }

    fn open(&mut self, cx: &Cx<'_>) -> Option<&mut dyn Adversary> {
        self.is_open = self.views.contains(cx.status().view);
        if self.is_open { Some(&mut *self.inner) } else { None }
    }
}

impl Adversary for During {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match self.open(cx) {
            Some(inner) => cx.pass_to(inner, |inner, cx| inner.on_send(cx, to, message)),
            None => cx.send(to, message),
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        match self.open(cx) {
            Some(inner) => cx.pass_to(inner, |inner, cx| inner.on_receive(cx, from, message)),
            None => Verdict::Deliver,
        }
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        match self.open(cx) {
            Some(inner) => cx.pass_to(inner, |inner, cx| inner.on_reply(cx, client, message)),
            None => cx.reply(client, message),
        }
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        if let Some(inner) = self.open(cx) {
            cx.pass_to(inner, |inner, cx| inner.on_timeout(cx));
        }
    }
    fn poll_timeout(&self) -> Option<Time> {
        if self.is_open { self.inner.poll_timeout() } else { None }
    }
    fn needs(&self) -> Needs {
        self.inner.needs()
    }
    fn end(&self, view: View) -> End {
        match self.inner.end(view) {
            End::Reached => End::Reached,
            _ if self.views.is_before(view) => End::Reached,
            End::Never if self.views.end().is_none() => End::Never,
            _ => End::Later,
        }
    }
}
