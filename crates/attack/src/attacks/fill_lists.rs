//! `fill_lists`: messages that are as long as their kind may be, with nothing in them that counts.
//!
//! Must hold: every list has a limit that is checked before it is read, and the longest message that is allowed costs a
//! bounded time and is refused by name at its first wrong element.

use quorate_types::certificate::{
    CLAIM_MAX, CheckpointCertificate, Signatures, SignedHeader, ViewChangeCertificate,
};
use quorate_types::limited::Limited;
use quorate_types::message::{CHAIN_MAX, Data, FETCH_CHUNKS_MAX, Message, ViewProof};
use quorate_types::{Batch, CheckpointStatement, Digest, Header, Height, ReplicaId, Time, View};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// As many signers as a list of them takes.
const SIGNERS: u16 = 128;

/// Sends the longest messages there are.
#[derive(Debug)]
pub struct FillLists(());

/// Adds one full list to each status.
#[must_use]
pub const fn fill_lists() -> FillLists {
    FillLists(())
}

/// Headers of a view that it may have led, one on the other.
fn headers(cx: &Cx<'_>, view: View, above: Height, count: usize) -> Vec<SignedHeader> {
    let mut parent = cx.membership().genesis_block();
    let mut height = above;
    let next = |_| {
        height = height.next();
        let (cluster, epoch) = (cx.membership().cluster(), cx.membership().epoch());
        let batch = Batch::default().digest();
        let header = Header { cluster, epoch, view, height, parent, batch, time: Time(0) };
        parent = header.digest();
        forge::signed_header(cx, header)
    };
    (0..count).map(next).collect()
}

fn full_list(cx: &mut Cx<'_>) -> Message {
    let view = cx.status().view.max(cx.status().asked).next();
    let height = cx.status().committed;
    let everybody: Vec<ReplicaId> = (0..SIGNERS).map(ReplicaId).collect();
    match cx.draw(6) {
        0 => Message::Data(Data::Chain(Limited::take(headers(cx, view.minus(1), height, CHAIN_MAX)))),
        1 => {
            let claim = headers(cx, View(0), Height(0), CLAIM_MAX);
            let known = forge::genesis_certificate(cx);
            Message::ViewChange(Arc::new(forge::view_change(cx, view, known, claim)))
        }
        2 => {
            let change = forge::view_change(cx, view, forge::genesis_certificate(cx), Vec::new());
            let view_changes = Limited::take(std::iter::repeat_n(change, usize::from(SIGNERS)));
            let certificate = ViewChangeCertificate { view_changes };
            Message::Data(Data::View(ViewProof::ViewChange(Arc::new(certificate))))
        }
        3 => {
            let vote = forge::invented_vote(cx, view, height.next());
            let certificate = forge::certificate(cx, vote, &everybody);
            Message::Data(Data::View(ViewProof::Quorum(Arc::new(certificate))))
        }
        4 => {
            let vote = forge::invented_vote(cx, view, height.next());
            let votes = forge::certificate(cx, vote, &everybody).signatures;
            let signatures: Signatures = votes;
            let checkpoint = CheckpointStatement {
                epoch: vote.epoch,
                height: vote.height,
                block: vote.digest,
                state_root: vote.digest,
            };
            Message::Data(Data::Checkpoint(Arc::new(CheckpointCertificate { checkpoint, signatures })))
        }
        _ => {
            let digests = std::iter::repeat_n(Digest([3; 32]), FETCH_CHUNKS_MAX);
            Message::Data(Data::Absent(Limited::take(digests)))
        }
    }
}

impl Adversary for FillLists {
    fn name(&self) -> &'static str {
        "fill_lists"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let is_status = matches!(message, Message::Status(_));
        cx.send(to, message);
        if is_status {
            let full = full_list(cx);
            cx.send(to, full);
            cx.fired();
        }
    }
}
