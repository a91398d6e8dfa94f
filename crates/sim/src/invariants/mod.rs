//! What must hold whatever happens? One theorem per file, named after it and numbered as in
//! PROTOCOL.md, each with its own code and checked at every observation.

pub mod thresholds;

mod acknowledged_is_kept;
mod agreement;
mod certificates_on_one_chain;
mod client_issued_it;
mod commits_are_proven;
mod disk_is_bounded;
mod equal_roots;
mod evidence_is_fair;
mod executes_once;
mod first_block_is_certified;
mod honest_primary_stays;
mod promises_survive;
mod replies_are_true;
mod requests_complete;
mod selection;
mod selection_extends_commits;
mod sent_is_durable;
mod states_are_held;
mod votes_extend_commits;
mod votes_form_a_chain;

use quorate_types::{Digest, ReplicaId};

use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

/// A property that every run must have.
pub trait Invariant {
    /// Takes in one observation. `history` has it already; `proven` is the highest block that it
    /// newly proves committed.
    ///
    /// # Errors
    /// The observation breaks the property.
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        proven: Option<BlockRef>,
    ) -> Result<(), Violation>;
}

macro_rules! invariants {
    ($($field:ident: $kind:ty),+ $(,)?) => {
        /// All invariants with the history that they judge by.
        #[derive(Debug)]
        pub struct Invariants {
            history: History,
            $($field: $kind),+
        }

        impl Invariants {
            /// Nothing was seen yet.
            #[must_use]
            pub fn new(replicas: usize, genesis_block: Digest, seed: u64) -> Self {
                let history = History::new(replicas, genesis_block);
                $(let $field = <$kind>::new(&history, seed);)+
                Self { history, $($field),+ }
            }

            /// Takes in one observation.
            ///
            /// # Errors
            /// The first property that it breaks.
            pub fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
                let proven = self.history.take(observation);
                $(self.$field.observe(&self.history, observation, proven)?;)+
                Ok(())
            }
        }
    };
}

invariants! {
    votes_form_a_chain: votes_form_a_chain::VotesFormAChain,
    votes_extend_commits: votes_extend_commits::VotesExtendCommits,
    sent_is_durable: sent_is_durable::SentIsDurable,
    promises_survive: promises_survive::PromisesSurvive,
    states_are_held: states_are_held::StatesAreHeld,
    disk_is_bounded: disk_is_bounded::DiskIsBounded,
    first_block_is_certified: first_block_is_certified::FirstBlockIsCertified,
    certificates_on_one_chain: certificates_on_one_chain::CertificatesOnOneChain,
    selection_extends_commits: selection_extends_commits::SelectionExtendsCommits,
    agreement: agreement::Agreement,
    commits_are_proven: commits_are_proven::CommitsAreProven,
    equal_roots: equal_roots::EqualRoots,
    executes_once: executes_once::ExecutesOnce,
    client_issued_it: client_issued_it::ClientIssuedIt,
    replies_are_true: replies_are_true::RepliesAreTrue,
    evidence_is_fair: evidence_is_fair::EvidenceIsFair,
    honest_primary_stays: honest_primary_stays::HonestPrimaryStays,
    requests_complete: requests_complete::RequestsComplete,
    acknowledged_is_kept: acknowledged_is_kept::AcknowledgedIsKept,
}

impl Invariants {
    /// Others than v mod n lead the first views.
    pub(crate) fn set_first_primaries(&mut self, primaries: &[ReplicaId]) {
        primaries.clone_into(&mut self.history.first_primaries);
    }

    /// The facts that follow from what was seen.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }
}
