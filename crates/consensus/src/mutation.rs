//! Seeded bugs: each removes one guard, so that the simulator can show that it would notice.
//!
//! Without the feature `mutations` none is ever on: `is` is constantly false and costs nothing.

macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A guard that can be removed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutation { $($(#[$doc])* $name),+ }

        impl Mutation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

mutations! {
    /// `select` accepts a certificate signed by the primary that equivocated.
    PrimaryKeptOnFork,
    /// The first block of a view commits by votes alone (C1).
    FirstBlockFast,
    /// A replica votes above the first block of a view without its certificate (V3).
    VoteWithoutCertificate,
    /// `select` demands one claim too many of a forked block.
    SupportPlusOne,
    /// A vote leaves after a view change was made (V6).
    VoteAfterViewChange,
    /// A vote in a later view forgets the claim of the earlier one (D1).
    ClaimLostByLaterVote,
    /// A claim leaves out the headers next to its certificate (V3).
    ClaimWithGap,
    /// A block's uncommitted ancestors are not checked (V5).
    AncestorsUnchecked,
    /// A replica without its disk votes at once (D3).
    RecoveringVotes,
    /// The limits of P1 and V1 hold for the first block of a view too.
    LimitsOnFirstBlock,
    /// Only the latest view change is sent again, and the timer runs without a quorum (X2).
    OnlyLatestViewChange,
    /// A fast quorum is one vote smaller (C1).
    FastQuorumMinusOne,
    /// A slow commit needs one commit vote less (C3).
    SlowQuorumMinusOne,
    /// Votes leave before they are durable (D1).
    VoteNotPersisted,
    /// A restarted replica forgets its last vote (D2).
    LastVoteForgotten,
    /// The first block of a view may extend any block (V3).
    BaseUnchecked,
    /// A replica votes for a second block of one height (V2).
    SecondVote,
    /// W checkpoint votes make a checkpoint stable (K1).
    CheckpointOnWeakQuorum,
    /// Votes of earlier views count in the present one.
    StaleVotesCounted,
    /// The session table lets repeats run again (R1).
    RepeatsExecute,
    /// A client believes the first reply (R3).
    ClientBelievesOne,
    /// One peer's word proves a commit (C5).
    ProofByOne,
    /// View changes are sent once only (X2).
    ViewChangeSentOnce,
    /// Backups do not forward requests (R2).
    RequestsNotForwarded,
    /// A replica does not look at what its peers saw of it (D3).
    RollbackUnnoticed,
    /// The front of the log is dropped before the summary of it is durable (K1).
    CutBeforeSummary,
    /// The head of a state is not compared with the certificate (K3).
    StateUnchecked,
    /// A chunk counts for what was asked for, whatever its digest (K3).
    ChunkUnchecked,
    /// A state is installed below the executed height (K3).
    InstalledBelow,
    /// The second of two contradicting votes is dropped without a word (V7).
    EvidenceOverlooked,
    /// The second header of one height is dropped without a word (V7).
    SecondHeaderOverlooked,
    /// Of two contradicting statements in verification at a time only the first counts (V7).
    SecondInVerificationForgotten,
    /// Evidence of views that are over piles up.
    EvidenceUnbounded,
    /// All votes of one peer are kept.
    VotesUnbounded,
    /// All view changes of one peer are kept.
    ViewChangesUnbounded,
    /// One peer may have any number of messages in verification.
    VerificationsUnbounded,
    /// Any number of answers waits for the disk.
    WaitingUnbounded,
    /// Nothing is above the window (P1, V1).
    WindowUnchecked,
    /// A state comes without the outcomes of executed requests (R1, K3).
    OutcomesForgotten,
    /// A repeat gets the outcome of the session's latest request (R1).
    RepeatGetsLatest,
}

#[cfg(feature = "mutations")]
mod selected {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static SELECTED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Selects the bug for the machines that run on this thread.
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
