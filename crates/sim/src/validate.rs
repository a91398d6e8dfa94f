//! Can a plan run, and is it fair? Refuses replicas that do not exist, numbers that are absurd, and more liars than a cluster
//! survives, so that whatever a run finds afterwards is the protocol's fault.

use quorate_attack::Attack;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use crate::clients::Workload;
use crate::costs::{Costs, Span};
use crate::episodes::victims;
use crate::faults::{Fault, Operation};
use crate::network::NetworkParameters;
use crate::plan::{Plan, liars_max};
use crate::setup::{Bounds, CLIENTS_MAX};

/// The sizes of clusters that plans may have.
pub const REPLICAS: RangeInclusive<u16> = 4..=31;
/// Most requests of all clients together: a run has to end.
const REQUESTS_MAX: u64 = 400;
/// Most faults of one plan.
const FAULTS_MAX: usize = 400;
/// Until when a plan must have healed, in microseconds.
const HEAL_MAX_US: u64 = 2_000_000;
/// Slower networks do not keep up with the timing of planned runs.
const LATENCY_MAX_US: u64 = 5_000;
const STRAGGLER_MAX_US: u64 = 100_000;
const THINK_MAX_US: u64 = 100_000;
const SKEW_MAX_US: u64 = 100_000;
const SYNC_MAX_US: u64 = 5_000;
const VERIFY_MAX_US: u64 = 500;
const EXECUTE_MAX_US: u64 = 3_000;
const SLOWNESS_MAX: u64 = 100;
/// Most operations or bytes that a fault of a disk waits for.
const OPERATIONS_MAX: u64 = 1_000_000;

/// Why a plan is refused, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(pub(crate) String);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// Whether the plan can run.
    ///
    /// # Errors
    /// The first rule that it breaks: what is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), PlanError> {
        within("the number of replicas", u64::from(self.replicas), widen(REPLICAS))?;
        self.validate_bounds(&self.bounds)?;
        self.validate_workload(&self.workload)?;
        validate_network(&self.network)?;
        validate_costs(&self.costs)?;
        refuse(self.skews_us.len() > usize::from(self.replicas), || {
            format!("there are {} skews for {} replicas", self.skews_us.len(), self.replicas)
        })?;
        for skew in &self.skews_us {
            within("a clock's skew", *skew, 0..=SKEW_MAX_US)?;
        }
        self.validate_faults()?;
        self.validate_liars()
    }

    fn validate_bounds(&self, bounds: &Bounds) -> Result<(), PlanError> {
        within("checkpoint_interval", bounds.checkpoint_interval, 1..=64)?;
        within("window", bounds.window, 2 * bounds.checkpoint_interval..=1024)?;
        within("blocks_in_flight_max", bounds.blocks_in_flight_max, 1..=32)
    }

    fn validate_workload(&self, workload: &Workload) -> Result<(), PlanError> {
        let clients = workload.clients as u64;
        within("the number of clients", clients, 1..=CLIENTS_MAX as u64)?;
        within("the number of requests of one client", u64::from(workload.requests), 1..=REQUESTS_MAX)?;
        within(
            "the number of requests of all clients",
            u64::from(workload.requests) * clients,
            1..=REQUESTS_MAX,
        )?;
        within("burst", u64::from(workload.burst), 1..=64)?;
        ascending("the time between requests", workload.think_min_us, workload.think_max_us, THINK_MAX_US)?;
        for (client, replica) in &workload.unreachable {
            refuse(*client >= workload.clients, || {
                format!(
                    "client {client} is unreachable, but there are only {} clients, from 0",
                    workload.clients
                )
            })?;
            self.validate_replica(*replica)?;
        }
        Ok(())
    }

    fn validate_faults(&self) -> Result<(), PlanError> {
        within("the number of faults", self.faults.len() as u64, 1..=FAULTS_MAX as u64)?;
        let (last, others) =
            self.faults.split_last().ok_or_else(|| PlanError("a plan must end with `heal`".into()))?;
        refuse(last.fault != Fault::Heal, || "the last fault of a plan must be `heal`".to_owned())?;
        within("the time of `heal`", last.at_us, 0..=HEAL_MAX_US)?;
        for timed in others {
            refuse(timed.fault == Fault::Heal, || {
                "`heal` stands once in a plan, as its last fault".to_owned()
            })?;
            refuse(timed.at_us > last.at_us, || {
                format!(
                    "`{}` at {} us comes after `heal` at {} us",
                    timed.fault.kind(),
                    timed.at_us,
                    last.at_us
                )
            })?;
            self.validate_fault(&timed.fault)?;
        }
        Ok(())
    }

    fn validate_fault(&self, fault: &Fault) -> Result<(), PlanError> {
        let mut named = Vec::new();
        fault.for_each_replica(&mut |replica| named.push(replica));
        for replica in named {
            self.validate_replica(replica)?;
        }
        match *fault {
            Fault::Disk { after, operation, .. } => {
                within("the number of operations before a disk's fault", after, 0..=OPERATIONS_MAX)?;
                let place = if let Operation::Misdirected { place } = operation { place } else { 0 };
                within("the place of a misdirected write", place, 0..=u64::MAX >> 1)
            }
            Fault::FillDisk { room, .. } => within("the room on a disk", room, 0..=OPERATIONS_MAX),
            Fault::SlowDisk { slowness, .. } => within("the slowness of a disk", slowness, 1..=SLOWNESS_MAX),
            _ => Ok(()),
        }
    }

    fn validate_liars(&self) -> Result<(), PlanError> {
        let mut liars = BTreeSet::new();
        for traitor in &self.byzantine {
            self.validate_replica(traitor.replica)?;
            traitor.attack.parse::<Attack>().map_err(|error| PlanError(error.to_string()))?;
            refuse(!liars.insert(traitor.replica), || {
                format!("replica {} is a traitor twice", traitor.replica)
            })?;
        }
        liars.extend(victims(&self.faults));
        let max = liars_max(self.replicas);
        refuse(liars.len() > max, || {
            format!(
                "{} replicas lie or lose their memory, but {} replicas survive only {max}",
                liars.len(),
                self.replicas
            )
        })?;
        for client in 0..self.workload.clients {
            let walls = self.workload.unreachable.iter().filter(|(walled, _)| *walled == client);
            let missing: BTreeSet<u16> = liars.iter().copied().chain(walls.map(|(_, wall)| *wall)).collect();
            refuse(missing.len() > max, || {
                format!(
                    "client {client} reaches too few replicas: {} lie, forget or are walled off, and {max} may",
                    missing.len()
                )
            })?;
        }
        Ok(())
    }

    fn validate_replica(&self, replica: u16) -> Result<(), PlanError> {
        refuse(replica >= self.replicas, || {
            format!("replica {replica} does not exist: there are {}, numbered from 0", self.replicas)
        })
    }
}

