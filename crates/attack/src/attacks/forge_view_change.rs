//! `forge_view_change`: view changes that prove what is not so.
//!
//! In place of its own view changes, and from time to time unasked, the traitor sends forged ones.
//!
//! Must hold: a forged one is refused by name, one that is only short of the truth changes no
//! commit, and no number of them by f replicas moves an honest replica's view.

use quorate_types::certificate::{QuorumCertificate, SignedHeader, ViewChange};
use quorate_types::limited::Limited;
use quorate_types::message::Message;
use quorate_types::{Batch, Header, ReplicaId, Statement, Time, View, VoteStatement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge::{self, Certificates};

/// What is forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// A certificate on a block that does not exist; the votes of others are invented.
    InventedCertificate,
    /// A genuine certificate with one voter counted twice.
    PaddedCertificate,
    /// The claim without its last header, validly signed.
    ShortenedClaim,
    /// The claim with one more header, signed with the traitor's key, whoever was primary.
    ForeignHeader,
    /// The truth, validly signed, for a view that is far away.
    DistantView,
}

/// Sends forged view changes.
#[derive(Debug, Default)]
pub struct ForgeViewChange {
    only: Option<Forgery>,
    certificates: Certificates,
    /// The last forgery and the view for which the truth was, so that all hear the same.
    told: Option<(View, Arc<ViewChange>)>,
    next: Option<Time>,
}

/// Forges something else each time.
#[must_use]
pub fn forge_view_change() -> ForgeViewChange {
    ForgeViewChange::default()
}

impl ForgeViewChange {
    /// Forges this every time.
    #[must_use]
    pub fn only(self, forgery: Forgery) -> Self {
        Self { only: Some(forgery), ..self }
    }

    fn forge(&self, cx: &mut Cx<'_>, truth: &ViewChange) -> ViewChange {
        const ALL: [Forgery; 5] = [
            Forgery::InventedCertificate,
            Forgery::PaddedCertificate,
            Forgery::ShortenedClaim,
            Forgery::ForeignHeader,
            Forgery::DistantView,
        ];
        let forgery = self.only.unwrap_or_else(|| ALL[cx.draw(ALL.len() as u64) as usize]);
        let (mut new_view, mut high_qc) = (truth.new_view, truth.high_qc.clone());
        let mut claim = truth.claim.to_vec();
        match forgery {
            Forgery::ShortenedClaim if claim.pop().is_some() => {}
            Forgery::PaddedCertificate if !high_qc.signatures.is_empty() => high_qc = padded(&high_qc),
            Forgery::ForeignHeader => claim.push(foreign_header(cx, truth)),
            Forgery::DistantView => {
                new_view = if cx.chance(20) { View(u64::MAX) } else { new_view.plus(1 + cx.draw(1000)) };
            }
            // Nothing there to shorten or to pad.
            Forgery::InventedCertificate | Forgery::ShortenedClaim | Forgery::PaddedCertificate => {
                (high_qc, claim) = (invented(cx, truth), Vec::new());
            }
        }
        forge::view_change(cx, new_view, high_qc, claim)
    }
}

fn invented(cx: &mut Cx<'_>, truth: &ViewChange) -> QuorumCertificate {
    let known = truth.high_qc.vote;
    let vote = VoteStatement {
        view: truth.new_view.minus(1),
        height: known.height.plus(1 + cx.draw(100)),
        digest: forge::other_digest(known.digest),
        ..known
    };
    let statement = Statement::Vote(vote);
    let own = cx.sign(&statement);
    let voters = cx.membership().replicas().take(cx.quorums().quorum());
    let signatures = voters.map(|voter| (voter, cx.sign_as(voter, &statement).unwrap_or(own)));
    QuorumCertificate { vote, signatures: Limited::take(signatures) }
}

fn padded(genuine: &QuorumCertificate) -> QuorumCertificate {
    let mut signatures = genuine.signatures.to_vec();
    signatures.pop();
    signatures.extend(signatures.last().copied());
    QuorumCertificate { vote: genuine.vote, signatures: Limited::take(signatures) }
}

fn foreign_header(cx: &Cx<'_>, truth: &ViewChange) -> SignedHeader {
    let certified = truth.high_qc.vote;
    let last = truth.claim.last().map(|last| last.header);
    let (height, parent, time) = match last {
        Some(header) => (header.height, header.digest(), header.time),
        None => (certified.height, certified.digest, Time(0)),
    };
    let header = Header {
        cluster: cx.membership().cluster(),
        epoch: certified.epoch,
        view: certified.view,
        height: height.next(),
        parent,
        batch: Batch::default().digest(),
        time,
    };
    forge::signed_header(cx, header)
}

impl Adversary for ForgeViewChange {
    fn name(&self) -> &'static str {
        "forge_view_change"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.certificates.observe(&message);
        if self.next.is_none() {
            self.next = Some(cx.now().after(cx.timing().view_timeout_min));
        }
        let Message::ViewChange(truth) = message else { return cx.send(to, message) };
        let told = self.told.take().filter(|(view, _)| *view == truth.new_view);
        let (view, forged) = told.unwrap_or_else(|| (truth.new_view, Arc::new(self.forge(cx, &truth))));
        cx.send(to, Message::ViewChange(Arc::clone(&forged)));
        cx.fired();
        self.told = Some((view, forged));
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.certificates.observe(message);
        Verdict::Deliver
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.next = Some(cx.now().after(cx.timing().view_timeout_min));
        let known = self.certificates.highest(cx);
        let new_view = cx.status().asked.max(cx.status().view).max(known.vote.view).next();
        let truth = forge::view_change(cx, new_view, known, Vec::new());
        let forged = Arc::new(self.forge(cx, &truth));
        for to in cx.others() {
            cx.send(to, Message::ViewChange(Arc::clone(&forged)));
        }
        cx.fired();
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.next
    }
}
