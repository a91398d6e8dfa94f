//! `race_views`: asks for one view after the other, faster than anybody can enter them.
//!
//! Must hold: no number of views that f replicas ask for moves an honest one, what is kept of them is bounded, and the
//! view change that is needed is not lost among them.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, Time, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::{self, Certificates};

/// Runs ahead.
#[derive(Debug, Default)]
pub struct RaceViews {
    certificates: Certificates,
    asked: View,
    next: Option<Time>,
}

/// Asks for the next sixteen views in every status period.
#[must_use]
pub fn race_views() -> RaceViews {
    RaceViews::default()
}

/// As many view changes as are kept of one replica, twice.
const VIEWS: u64 = 16;

impl Adversary for RaceViews {
    fn name(&self) -> &'static str {
        "race_views"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        self.next.get_or_insert(cx.now());
        cx.send(to, message);
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        Verdict::Deliver
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.next = Some(cx.now().after(cx.timing().status_interval));
        let known = self.certificates.highest(cx);
        let from = self.asked.max(cx.status().view).max(known.vote.view);
        for step in 1..=VIEWS {
            let view = from.plus(step);
            let change = Arc::new(forge::view_change(cx, view, known.clone(), Vec::new()));
            for to in cx.others() {
                cx.send(to, Message::ViewChange(Arc::clone(&change)));
            }
            cx.fired();
        }
        self.asked = from.plus(VIEWS);
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.next
    }
}
