//! What a replica must remember to be safe: its last vote, its highest certificate and the claim
//! above it (rules V3, D1, X2). The same code runs live and when the log is read again.

use quorate_types::certificate::{CLAIM_MAX, QuorumCertificate, SignedHeader};
use quorate_types::limited::Limited;
use quorate_types::{Digest, Height, Verified, View};
use std::sync::Arc;

use crate::mutation::{self, Mutation};

/// The last vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastVote {
    pub(crate) view: View,
    pub(crate) height: Height,
    pub(crate) digest: Digest,
}

/// Certificate, claim and last vote.
#[derive(Clone, Debug)]
pub(crate) struct Safety {
    high_qc: Verified<Arc<QuorumCertificate>>,
    /// Every header from above `high_qc` to the last vote in its view. It is kept while votes of
    /// later views are cast, until a certificate of a later view comes.
    claim: Vec<(Digest, SignedHeader)>,
    last_vote: Option<LastVote>,
    /// Whether the last vote is known to be for a committed block, held or not.
    is_vote_settled: bool,
}

impl Safety {
    pub(crate) const fn new(genesis: Verified<Arc<QuorumCertificate>>) -> Self {
        Self { high_qc: genesis, claim: Vec::new(), last_vote: None, is_vote_settled: false }
    }
    pub(crate) const fn high_qc(&self) -> &Verified<Arc<QuorumCertificate>> {
        &self.high_qc
    }
    pub(crate) const fn last_vote(&self) -> Option<LastVote> {
        self.last_vote
    }
    pub(crate) const fn is_vote_settled(&self) -> bool {
        self.is_vote_settled
    }
    pub(crate) const fn settle_vote(&mut self) {
        self.is_vote_settled = true;
    }

    /// What a summary of the log says.
    pub(crate) fn restore(
        &mut self,
        high_qc: Verified<Arc<QuorumCertificate>>,
        claim: &[SignedHeader],
        last_vote: Option<(LastVote, bool)>,
    ) {
        self.high_qc = high_qc;
        self.claim = claim.iter().map(|signed| (signed.header.digest(), *signed)).collect();
        self.last_vote = last_vote.map(|(vote, _)| vote);
        self.is_vote_settled = last_vote.is_some_and(|(_, is_settled)| is_settled);
    }

    pub(crate) fn forget_last_vote(&mut self) {
        self.last_vote = None;
    }
    /// The last block of the claim, or the certified one.
    pub(crate) fn claim_tip(&self) -> (Height, Digest) {
        let certified = (self.high_qc.vote.height, self.high_qc.vote.digest);
        self.claim.last().map_or(certified, |(digest, signed)| (signed.header.height, *digest))
    }
    /// The claim as it goes into a view change.
    pub(crate) fn claim(&self) -> Limited<SignedHeader, CLAIM_MAX> {
        let skipped = usize::from(mutation::is(Mutation::ClaimWithGap) && self.claim.len() > 1);
        Limited::take(self.claim.iter().skip(skipped).map(|(_, signed)| *signed))
    }

    /// Notes a vote. `path` holds the headers from above the claim's tip to the block; it matters
    /// only in the certificate's view.
    pub(crate) fn on_vote(&mut self, vote: LastVote, path: Vec<(Digest, SignedHeader)>) {
        if vote.view == self.high_qc.vote.view {
            self.claim.extend(path);
        } else if mutation::is(Mutation::ClaimLostByLaterVote) {
            self.claim.clear();
        }
        self.last_vote = Some(vote);
        self.is_vote_settled = false;
    }

    /// Takes a certificate if it is higher; says whether it is.
    pub(crate) fn on_certificate(&mut self, qc: &Verified<Arc<QuorumCertificate>>) -> bool {
        if qc.rank() <= self.high_qc.rank() {
            return false;
        }
        let certified = self.claim.iter().position(|(digest, _)| *digest == qc.vote.digest);
        match certified {
            // The claim goes on above the certified block.
            Some(place) if qc.vote.view == self.high_qc.vote.view => drop(self.claim.drain(..=place)),
            // In a later view the replica voted at most for the first block, which the
            // certificate covers; in the same view its vote does not extend the certificate.
            _ => self.claim.clear(),
        }
        self.high_qc = qc.clone();
        true
    }
}
