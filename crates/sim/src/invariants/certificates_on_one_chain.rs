//! Invariant 3: the quorum certificates of a view lie on one chain, and each has a quorum behind it.

use quorate_consensus::Event;
use quorate_types::View;
use std::collections::BTreeMap;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "the quorum certificates of a view lie on one chain";

/// The highest certified block of each view; lower ones are its ancestors.
#[derive(Debug)]
pub(crate) struct CertificatesOnOneChain(BTreeMap<View, BlockRef>);

impl CertificatesOnOneChain {
    pub(crate) const fn new(_history: &History, _seed: u64) -> Self {
        Self(BTreeMap::new())
    }
}

impl Invariant for CertificatesOnOneChain {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        let Observation::Event(replica, Event::Certified { view, height, digest }) = observation else {
            return Ok(());
        };
        let chain = &history.chain;
        let block =
            chain.find(digest).filter(|block| chain[*block].view == *view && chain[*block].height == *height);
        let Some(block) = block else {
            let what = format!(
                "replica {replica} has a certificate of view {view}, height {height} for an unknown block"
            );
            return Err(Violation::of(PROPERTY, what));
        };
        if !history.could_be_certified(block) {
            let voters = chain[block].votes & history.trusted;
            let what = format!(
                "the certificate of view {view}, height {height} has honest votes of {voters:#b} only"
            );
            return Err(Violation::of(PROPERTY, what));
        }
        let highest = self.0.entry(*view).or_insert(block);
        if !chain.is_one_chain(*highest, block) {
            let what = format!(
                "view {view} has certificates on two chains, at heights {} and {height}",
                chain[*highest].height
            );
            return Err(Violation::of(PROPERTY, what));
        }
        if chain[*highest].height < *height {
            *highest = block;
        }
        Ok(())
    }
}
