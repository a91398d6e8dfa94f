//! How are lies signed? The statements that several attacks make, each with the traitor's key.

use quorate_types::certificate::{CLAIM_MAX, QuorumCertificate, SignedHeader, ViewChange};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Justify, Message, ViewProof, Vote};
use quorate_types::{Digest, Header, Signature, Statement, View, VoteStatement};
use std::sync::Arc;

use crate::adversary::Cx;

/// A digest that nothing has. The same for the same digest, so that colluders tell one lie.
pub(crate) fn other_digest(digest: Digest) -> Digest {
    Digest::of_parts("quorate lie", &[&digest.0])
}

/// A header with the traitor's signature, whoever is primary of its view.
pub(crate) fn signed_header(cx: &Cx<'_>, header: Header) -> SignedHeader {
    SignedHeader { header, signature: cx.sign(&Statement::Block(header)) }
}

/// The same vote for another block.
pub(crate) fn vote(cx: &Cx<'_>, vote: VoteStatement, like: &Vote) -> Message {
    Message::Vote(Vote { vote, signature: cx.sign(&Statement::Vote(vote)), ..*like })
}

/// A signed view change with any content.
pub(crate) fn view_change(
    cx: &Cx<'_>,
    new_view: View,
    high_qc: QuorumCertificate,
    claim: Vec<SignedHeader>,
) -> ViewChange {
    let mut view_change = ViewChange {
        epoch: cx.membership().epoch(),
        new_view,
        replica: cx.id(),
        high_qc,
        claim: Limited::take(claim.into_iter().take(CLAIM_MAX)),
        signature: Signature([0; 64]),
    };
    view_change.signature = cx.sign(&view_change.statement());
    view_change
}

/// The certificate that everybody has.
pub(crate) fn genesis_certificate(cx: &Cx<'_>) -> QuorumCertificate {
    QuorumCertificate::genesis(cx.membership().epoch(), cx.membership().genesis_block())
}

/// The quorum certificate that a message carries outside of a view-change certificate.
pub(crate) fn certificate_in(message: &Message) -> Option<&QuorumCertificate> {
    match message {
        Message::Propose(propose) => match &propose.justify {
            Justify::Quorum(certificate) => Some(certificate),
            Justify::None | Justify::ViewChange(_) => None,
        },
        Message::ViewChange(view_change) => Some(&view_change.high_qc),
        Message::Data(Data::View(ViewProof::Quorum(certificate))) => Some(certificate),
        _ => None,
    }
}

/// The highest and the second highest certificate that passed by. They are as good as whoever
/// sent them: an attack that passes them on does not need them to be genuine.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    highest: Option<Arc<QuorumCertificate>>,
    older: Option<Arc<QuorumCertificate>>,
}

impl Certificates {
    pub(crate) fn observe(&mut self, message: &Message) {
        let Some(seen) = certificate_in(message) else { return };
        if self.highest.as_ref().is_none_or(|highest| seen.rank() > highest.rank()) {
            self.older = self.highest.replace(Arc::new(seen.clone()));
        }
    }
    pub(crate) fn highest(&self, cx: &Cx<'_>) -> QuorumCertificate {
        self.highest.as_deref().cloned().unwrap_or_else(|| genesis_certificate(cx))
    }
    /// One that is lower than `than`.
    pub(crate) fn older(&self, cx: &Cx<'_>, than: &QuorumCertificate) -> QuorumCertificate {
        let mut kept = self.highest.iter().chain(&self.older);
        let older = kept.find(|certificate| certificate.rank() < than.rank());
        older.map_or_else(|| genesis_certificate(cx), |certificate| (**certificate).clone())
    }
}
