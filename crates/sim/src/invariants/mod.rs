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
mod evidence_is_complete;
mod evidence_is_fair;
mod executes_once;
mod first_block_is_certified;
mod honest_primary_stays;
mod linearizable;
mod memory_is_bounded;
mod promises_survive;
mod requests_complete;
mod selection;
mod selection_extends_commits;
mod sent_is_durable;
mod states_are_held;
mod votes_extend_commits;
mod votes_form_a_chain;
mod votes_stay_in_window;

use quorate_machine::ApplicationFactory;
use quorate_types::ReplicaId;
use std::sync::Arc;

use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};
use crate::setup::Setup;

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

/// Which properties count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Judged {
    /// All.
    #[default]
    All,
    /// The one of this name: where more replicas lie than a cluster survives, others are broken before it.
    Only(&'static str),
    /// None, for what comes after a violation that was expected.
    Nothing,
}

impl Judged {
    fn counts(self, violation: &Violation) -> bool {
        match self {
            Self::All => true,
            Self::Only(property) => violation.property == property,
            Self::Nothing => false,
        }
    }
}

macro_rules! invariants {
    ($($field:ident: $kind:ty),+ $(,)?) => {
        /// All invariants with the history that they judge by.
        #[derive(Debug)]
        pub struct Invariants {
            history: History,
            pub(crate) judged: Judged,
            $($field: $kind),+
        }

        impl Invariants {
            /// Nothing was seen yet of a cluster of this setup that replicates such an application.
            #[must_use]
            pub fn new(setup: Arc<Setup>, application: ApplicationFactory, seed: u64) -> Self {
                let history = History::new(setup, application);
                $(let $field = <$kind>::new(&history, seed);)+
                Self { history, judged: Judged::default(), $($field),+ }
            }

            /// Takes in one observation.
            ///
            /// # Errors
            /// The first property that it breaks, among those that count.
            pub fn observe(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
                let proven = self.history.take(observation);
                let mut result = Ok(());
                $(
                    if let Err(violation) = self.$field.observe(&self.history, observation, proven)
                        && result.is_ok()
                        && self.judged.counts(&violation)
                    {
                        result = Err(violation);
                    }
                )+
                result
            }
        }
    };
}

invariants! {
    votes_form_a_chain: votes_form_a_chain::VotesFormAChain,
    votes_extend_commits: votes_extend_commits::VotesExtendCommits,
    votes_stay_in_window: votes_stay_in_window::VotesStayInWindow,
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
    linearizable: linearizable::Linearizable,
    evidence_is_fair: evidence_is_fair::EvidenceIsFair,
    evidence_is_complete: evidence_is_complete::EvidenceIsComplete,
    memory_is_bounded: memory_is_bounded::MemoryIsBounded,
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
