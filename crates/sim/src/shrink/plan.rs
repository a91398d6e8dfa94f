//! What is smaller than a plan? Fewer replicas, clients and requests, fewer faults and traitors, a network, costs and clocks
//! that are simpler, less time, and lower numbers.

use super::replicas::{fewer, renamed};
use super::{Budget, Shrink, Shrunk, lower, shrink, without};
use crate::costs::{Costs, Span};
use crate::faults::{Fault, TimedFault};
use crate::network::NetworkParameters;
use crate::plan::Plan;
use crate::run::run;
use crate::setup::{Bounds, Crypto};

/// The latency of a network that is as simple as can be, in microseconds.
const LATENCY_US: u64 = 1000;
/// Times are shortened in steps of this many microseconds.
const STEP_US: u64 = 1000;
/// The attack that no attack is simpler than.
const SILENT: &str = "silent";

/// Makes a plan that breaks a property smaller, for as long as that same property breaks first.
#[must_use]
pub fn shrink_plan(plan: Plan, property: &str, budget: Budget) -> Shrunk<Plan> {
    shrink(plan, budget, |candidate| {
        run(candidate).violation.is_some_and(|(violation, _)| violation.property == property)
    })
}

impl Plan {
    /// How much goes wrong in it: faults but for the healing, traitors, and clients beyond one.
    #[must_use]
    pub fn faults_counted(&self) -> usize {
        let faults = self.faults.iter().filter(|timed| timed.fault != Fault::Heal);
        faults.count() + self.byzantine.len() + self.workload.clients.saturating_sub(1)
    }
}

impl Shrink for Plan {
    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Smaller { plan: self, candidates: fewer(self) };
        smaller.clients();
        smaller.faults();
        smaller.traitors();
        smaller.surroundings();
        smaller.times();
        smaller.numbers();
        let Smaller { mut candidates, .. } = smaller;
        candidates.extend(renamed(self));
        candidates.retain(|candidate| candidate != self && candidate.validate().is_ok());
        candidates
    }
}

struct Smaller<'a> {
    plan: &'a Plan,
    candidates: Vec<Plan>,
}

impl Smaller<'_> {
    fn add(&mut self, change: impl FnOnce(&mut Plan)) {
        let mut candidate = self.plan.clone();
        change(&mut candidate);
        self.candidates.push(candidate);
    }

    fn clients(&mut self) {
        let workload = &self.plan.workload;
        for clients in lower(workload.clients as u64, 1) {
            let clients = usize::try_from(clients).unwrap_or(1);
            self.add(|plan| {
                plan.workload.clients = clients;
                plan.workload.unreachable.retain(|(client, _)| *client < clients);
            });
        }
        for unreachable in without(&workload.unreachable) {
            self.add(|plan| plan.workload.unreachable = unreachable);
        }
        for requests in lower(u64::from(workload.requests), 1) {
            self.add(|plan| plan.workload.requests = u32::try_from(requests).unwrap_or(1));
        }
    }

    fn faults(&mut self) {
        let (heal, others) = self.plan.faults.split_at(self.plan.faults.len().saturating_sub(1));
        let (others, heal) = (heal, others);
        for mut faults in without(others) {
            faults.extend_from_slice(heal);
            self.add(|plan| plan.faults = faults);
        }
    }

    fn traitors(&mut self) {
        for byzantine in without(&self.plan.byzantine) {
            self.add(|plan| plan.byzantine = byzantine);
        }
        for index in 0..self.plan.byzantine.len() {
            self.add(|plan| SILENT.clone_into(&mut plan.byzantine[index].attack));
        }
    }

    /// Everything at once first, as most failures do not need any of it.
    fn surroundings(&mut self) {
        let calm = |plan: &mut Plan| {
            plan.network = NetworkParameters::quiet(LATENCY_US);
            plan.costs = Costs::default();
            plan.skews_us.clear();
        };
        self.add(|plan| {
            calm(plan);
            (plan.crypto, plan.bounds) = (Crypto::Fast, Bounds::default());
        });
        self.add(calm);
        self.add(|plan| plan.crypto = Crypto::Fast);
        self.add(|plan| plan.skews_us.clear());
        self.network();
        self.add(|plan| plan.costs = Costs::default());
        self.add(|plan| plan.costs.sync_us = Span::default());
        self.add(|plan| plan.costs.verify_us = Span::default());
        self.add(|plan| plan.costs.execute_us = Span::default());
        self.add(|plan| plan.bounds = Bounds::default());
        self.add(|plan| plan.bounds.window = Bounds::default().window);
        self.add(|plan| plan.bounds.blocks_in_flight_max = Bounds::default().blocks_in_flight_max);
    }

    fn network(&mut self) {
        self.add(|plan| plan.network = NetworkParameters::quiet(LATENCY_US));
        self.add(|plan| plan.network.loss = 0);
        self.add(|plan| plan.network.duplication = 0);
        self.add(|plan| (plan.network.straggler, plan.network.straggler_us) = (0, 0));
        self.add(|plan| {
            (plan.network.latency_min_us, plan.network.latency_max_us) = (LATENCY_US, LATENCY_US);
        });
        self.add(|plan| plan.network.latency_max_us = plan.network.latency_min_us);
        self.add(|plan| plan.network.is_ordered = true);
    }

    /// What comes after a gap comes earlier, with everything behind it.
    fn times(&mut self) {
        let mut before = 0;
        for (index, TimedFault { at_us, .. }) in self.plan.faults.iter().enumerate() {
            let gap = at_us.saturating_sub(before);
            for steps in lower(gap.div_ceil(STEP_US), 0) {
                let earlier = gap.saturating_sub(steps * STEP_US);
                self.add(|plan| {
                    for timed in &mut plan.faults[index..] {
                        timed.at_us = timed.at_us.saturating_sub(earlier);
                    }
                });
            }
            before = *at_us;
        }
    }

    fn numbers(&mut self) {
        let workload = &self.plan.workload;
        self.add(|plan| (plan.workload.think_min_us, plan.workload.think_max_us) = (0, 0));
        for burst in lower(u64::from(workload.burst), 1) {
            self.add(|plan| plan.workload.burst = u32::try_from(burst).unwrap_or(1));
        }
        for (index, timed) in self.plan.faults.iter().enumerate() {
            let (value, floor) = match &timed.fault {
                Fault::Disk { after, .. } => (*after, 0),
                Fault::FillDisk { room, .. } => (*room, 0),
                Fault::SlowDisk { slowness, .. } => (*slowness, 1),
                _ => continue,
            };
            for less in lower(value, floor) {
                self.add(|plan| match &mut plan.faults[index].fault {
                    Fault::Disk { after: value, .. }
                    | Fault::FillDisk { room: value, .. }
                    | Fault::SlowDisk { slowness: value, .. } => *value = less,
                    _ => {}
                });
            }
        }
    }
}
