//! Seeded bugs: each removes one guard, so that the simulator can show that it would notice.
//!
//! Without the feature `mutations` none is ever on: `is` is constantly false and costs nothing.

/// A guard that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// A record's checksum is not looked at (D4).
    RecordUnchecked,
    /// A record counts wherever it stands (D4).
    PositionUnchecked,
    /// What follows the last intact record stays in the file.
    TailKept,
    /// What follows the last intact record is cut, whatever later records prove (D4).
    DamageCut,
    /// The log's new front is not synced before segments are removed.
    FrontNotSynced,
    /// A new segment is not synced before records go there.
    SegmentNotSynced,
}

impl Mutation {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::RecordUnchecked,
        Self::PositionUnchecked,
        Self::TailKept,
        Self::DamageCut,
        Self::FrontNotSynced,
        Self::SegmentNotSynced,
    ];
}

#[cfg(feature = "mutations")]
mod selected {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static SELECTED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Selects the bug for the logs that are used on this thread.
    pub fn select(mutation: Option<Mutation>) {
        SELECTED.set(mutation);
    }

    pub(crate) fn is(mutation: Mutation) -> bool {
        SELECTED.get() == Some(mutation)
    }
}

#[cfg(feature = "mutations")]
pub(crate) use selected::is;
#[cfg(feature = "mutations")]
pub use selected::select;

/// Whether this bug is switched on.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is(_: Mutation) -> bool {
    false
}
