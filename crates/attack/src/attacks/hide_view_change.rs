//! `hide_view_change`: forgets in its view changes what it voted for and what it can prove.
//!
//! It presents the genesis certificate or an older one, or its certificate without the claim, all
//! validly signed, and asks for a new view as soon as anybody does, so as to be among the first.
//!
//! Must hold: whatever committed is selected by every possible view-change certificate.

use quorate_types::certificate::ViewChange;
use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::{self, Certificates};

/// Hides certificates and claims.
#[derive(Debug, Default)]
pub struct HideViewChange {
    certificates: Certificates,
    /// The last lie, kept so that all replicas hear the same one: it is no evidence.
    told: Option<Arc<ViewChange>>,
}

/// Hides another part of the truth in each view change.
#[must_use]
pub fn hide_view_change() -> HideViewChange {
    HideViewChange::default()
}

impl HideViewChange {
    fn lie(&mut self, cx: &mut Cx<'_>, new_view: View, truth: Option<&ViewChange>) -> Arc<ViewChange> {
        if let Some(told) = self.told.as_ref().filter(|told| told.new_view == new_view) {
            return Arc::clone(told);
        }
        let highest = match truth {
            Some(truth) => truth.high_qc.clone(),
            None => self.certificates.highest(cx),
        };
        let genesis = forge::genesis_certificate(cx);
        let shown = match cx.draw(3) {
            0 => genesis,
            1 => self.certificates.older(cx, &highest),
            _ => highest,
        };
        // A certificate must be of a lower view than the one asked for.
        let shown = if shown.vote.view < new_view { shown } else { forge::genesis_certificate(cx) };
        let lie = Arc::new(forge::view_change(cx, new_view, shown, Vec::new()));
        self.told = Some(Arc::clone(&lie));
        lie
    }
}

impl Adversary for HideViewChange {
    fn name(&self) -> &'static str {
        "hide_view_change"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        let Message::ViewChange(truth) = &message else { return cx.send(to, message) };
        let lie = self.lie(cx, truth.new_view, Some(truth));
        if (&lie.high_qc, &lie.claim) != (&truth.high_qc, &truth.claim) {
            cx.fired();
        }
        cx.send(to, Message::ViewChange(lie));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        if let Message::ViewChange(asked) = message
            && asked.new_view > cx.status().asked.max(cx.status().view)
            && self.told.as_ref().is_none_or(|told| told.new_view < asked.new_view)
        {
            let lie = self.lie(cx, asked.new_view, None);
            for to in cx.others() {
                cx.send(to, Message::ViewChange(Arc::clone(&lie)));
            }
            cx.fired();
        }
        Verdict::Deliver
    }
}
