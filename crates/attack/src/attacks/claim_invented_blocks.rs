//! `claim_invented_blocks`: in its view changes claims a long chain above its certificate that it invented for it, and
//! serves its blocks.
//!
//! It can sign that chain where it, or a colluder, was primary of the certificate's view.
//!
//! Must hold: the longest claim does not win over what may have committed; where claims fork, the primary that
//! signed both is left out.

use bytes::Bytes;
use quorate_types::certificate::{SignedHeader, ViewChange};
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{Batch, Header, ReplicaId, Statement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};
use crate::forge;

/// Most headers that it invents.
const CHAIN_MAX: u64 = 60;

/// Claims what nobody proposed.
#[derive(Debug, Default)]
pub struct ClaimInventedBlocks {
    invented: Vec<SignedHeader>,
    /// The last lie, so that all hear the same one.
    told: Option<Arc<ViewChange>>,
}

/// Claims up to 60 invented blocks in each view change, all without requests.
#[must_use]
pub fn claim_invented_blocks() -> ClaimInventedBlocks {
    ClaimInventedBlocks::default()
}

impl ClaimInventedBlocks {
    fn lie(&mut self, cx: &mut Cx<'_>, truth: &ViewChange) -> Arc<ViewChange> {
        if let Some(told) = self.told.as_ref().filter(|told| told.new_view == truth.new_view) {
            return Arc::clone(told);
        }
        let certified = truth.high_qc.vote;
        let primary = cx.membership().primary(certified.view);
        let (mut parent, count) = (certified.digest, 1 + certified.height.0 % CHAIN_MAX);
        self.invented.clear();
        for step in 1..=count {
            let header = Header {
                cluster: cx.membership().cluster(),
                epoch: certified.epoch,
                view: certified.view,
                height: certified.height.plus(step),
                parent,
                batch: Batch::default().digest(),
                time: truth.claim.last().map_or(cx.now(), |last| last.header.time),
            };
            parent = header.digest();
            let statement = Statement::Block(header);
            let signature = cx.sign_as(primary, &statement).unwrap_or_else(|| cx.sign(&statement));
            self.invented.push(SignedHeader { header, signature });
        }
        let lie = forge::view_change(cx, truth.new_view, truth.high_qc.clone(), self.invented.clone());
        Arc::clone(self.told.insert(Arc::new(lie)))
    }
}

impl Adversary for ClaimInventedBlocks {
    fn name(&self) -> &'static str {
        "claim_invented_blocks"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::ViewChange(truth) = message else { return cx.send(to, message) };
        let lie = self.lie(cx, &truth);
        cx.send(to, Message::ViewChange(lie));
        cx.fired();
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if let Message::Fetch(Fetch::Blocks(ids)) = message {
            for header in &self.invented {
                let id = (header.header.height, header.header.digest());
                if ids.contains(&id) {
                    cx.send(from, Message::Data(Data::Block { header: *header, batch: Bytes::new() }));
                }
            }
        }
        Verdict::Deliver
    }
}
