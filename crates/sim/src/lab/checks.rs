//! What is judged at the end of a test, besides the invariants that are judged all the time?

use quorate_machine::{StateMachine, decode};
use quorate_types::ReplicaId;
use std::time::Duration;

use crate::lab::{Goal, SimResult};
use crate::observe::Violation;
use crate::setup::nanos;
use crate::sim::{AsReplica, Sim};

/// Something that a run must show: see [`Sim::check`].
pub trait Check<S: StateMachine> {
    /// Judges the run so far. May let time pass.
    ///
    /// # Errors
    /// The property that was broken.
    fn check(self, sim: &mut Sim<S>) -> SimResult;
}

/// No invariant was broken so far, and every honest replica's state is the one that the committed commands lead to.
///
/// The invariants are judged at every event, and a run ends at the first that breaks: agreement, exactly-once execution,
/// every executed command issued by its client, everything durable before it is promised, equal state roots, replies that
/// a state machine of the oracle's own gives too, no evidence against honest replicas, and the rest of those in
/// [`crate::invariants`].
#[must_use]
pub const fn safety() -> Safety {
    Safety(())
}

/// See [`safety`].
#[derive(Clone, Copy, Debug)]
pub struct Safety(());

impl<S: StateMachine> Check<S> for Safety {
    fn check(self, sim: &mut Sim<S>) -> SimResult {
        sim.verdict()?;
        sim.world.judge_states();
        sim.verdict()
    }
}

/// So many requests: `10.requests()`.
#[derive(Clone, Copy, Debug)]
pub struct Requests(u32);

/// Lets one write `10.requests()`.
pub trait RequestsExt {
    /// So many requests.
    fn requests(self) -> Requests;
}

impl RequestsExt for u32 {
    fn requests(self) -> Requests {
        Requests(self)
    }
}

/// From now on so many more requests end, and every request that the test has submitted: [`Live::within`] says by when.
/// For after [`Sim::heal`], as nothing can be promised in a network that is cut or loses everything.
///
/// The further requests are commands that the state machine does not understand, from a client of their own. They are
/// ordered, committed, executed as nothing and answered like any other, and change no state.
pub const fn live(requests: Requests) -> Live {
    Live(requests.0)
}

/// See [`live`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Live(u32);

impl Live {
    /// By when, counted from the check: [`crate::lab::seconds`], [`crate::lab::views`], or whichever comes first.
    pub const fn within(self, limit: Goal) -> LiveWithin {
        LiveWithin { requests: self.0, limit }
    }
}

/// See [`live`].
#[derive(Clone, Debug)]
#[must_use]
pub struct LiveWithin {
    requests: u32,
    limit: Goal,
}

/// The client of [`live`]. A test may call none of its own so, as nobody can type it by accident.
const PROBE: &str = "requests of live()";

impl<S: StateMachine> Check<S> for LiveWithin {
    fn check(self, sim: &mut Sim<S>) -> SimResult {
        sim.verdict()?;
        let command = nonsense::<S>();
        sim.probe(PROBE, &command, self.requests);
        let (words, mut limit, mut is_over) = (self.limit.to_string(), self.limit, false);
        sim.run_until(|sim: &Sim<S>| {
            is_over = crate::lab::Until::is_reached(&mut limit, sim);
            is_over || sim.is_idle()
        })?;
        if sim.is_idle() {
            return Ok(());
        }
        let open = sim.world.clients.iter().map(|client| client.outstanding.len());
        let what = format!(
            "after {words}, requests are still open, by client in the order of their making: {:?}; {}",
            open.collect::<Vec<_>>(),
            sim.describe()
        );
        Err(Violation::of("requests end in time", what))
    }
}

/// Bytes that are no command of this state machine.
fn nonsense<S: StateMachine>() -> Vec<u8> {
    let candidates = (1..=64).map(|length| vec![0xff; length]);
    let mut nonsense = candidates.filter(|bytes| decode::<S::Command>(bytes).is_err());
    nonsense.next().expect("no state machine takes whatever bytes it gets for a command")
}

/// Proof of misbehaviour, such as two signed statements that contradict each other.
#[must_use]
pub const fn evidence() -> Evidence {
    Evidence(())
}

/// See [`evidence`]. It demands something once it is told what.
#[derive(Clone, Copy, Debug)]
pub struct Evidence(());

impl Evidence {
    /// Some honest replica holds a proof against this one. Waits for it for up to 10 simulated seconds.
    pub fn against(self, replica: impl AsReplica) -> EvidenceCheck {
        EvidenceCheck::default().against(replica)
    }
    /// Nobody holds a proof against an honest replica.
    pub fn none_against_honest(self) -> EvidenceCheck {
        EvidenceCheck::default().none_against_honest()
    }
}

/// See [`evidence`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EvidenceCheck {
    against: Vec<ReplicaId>,
    none_against_honest: bool,
}

impl EvidenceCheck {
    /// Some honest replica holds a proof against this one. Waits for it for up to 10 simulated seconds.
    pub fn against(mut self, replica: impl AsReplica) -> Self {
        self.against.push(replica.id());
        self
    }
    /// Nobody holds a proof against an honest replica.
    pub const fn none_against_honest(mut self) -> Self {
        self.none_against_honest = true;
        self
    }
}

/// What fails where an attack did nothing.
pub(crate) const HAPPENS: &str = "an attack happens";
/// How long a check waits for a proof.
const PROOF_WAIT: Duration = Duration::from_secs(10);

impl<S: StateMachine> Check<S> for EvidenceCheck {
    fn check(self, sim: &mut Sim<S>) -> SimResult {
        sim.verdict()?;
        let limit = sim.world.now + nanos(PROOF_WAIT);
        for replica in self.against {
            let is_proven = |sim: &Sim<S>| sim.evidence().iter().any(|evidence| evidence.replica == replica);
            if !sim.run_to(is_proven, limit) {
                sim.verdict()?;
                if sim.fired(replica) == 0 {
                    let what = format!(
                        "replica {replica} never deviated from the protocol: nothing is to be proven"
                    );
                    return Err(Violation::of(HAPPENS, what));
                }
                let what = format!("no honest replica holds a proof against replica {replica}");
                return Err(Violation::of("misbehaviour is proven", what));
            }
        }
        let wrong = sim.evidence().iter().find(|evidence| sim.history().is_trusted(evidence.replica));
        match wrong.filter(|_| self.none_against_honest) {
            Some(evidence) => {
                Err(Violation::of("no evidence convicts an honest replica", evidence.to_string()))
            }
            None => Ok(()),
        }
    }
}

/// An attack with this name, `equivocate_proposals` for instance, really deviated from the protocol in this run. Without
/// this check, an attack may do nothing in some runs, but not in all of them: see [`crate::lab::AttackTest`].
#[must_use]
pub fn fired(attack: &str) -> Fired {
    Fired(attack.to_owned())
}

/// See [`fired`].
#[derive(Clone, Debug)]
pub struct Fired(String);

impl<S: StateMachine> Check<S> for Fired {
    fn check(self, sim: &mut Sim<S>) -> SimResult {
        sim.verdict()?;
        if sim.world.hosts.iter().any(|host| host.fired_of(&self.0) > 0) {
            return Ok(());
        }
        let turned = sim.overlay.turned();
        let mut names: Vec<&str> = turned.iter().map(|traitor| traitor.name).collect();
        names.dedup();
        let what = format!(
            "`{}` never deviated from the protocol; the test's attacks: {}",
            self.0,
            names.join(", ")
        );
        Err(Violation::of(HAPPENS, what))
    }
}
