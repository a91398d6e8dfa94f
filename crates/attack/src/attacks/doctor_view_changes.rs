//! `doctor_view_changes`: a new primary that changes the certificate that opens its view: a claim left out of another's view
//! change, one signer twice, too few, or an own view change with less in it.
//!
//! Must hold: every replica checks each view change in the certificate and computes itself what it selects; the
//! primary's word decides nothing.

use quorate_types::certificate::{ViewChange, ViewChangeCertificate};
use quorate_types::limited::Limited;
use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{ReplicaId, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Opens its views with certificates that it changed.
#[derive(Debug, Default)]
pub struct DoctorViewChanges {
    /// The last lie, so that all hear the same one.
    told: Option<(View, Arc<ViewChangeCertificate>)>,
}

/// Changes something else in each view.
#[must_use]
pub fn doctor_view_changes() -> DoctorViewChanges {
    DoctorViewChanges::default()
}

fn doctored(cx: &mut Cx<'_>, genuine: &ViewChangeCertificate) -> ViewChangeCertificate {
    let mut changes = genuine.view_changes.to_vec();
    let place = cx.draw(changes.len() as u64) as usize;
    match cx.draw(4) {
        0 => changes.truncate(place),
        1 => {
            let first = changes.first().cloned();
            changes.pop();
            changes.splice(0..0, first);
        }
        2 => {
            // Of another: its signature covers the claim.
            if let Some(other) = changes.get_mut(place) {
                let known = forge::genesis_certificate(cx);
                *other = ViewChange { claim: Limited::default(), high_qc: known, ..other.clone() };
            }
        }
        _ => {
            let own = cx.id();
            let place = changes.iter().position(|change| change.replica == own).unwrap_or(place);
            if let Some(change) = changes.get_mut(place) {
                let view = change.new_view;
                *change = forge::view_change(cx, view, forge::genesis_certificate(cx), Vec::new());
                changes.sort_by_key(|change| change.replica);
            }
        }
    }
    ViewChangeCertificate { view_changes: Limited::take(changes) }
}

impl Adversary for DoctorViewChanges {
    fn name(&self) -> &'static str {
        "doctor_view_changes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Propose(propose) = &message else { return cx.send(to, message) };
        let Justify::ViewChange(genuine) = &propose.justify else { return cx.send(to, message) };
        let view = propose.header.header.view;
        let told = self.told.take().filter(|(told_in, _)| *told_in == view);
        let (_, lie) = told.unwrap_or_else(|| (view, Arc::new(doctored(cx, genuine))));
        if lie != *genuine {
            cx.fired();
        }
        self.told = Some((view, Arc::clone(&lie)));
        cx.send(to, Message::Propose(Propose { justify: Justify::ViewChange(lie), ..propose.clone() }));
    }
}
