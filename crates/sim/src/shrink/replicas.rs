//! What is a plan with fewer replicas, or with the same ones under other names?

use crate::faults::{Fault, TimedFault};
use crate::plan::Plan;

/// The sizes that a cluster may shrink to.
const SIZES: [u16; 3] = [4, 7, 10];

/// The plan in smaller clusters: what the replicas did that are gone is done by nobody, or by one that is left.
pub(super) fn fewer(plan: &Plan) -> Vec<Plan> {
    let sizes = SIZES.iter().copied().filter(|size| *size < plan.replicas);
    sizes.flat_map(|size| [keep(plan, size), fold(plan, size)]).collect()
}

/// The plan with the names of two replicas exchanged, wherever that lets low numbers come first: traitors, then whoever faults
/// name, in the order of their time.
pub(super) fn renamed(plan: &Plan) -> Vec<Plan> {
    let mut pairs = (0..plan.replicas).flat_map(|low| (low + 1..plan.replicas).map(move |high| (low, high)));
    let mut renamed = vec![rename(plan, &|replica| replica)];
    renamed.extend(pairs.by_ref().map(|(low, high)| {
        rename(plan, &|replica| match replica {
            _ if replica == low => high,
            _ if replica == high => low,
            other => other,
        })
    }));
    let names = named(plan);
    renamed.retain(|other| named(other) < names);
    renamed
}

/// Whom a plan names, in order.
fn named(plan: &Plan) -> Vec<u16> {
    let mut names: Vec<u16> = plan.byzantine.iter().map(|traitor| traitor.replica).collect();
    for timed in &plan.faults {
        timed.fault.for_each_replica(&mut |replica| names.push(replica));
    }
    names.extend(plan.workload.unreachable.iter().map(|(_, replica)| *replica));
    names
}

fn keep(plan: &Plan, size: u16) -> Plan {
    let mut plan = resized(plan, size);
    plan.byzantine.retain(|traitor| traitor.replica < size);
    plan.workload.unreachable.retain(|(_, replica)| *replica < size);
    plan.faults.retain_mut(|timed| {
        timed.fault.retain_members(&|replica| replica < size);
        let mut is_left = true;
        timed.fault.for_each_replica(&mut |replica| is_left &= replica < size);
        is_left
    });
    plan
}

fn fold(plan: &Plan, size: u16) -> Plan {
    let mut plan = rename(&resized(plan, size), &|replica| replica % size);
    let mut seen = std::collections::BTreeSet::new();
    plan.byzantine.retain(|traitor| seen.insert(traitor.replica));
    plan.workload.unreachable.sort_unstable();
    plan.workload.unreachable.dedup();
    plan.faults.dedup();
    plan
}

fn resized(plan: &Plan, size: u16) -> Plan {
    let mut plan = plan.clone();
    plan.replicas = size;
    plan.skews_us.truncate(usize::from(size));
    plan
}

/// Groups are sorted, as their order means nothing.
fn rename(plan: &Plan, name: &dyn Fn(u16) -> u16) -> Plan {
    let mut plan = plan.clone();
    for traitor in &mut plan.byzantine {
        traitor.replica = name(traitor.replica);
    }
    for (_, replica) in &mut plan.workload.unreachable {
        *replica = name(*replica);
    }
    for TimedFault { fault, .. } in &mut plan.faults {
        fault.rename(name);
    }
    let mut skews = plan.skews_us.clone();
    for (replica, skew) in (0..).zip(&plan.skews_us) {
        if let Some(renamed) = skews.get_mut(usize::from(name(replica))) {
            *renamed = *skew;
        }
    }
    plan.skews_us = skews;
    plan
}

impl Fault {
    /// Calls for every replica that the fault names.
    pub(crate) fn for_each_replica(&self, call: &mut dyn FnMut(u16)) {
        self.clone().for_each_name(&mut |name| call(*name));
    }

    fn rename(&mut self, rename: &dyn Fn(u16) -> u16) {
        self.for_each_name(&mut |name| *name = rename(*name));
        match self {
            Self::Partition { groups } => {
                for group in groups.iter_mut() {
                    sort(group);
                }
                groups.sort();
            }
            Self::Bridge { left, right, .. } => {
                sort(left);
                sort(right);
                if left > right {
                    std::mem::swap(left, right);
                }
            }
            _ => {}
        }
    }

    fn retain_members(&mut self, keep: &dyn Fn(u16) -> bool) {
        match self {
            Self::Partition { groups } => {
                for group in groups.iter_mut() {
                    group.retain(|member| keep(*member));
                }
                groups.retain(|group| !group.is_empty());
            }
            Self::Bridge { left, right, .. } => {
                left.retain(|member| keep(*member));
                right.retain(|member| keep(*member));
            }
            _ => {}
        }
    }

    fn for_each_name(&mut self, call: &mut dyn FnMut(&mut u16)) {
        match self {
            Self::Cut { from, to } => {
                call(from);
                call(to);
            }
            Self::Partition { groups } => groups.iter_mut().flatten().for_each(call),
            Self::Bridge { bridge, left, right } => {
                call(bridge);
                left.iter_mut().chain(right).for_each(call);
            }
            Self::Crash(replica)
            | Self::Kill(replica)
            | Self::Restart(replica)
            | Self::Wipe { replica, .. }
            | Self::Disk { replica, .. }
            | Self::Flip { replica, .. }
            | Self::FillDisk { replica, .. }
            | Self::FreeDisk(replica)
            | Self::SlowDisk { replica, .. }
            | Self::TakeImage(replica)
            | Self::RollBack(replica) => call(replica),
            Self::Restore | Self::Heal => {}
        }
    }
}

fn sort(group: &mut Vec<u16>) {
    group.sort_unstable();
    group.dedup();
}
