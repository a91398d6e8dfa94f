//! `forge_requests`: a primary that proposes requests which no client made.
//!
//! Must hold: one request that is not authentic makes the whole block one that nobody votes for, and only what clients signed
//! is ever executed.

use bytes::Bytes;
use quorate_types::message::{Message, Propose};
use quorate_types::{Batch, Bundle, Header, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes forged requests among genuine ones.
#[derive(Debug, Default)]
pub struct ForgeRequests {
    disguise: Disguise,
}

/// Changes a command, or the signature of a bundle, in each of its batches.
#[must_use]
pub fn forge_requests() -> ForgeRequests {
    ForgeRequests::default()
}

fn forged(cx: &mut Cx<'_>, propose: &Propose) -> Option<(Header, Bytes)> {
    let mut bundles: Vec<Bundle> = Batch::parse(propose.batch.clone()).ok()?.bundles().to_vec();
    let place = cx.draw(bundles.len() as u64) as usize;
    let bundle = bundles.get_mut(place)?;
    let mut raw = bundle.raw().to_vec();
    let last_of_command = raw.len().checked_sub(65)?;
    let forged = if cx.chance(50) { last_of_command } else { raw.len() - 1 };
    raw[forged] ^= 1;
    *bundle = Bundle::parse(raw.into()).ok()?;
    let batch = Batch::new(bundles);
    let header = Header { batch: batch.digest(), ..propose.header.header };
    Some((header, batch.raw().clone()))
}

impl Adversary for ForgeRequests {
    fn name(&self) -> &'static str {
        "forge_requests"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, forged);
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
