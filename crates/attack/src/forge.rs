//! How are lies signed? The statements that several attacks make, each with the traitor's key.

use quorate_types::certificate::{CLAIM_MAX, QuorumCertificate, Signatures, SignedHeader, ViewChange};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Justify, Message, Propose, ViewProof, Vote};
use quorate_types::{Digest, Header, Height, ReplicaId, Signature, Statement, View, VoteStatement};
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

/// A signature that is nobody's.
pub(crate) const fn spoiled(signature: Signature) -> Signature {
    let Signature(mut bytes) = signature;
    bytes[0] ^= 1;
    Signature(bytes)
}

/// A certificate by these signers: the traitor's own signature stands for everybody whose key it has not.
pub(crate) fn certificate(cx: &Cx<'_>, vote: VoteStatement, signers: &[ReplicaId]) -> QuorumCertificate {
    let statement = Statement::Vote(vote);
    let own = cx.sign(&statement);
    let sign = |signer: &ReplicaId| (*signer, cx.sign_as(*signer, &statement).unwrap_or(own));
    QuorumCertificate { vote, signatures: Signatures::take(signers.iter().map(sign)) }
}

/// For which view and below or at which height a certificate has to be to matter in this message. A status can
/// bring one for the next view along.
pub(crate) fn place(message: &Message) -> Option<(View, Height)> {
    match message {
        Message::Propose(propose) => {
            let header = &propose.header.header;
            Some((header.view, header.height.minus(1)))
        }
        Message::ViewChange(change) => Some((change.new_view.minus(1), change.high_qc.vote.height.next())),
        Message::Status(status) => Some((status.view.max(status.asked).next(), status.committed.0.next())),
        _ => None,
    }
}

/// The message with this certificate in it. In place of a status it is the proof of a view.
pub(crate) fn with_certificate(
    cx: &Cx<'_>,
    message: &Message,
    certificate: QuorumCertificate,
) -> Option<Message> {
    match message {
        Message::Propose(propose) => {
            let justify = Justify::Quorum(Arc::new(certificate));
            Some(Message::Propose(Propose { justify, ..propose.clone() }))
        }
        Message::ViewChange(change) => {
            let forged = view_change(cx, change.new_view, certificate, Vec::new());
            Some(Message::ViewChange(Arc::new(forged)))
        }
        Message::Status(_) => Some(Message::Data(Data::View(ViewProof::Quorum(Arc::new(certificate))))),
        _ => None,
    }
}

/// Sends the message with the certificate that `forge` makes for its place; a status as well, and what
/// carries no certificate as it is.
pub(crate) fn send_with_certificate(
    cx: &mut Cx<'_>,
    to: ReplicaId,
    message: Message,
    forge: impl FnOnce(&mut Cx<'_>, View, Height) -> Option<QuorumCertificate>,
) {
    let forged = match place(&message) {
        Some((view, height)) => forge(cx, view, height),
        None => None,
    };
    let Some(lie) = forged.and_then(|forged| with_certificate(cx, &message, forged)) else {
        return cx.send(to, message);
    };
    if matches!(message, Message::Status(_)) {
        cx.send(to, message);
    }
    cx.send(to, lie);
    cx.fired();
}

/// A vote for an invented block.
pub(crate) fn invented_vote(cx: &Cx<'_>, view: View, height: Height) -> VoteStatement {
    let digest = other_digest(Digest::of_bytes(&[view.0.to_le_bytes(), height.0.to_le_bytes()].concat()));
    VoteStatement { epoch: cx.membership().epoch(), view, height, digest }
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