fn validate_network(network: &NetworkParameters) -> Result<(), PlanError> {
    ascending("the latency", network.latency_min_us, network.latency_max_us, LATENCY_MAX_US)?;
    within("the lateness of stragglers", network.straggler_us, 0..=STRAGGLER_MAX_US)?;
    let shares =
        [("stragglers", network.straggler), ("loss", network.loss), ("duplication", network.duplication)];
    for (name, share) in shares {
        refuse(share > 1000, || format!("{name} is {share} in a thousand"))?;
    }
    Ok(())
}

fn validate_costs(costs: &Costs) -> Result<(), PlanError> {
    let spans = [
        ("the time of a sync", costs.sync_us, SYNC_MAX_US),
        ("the time of a check of signatures", costs.verify_us, VERIFY_MAX_US),
        ("the time of an execution", costs.execute_us, EXECUTE_MAX_US),
    ];
    for (name, Span(low, high), max) in spans {
        ascending(name, low, high, max)?;
    }
    Ok(())
}

fn within(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), PlanError> {
    refuse(!range.contains(&value), || {
        format!("{name} is {value}, but must be from {} to {}", range.start(), range.end())
    })
}

fn ascending(name: &str, low: u64, high: u64, max: u64) -> Result<(), PlanError> {
    refuse(low > high || high > max, || {
        format!("{name} runs from {low} to {high} us, but must ascend and end at {max} us at most")
    })
}

fn refuse(is_wrong: bool, why: impl FnOnce() -> String) -> Result<(), PlanError> {
    if is_wrong { Err(PlanError(why())) } else { Ok(()) }
}

fn widen(range: RangeInclusive<u16>) -> RangeInclusive<u64> {
    u64::from(*range.start())..=u64::from(*range.end())
}
