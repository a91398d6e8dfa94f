//! What does the second chain of an equivocating primary look like? For each block of the first
//! chain the twin that the deceived replicas see.

use bytes::Bytes;
use quorate_types::certificate::SignedHeader;
use quorate_types::message::Propose;
use quorate_types::{Batch, Digest, Header, Time};
use std::collections::VecDeque;

use crate::adversary::Cx;
use crate::forge;

/// Most twins that are kept; the oldest are forgotten first.
const TWINS_MAX: usize = 256;

/// A block of the second chain.
#[derive(Debug)]
pub(crate) struct Twin {
    /// The block of the first chain in whose place it stands.
    pub(crate) first: Digest,
    pub(crate) digest: Digest,
    pub(crate) header: SignedHeader,
    pub(crate) batch: Bytes,
}

/// The second chains of the traitor's views.
#[derive(Debug, Default)]
pub(crate) struct Fork {
    twins: VecDeque<Twin>,
}

impl Fork {
    /// The twin of a block of the first chain.
    pub(crate) fn twin_of(&self, first: &Digest) -> Option<&Twin> {
        self.twins.iter().rev().find(|twin| twin.first == *first)
    }
    /// The block of the second chain with this digest.
    pub(crate) fn twin(&self, digest: &Digest) -> Option<&Twin> {
        self.twins.iter().rev().find(|twin| twin.digest == *digest)
    }

    /// Makes the twin of a proposed block: above the twin of its parent with the same batch, or
    /// beside it with another content.
    pub(crate) fn add(&mut self, cx: &mut Cx<'_>, propose: &Propose) {
        let first = propose.header.header;
        let (parent, batch, digest, time) = match self.twin_of(&first.parent) {
            Some(parent) => {
                let time = first.time.max(parent.header.header.time);
                (parent.digest, propose.batch.clone(), first.batch, time)
            }
            None => {
                let (batch, digest, time) = other_content(cx, propose);
                (first.parent, batch, digest, time)
            }
        };
        let header = forge::signed_header(cx, Header { parent, batch: digest, time, ..first });
        if self.twins.len() == TWINS_MAX {
            self.twins.pop_front();
        }
        let digest = header.header.digest();
        self.twins.push_back(Twin { first: first.digest(), digest, header, batch });
    }
}

/// Another valid content: no requests, the same in another order, or another time.
fn other_content(cx: &mut Cx<'_>, propose: &Propose) -> (Bytes, Digest, Time) {
    let Header { batch: digest, time, .. } = propose.header.header;
    // An honest machine's batches can be read; if not, the time still tells two blocks apart.
    let bundles = Batch::parse(propose.batch.clone()).map_or(Vec::new(), |batch| batch.bundles().to_vec());
    match cx.draw(3) {
        0 if !bundles.is_empty() => {
            let batch = Batch::default();
            (batch.raw().clone(), batch.digest(), time)
        }
        1 if bundles.len() > 1 => {
            let batch = Batch::new(bundles.into_iter().rev().collect());
            (batch.raw().clone(), batch.digest(), time)
        }
        _ => (propose.batch.clone(), digest, Time(time.0.saturating_add(1))),
    }
}
