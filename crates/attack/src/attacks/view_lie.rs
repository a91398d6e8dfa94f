//! `view_lie`: tells laggards about views that nobody entered, with proofs that prove nothing.
//!
//! Must hold: a view is entered on Q signatures alone and joined on W words; the last or loudest answer decides
//! nothing, and a proof with too few signers is refused.

use quorate_types::certificate::{QuorumCertificate, Signatures, ViewChangeCertificate};
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Fetch, Message, Status, ViewProof};
use quorate_types::{ReplicaId, Statement, View, VoteStatement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge;

/// Draws its views.
#[derive(Debug)]
pub struct ViewLie;

/// Another view in every status, and a forged proof in answer to every question about views.
#[must_use]
pub const fn view_lie() -> ViewLie {
    ViewLie
}

fn any_view(cx: &mut Cx<'_>, near: View) -> View {
    match cx.draw(4) {
        0 => View(u64::MAX),
        1 => near.minus(1 + cx.draw(4)),
        2 => near.plus(1 + cx.draw(4)),
        _ => near.plus(cx.draw(1_000_000)),
    }
}

/// Everybody's name under the traitor's own signature.
fn forged_proof(cx: &mut Cx<'_>, view: View) -> ViewProof {
    let epoch = cx.membership().epoch();
    let (height, genesis) = (cx.status().committed, cx.membership().genesis_block());
    let digest = forge::other_digest(genesis);
    if cx.chance(50) {
        let vote = VoteStatement { epoch, view, height, digest };
        let own = cx.sign(&Statement::Vote(vote));
        let names: Vec<ReplicaId> = cx.membership().replicas().take(cx.quorums().quorum()).collect();
        let signatures = Signatures::take(names.into_iter().map(|name| (name, own)));
        return ViewProof::Quorum(Arc::new(QuorumCertificate { vote, signatures }));
    }
    let own = forge::view_change(cx, view, forge::genesis_certificate(cx), Vec::new());
    let view_changes = Limited::take([own]);
    ViewProof::ViewChange(Arc::new(ViewChangeCertificate { view_changes }))
}

impl Adversary for ViewLie {
    fn name(&self) -> &'static str {
        "view_lie"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Status(truth) => {
                let (view, asked) = (any_view(cx, truth.view), any_view(cx, truth.asked));
                cx.send(to, Message::Status(Status { view, asked, ..truth }));
                cx.fired();
            }
            Message::Data(Data::View(truth)) => {
                let view = any_view(cx, truth.view());
                let forged = forged_proof(cx, view);
                cx.send(to, Message::Data(Data::View(forged)));
                cx.fired();
            }
            other => cx.send(to, other),
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if let Message::Fetch(Fetch::View(above)) = message {
            let forged = forged_proof(cx, above.next());
            cx.send(from, Message::Data(Data::View(forged)));
            cx.fired();
        }
        Verdict::Deliver
    }
}
