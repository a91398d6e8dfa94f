//! `misplace_first_block`: a new primary that drops what its predecessors may have committed.
//!
//! The first block of its view stands below the block that its certificate selects: the last claimed one is left out.
//!
//! Must hold: nobody votes for it, as every replica computes itself what the certificate selects.

use quorate_types::message::{Justify, Message, Propose};
use quorate_types::{Header, ReplicaId, View};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Puts the first block of its views on the wrong base.
#[derive(Debug, Default)]
pub struct MisplaceFirstBlock {
    /// The last view that it opened so.
    misplaced: Option<View>,
}

/// Puts the first block of its views one block too low.
#[must_use]
pub fn misplace_first_block() -> MisplaceFirstBlock {
    MisplaceFirstBlock::default()
}

impl Adversary for MisplaceFirstBlock {
    fn name(&self) -> &'static str {
        "misplace_first_block"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Message::Propose(propose) = &message else { return cx.send(to, message) };
        let Justify::ViewChange(certificate) = &propose.justify else { return cx.send(to, message) };
        let parent = propose.header.header.parent;
        let mut claimed = certificate.view_changes.iter().flat_map(|change| change.claim.iter());
        let Some(last) = claimed.find(|signed| signed.header.digest() == parent).map(|signed| signed.header)
        else {
            return cx.send(to, message);
        };
        let header = Header { height: last.height, parent: last.parent, ..propose.header.header };
        if self.misplaced.replace(header.view) != Some(header.view) {
            cx.fired();
        }
        let header = forge::signed_header(cx, header);
        cx.send(to, Message::Propose(Propose { header, ..propose.clone() }));
    }
}
