//! How does a run end? Once all has healed, everything that was asked for must come to its end, all honest replicas must
//! meet, and no honest primary may be deposed any more.

use quorate_types::ReplicaId;

use crate::observe::Observation;
use crate::run::{STATUSES_TO_SETTLE, liveness_bound};
use crate::setup::nanos;
use crate::world::World;

impl World {
    /// Ends a run that has healed just now. Clients have made at most so many requests each.
    pub(crate) fn close(&mut self, requests: u32) {
        let healed = self.now;
        let liars = self.invariants.history().thresholds.f;
        let timing = self.setup.timing.clone();
        let bound = |requests| nanos(liveness_bound(&timing, liars, requests));
        self.complete(healed + bound(requests));
        // Who is behind asks around by status; who asked for a view alone is heard when there is work.
        self.settle();
        self.demand_one(bound(1));
        self.settle();
        self.observe(Observation::Settled);
        self.demand_one(bound(1));
        self.converge(self.now + bound(0));
        self.judge_states();
    }

    /// Lets every client make one more request.
    fn demand_one(&mut self, bound: u64) {
        self.demand(1);
        self.complete(self.now + bound);
    }

    /// Runs until all clients have what they asked for.
    fn complete(&mut self, deadline: u64) {
        while !self.clients.iter().all(|client| client.is_done()) {
            if !self.step(deadline) {
                return self.overdue(|world| {
                    let open = world.clients.iter().map(|client| client.outstanding.len());
                    format!("requests that are still open, by client: {:?}", open.collect::<Vec<_>>())
                });
            }
        }
    }

    /// Runs until nothing is open between honest replicas. One that asked for a view alone may wait for
    /// ever, as long as the others go on without it, so this ends after a while.
    fn settle(&mut self) {
        let timing = &self.setup.timing;
        let end = self.now + nanos(timing.view_timeout_max + timing.status_interval * STATUSES_TO_SETTLE);
        while !self.is_calm() && self.step(end) {}
    }

    fn is_calm(&self) -> bool {
        let mut stands = self.honest().map(|replica| {
            let status = self.hosts[replica.index()].status();
            (status.view, status.asked, status.committed)
        });
        stands.next().is_none_or(|first| first.0 == first.1 && stands.all(|other| other == first))
    }

    /// Runs until all honest replicas are at the same height.
    fn converge(&mut self, deadline: u64) {
        while !self.is_converged() {
            if !self.step(deadline) {
                return self.overdue(|world| {
                    let heights = world.honest().map(|replica| {
                        let status = world.hosts[replica.index()].status();
                        (replica.0, status.executed.0, status.view.0, status.is_recovering)
                    });
                    format!(
                        "honest replicas that differ (replica, executed, view, recovering): {:?}",
                        heights.collect::<Vec<_>>()
                    )
                });
            }
        }
    }

    fn is_converged(&self) -> bool {
        let mut reached = self.honest().map(|replica| {
            let status = self.hosts[replica.index()].status();
            (status.executed, status.is_recovering)
        });
        let Some(first) = reached.next() else { return true };
        let highest = self.honest().map(|replica| self.hosts[replica.index()].status().committed).max();
        Some(first.0) == highest && !first.1 && reached.all(|other| other == first)
    }

    fn overdue(&mut self, what: impl FnOnce(&Self) -> String) {
        let what = what(self);
        self.observe(Observation::Overdue(&what));
    }

    /// The replicas that are honest.
    pub(crate) fn honest(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.invariants.history().honest()
    }
}
