//! `restart_chain`: a new primary that builds its first block on the genesis block, below everything that is certified.
//!
//! Must hold: nobody votes for it, as every replica computes itself what the certificate of the view selects; nothing that was
//! executed is executed again.

use quorate_types::message::{Justify, Message};
use quorate_types::{Header, Height, ReplicaId};

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Opens its views on the genesis block.
#[derive(Debug, Default)]
pub struct RestartChain {
    disguise: Disguise,
}

/// Starts from nothing in every view that it opens.
#[must_use]
pub fn restart_chain() -> RestartChain {
    RestartChain::default()
}

impl Adversary for RestartChain {
    fn name(&self) -> &'static str {
        "restart_chain"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, |cx, propose| {
            let header = propose.header.header;
            let parent = cx.membership().genesis_block();
            let is_first = matches!(propose.justify, Justify::ViewChange(_)) && header.parent != parent;
            let restarted = Header { height: Height(1), parent, ..header };
            is_first.then(|| (restarted, propose.batch.clone()))
        });
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
