//! `transplant_certificates`: a quorum's genuine signatures under another view, height, block or epoch.
//!
//! Must hold: every field of what was voted is signed, so that a certificate proves that and nothing else.

use quorate_types::certificate::QuorumCertificate;
use quorate_types::message::Message;
use quorate_types::{Digest, Height, ReplicaId, View, VoteStatement};

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::{self, Certificates};

/// Moves signatures to where they prove more.
#[derive(Debug, Default)]
pub struct TransplantCertificates {
    certificates: Certificates,
}

/// Puts the highest genuine certificate, changed in one field, into every message that can carry one.
#[must_use]
pub fn transplant_certificates() -> TransplantCertificates {
    TransplantCertificates::default()
}

fn moved(cx: &mut Cx<'_>, genuine: VoteStatement, view: View, height: Height) -> VoteStatement {
    match cx.draw(4) {
        0 => VoteStatement { view, ..genuine },
        1 => VoteStatement { height, view, ..genuine },
        2 => VoteStatement { epoch: genuine.epoch.next(), view, ..genuine },
        _ => {
            let digest: Digest = forge::other_digest(genuine.digest);
            VoteStatement { digest, view, ..genuine }
        }
    }
}

impl Adversary for TransplantCertificates {
    fn name(&self) -> &'static str {
        "transplant_certificates"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        let genuine = self.certificates.highest(cx);
        forge::send_with_certificate(cx, to, message, |cx, view, height| {
            let vote = moved(cx, genuine.vote, view, height);
            let is_known = genuine.vote.height > Height(0);
            (is_known && vote != genuine.vote)
                .then_some(QuorumCertificate { vote, signatures: genuine.signatures.clone() })
        });
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        Verdict::Deliver
    }
}
