//! From which block does a new view go on? One pure function of a view-change certificate.

use quorate_types::certificate::ViewChange;
use quorate_types::{Digest, Height, Quorums, ReplicaId};

use crate::mutation::{self, Mutation};

/// The primary of the certificate's view signed two chains and is among the certificate's
/// signers: the certificate is not valid, another signer must take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrimaryEquivocated(pub ReplicaId);

/// A block by height and digest.
pub type BlockId = (Height, Digest);

/// Selects the block that the first block of the new view extends. `primary_of` gives the primary
/// of the view of the highest certificate.
///
/// # Errors
/// [`PrimaryEquivocated`] if the claims fork and the primary that forked them is a signer.
pub fn select(
    view_changes: &[&ViewChange],
    quorums: Quorums,
    primary_of: impl Fn(quorate_types::View) -> ReplicaId,
) -> Result<BlockId, PrimaryEquivocated> {
    let Some(highest) = view_changes.iter().map(|vc| &vc.high_qc).max_by_key(|qc| qc.rank()) else {
        return Ok((Height(0), Digest::default()));
    };
    let certified = (highest.vote.height, highest.vote.digest);
    let view = highest.vote.view;
    let claims: Vec<Vec<BlockId>> = view_changes
        .iter()
        .filter(|vc| vc.high_qc.vote.view == view)
        .filter_map(|vc| above(vc, certified))
        .collect();
    let longest = claims.iter().max_by_key(|claim| claim.len()).cloned().unwrap_or_default();
    if claims.iter().all(|claim| longest.starts_with(claim)) {
        return Ok(longest.last().copied().unwrap_or(certified));
    }
    let primary = primary_of(view);
    let is_signer = view_changes.iter().any(|vc| vc.replica == primary);
    if is_signer && !mutation::is(Mutation::PrimaryKeptOnFork) {
        return Err(PrimaryEquivocated(primary));
    }
    let support = quorums.support() + usize::from(mutation::is(Mutation::SupportPlusOne));
    Ok(longest_supported(&claims, support).unwrap_or(certified))
}

/// What a claim holds above the certified block; nothing if it does not contain that block.
fn above(view_change: &ViewChange, certified: BlockId) -> Option<Vec<BlockId>> {
    let start = (view_change.high_qc.vote.height, view_change.high_qc.vote.digest);
    let claim = view_change.claim.iter().map(|signed| (signed.header.height, signed.header.digest()));
    let mut chain = std::iter::once(start).chain(claim);
    chain.find(|block| *block == certified)?;
    Some(chain.collect())
}

/// The last block of the longest prefix that at least `support` claims share. A block's digest
/// fixes its ancestors, so claims that agree at one place agree below it.
fn longest_supported(claims: &[Vec<BlockId>], support: usize) -> Option<BlockId> {
    let length = claims.iter().map(Vec::len).max()?;
    (0..length).rev().find_map(|place| {
        let at_place = || claims.iter().filter_map(|claim| claim.get(place)).copied();
        at_place().filter(|block| at_place().filter(|other| other == block).count() >= support).min()
    })
}
