//! `name_foreign_signers`: certificates signed by replicas that the cluster does not have.
//!
//! Must hold: a signer's number is looked up before it is used, whatever the number is, and only members of the epoch
//! count towards a quorum.

use quorate_types::ReplicaId;
use quorate_types::message::Message;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Makes certificates with signers from nowhere.
#[derive(Debug)]
pub struct NameForeignSigners(());

/// Fills a quorum up with the numbers after the last member's, or with the greatest ones there are.
#[must_use]
pub const fn name_foreign_signers() -> NameForeignSigners {
    NameForeignSigners(())
}

impl Adversary for NameForeignSigners {
    fn name(&self) -> &'static str {
        "name_foreign_signers"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        forge::send_with_certificate(cx, to, message, |cx, view, height| {
            let quorum = cx.quorums().quorum();
            let mut signers = cx.traitors();
            let missing = u16::try_from(quorum.saturating_sub(signers.len())).unwrap_or(0);
            let members = u16::try_from(cx.quorums().n()).unwrap_or(u16::MAX);
            let first = if height.0 % 2 == 0 { members } else { u16::MAX - missing };
            signers.extend((first..first + missing).map(ReplicaId));
            Some(forge::certificate(cx, forge::invented_vote(cx, view, height), &signers))
        });
    }
}
