//! `pad_certificates`: certificates in which the traitors' few signatures stand for a quorum, as each is there many
//! times.
//!
//! Must hold: Q distinct members sign, in rising order; anything else is no certificate, in proposals, view changes and
//! proofs alike, and opens no view.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Counts its own signature many times.
#[derive(Debug)]
pub struct PadCertificates(());

/// Puts a padded certificate into every message that can carry one.
#[must_use]
pub const fn pad_certificates() -> PadCertificates {
    PadCertificates(())
}

impl Adversary for PadCertificates {
    fn name(&self) -> &'static str {
        "pad_certificates"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        forge::send_with_certificate(cx, to, message, |cx, view, height| {
            let traitors = cx.traitors();
            let signers: Vec<ReplicaId> =
                traitors.iter().copied().cycle().take(cx.quorums().quorum()).collect();
            Some(forge::certificate(cx, forge::invented_vote(cx, view, height), &signers))
        });
    }
}
