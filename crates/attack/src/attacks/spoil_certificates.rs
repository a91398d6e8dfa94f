//! `spoil_certificates`: passes on certificates of which one signature is bad, among others that are good.
//!
//! Must hold: one bad signature makes the whole certificate worth nothing, and the genuine one that comes from
//! somebody else still counts.

use quorate_types::certificate::{CheckpointCertificate, QuorumCertificate, Signatures};
use quorate_types::message::{Data, Message};
use quorate_types::{Height, ReplicaId};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::{self, Certificates};

/// Breaks one signature of each certificate.
#[derive(Debug, Default)]
pub struct SpoilCertificates {
    certificates: Certificates,
}

/// Breaks the last signature in everything that it proves: blocks, views and checkpoints.
#[must_use]
pub fn spoil_certificates() -> SpoilCertificates {
    SpoilCertificates::default()
}

fn spoiled(signatures: &Signatures) -> Signatures {
    let mut signatures = signatures.to_vec();
    if let Some((_, last)) = signatures.last_mut() {
        *last = forge::spoiled(*last);
    }
    Signatures::take(signatures)
}

impl Adversary for SpoilCertificates {
    fn name(&self) -> &'static str {
        "spoil_certificates"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        if let Message::Data(Data::Checkpoint(genuine)) = &message {
            let signatures = spoiled(&genuine.signatures);
            let lie = CheckpointCertificate { signatures, ..**genuine };
            cx.send(to, Message::Data(Data::Checkpoint(Arc::new(lie))));
            return cx.fired();
        }
        let genuine = self.certificates.highest(cx);
        forge::send_with_certificate(cx, to, message, |_, _, _| {
            let is_known = genuine.vote.height > Height(0);
            let signatures = spoiled(&genuine.signatures);
            is_known.then_some(QuorumCertificate { vote: genuine.vote, signatures })
        });
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        Verdict::Deliver
    }
}
