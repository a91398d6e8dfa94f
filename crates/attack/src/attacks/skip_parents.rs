//! `skip_parents`: a primary that extends the grandparent: each second block leaves the one before it out.
//!
//! Must hold: a block whose height does not follow from its parent gets no vote, and what is certified is never left out of
//! the chain.

use quorate_types::message::Message;
use quorate_types::{Digest, Header, ReplicaId};

use crate::forge;

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Extends the wrong ancestors.
#[derive(Debug, Default)]
pub struct SkipParents {
    disguise: Disguise,
    /// The parent of the last block.
    grandparent: Option<Digest>,
}

/// Names its grandparent, or a parent that does not exist, in half of its blocks.
#[must_use]
pub fn skip_parents() -> SkipParents {
    SkipParents::default()
}

impl Adversary for SkipParents {
    fn name(&self) -> &'static str {
        "skip_parents"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let grandparent = &mut self.grandparent;
        self.disguise.send(cx, to, message, |cx, propose| {
            let header = propose.header.header;
            let skipped = grandparent.replace(header.parent).filter(|skipped| *skipped != header.parent)?;
            let parent = if cx.chance(50) { skipped } else { forge::other_digest(skipped) };
            cx.chance(50).then(|| (Header { parent, ..header }, propose.batch.clone()))
        });
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
