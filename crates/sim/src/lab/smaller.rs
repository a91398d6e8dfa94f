//! What is simpler than a plan by one step? Fewer traitors, requests and faults, a quieter environment, traitors that lie
//! in fewer views, faults that come earlier.

use crate::costs::{Costs, Span};
use crate::lab::{Environment, TestPlan, TraitorPart};
use crate::network::NetworkParameters;
use crate::shrink::{Shrink, lower, without};

impl Shrink for TestPlan {
    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Smaller { plan: self, candidates: Vec::new() };
        smaller.traitors();
        smaller.requests();
        smaller.faults();
        smaller.surroundings();
        smaller.windows();
        smaller.times();
        let Smaller { mut candidates, .. } = smaller;
        candidates.retain(|candidate| candidate != self);
        candidates
    }
}

struct Smaller<'a> {
    plan: &'a TestPlan,
    candidates: Vec<TestPlan>,
}

impl Smaller<'_> {
    fn add(&mut self, change: impl FnOnce(&mut TestPlan)) {
        let mut candidate = self.plan.clone();
        change(&mut candidate);
        self.candidates.push(candidate);
    }

    /// A traitor that the plan leaves out stays in the list, as the body names it.
    fn traitors(&mut self) {
        self.each_traitor(|smaller, index, part| {
            if part.takes_part() {
                smaller.window(index, (0, 0));
            }
        });
    }

    fn windows(&mut self) {
        self.each_traitor(|smaller, index, part| {
            let (begin, end) = part.views.unwrap_or((0, VIEWS_MAX + 1));
            for earlier in lower(end, begin + 1) {
                smaller.window(index, (begin, earlier));
            }
            for later in lower(end - begin, 1) {
                smaller.window(index, (end - later, end));
            }
        });
    }

    fn each_traitor(&mut self, mut add: impl FnMut(&mut Self, usize, &TraitorPart)) {
        for (index, part) in self.plan.traitors.iter().flatten().enumerate() {
            if part.takes_part() {
                add(self, index, part);
            }
        }
    }

    fn window(&mut self, index: usize, views: (u64, u64)) {
        self.add(|plan| {
            if let Some(part) = plan.traitors.iter_mut().flatten().nth(index) {
                part.views = Some(views);
            }
        });
    }

    fn requests(&mut self) {
        for fewer in without(self.plan.requests.as_deref().unwrap_or_default()) {
            self.add(|plan| plan.requests = Some(fewer));
        }
    }

    fn faults(&mut self) {
        for fewer in without(&self.plan.environment.faults) {
            self.add(|plan| plan.environment.faults = fewer);
        }
    }

    /// Everything at once first, as most failures do not need any of it.
    fn surroundings(&mut self) {
        let quiet = Environment::quiet();
        self.add(|plan| {
            let faults = std::mem::take(&mut plan.environment.faults);
            plan.environment = Environment { faults, ..Environment::quiet() };
        });
        self.add(|plan| plan.environment.network = quiet.network);
        self.add(|plan| plan.environment.costs = Costs::default());
        self.add(|plan| plan.environment.skews_us.clear());
        self.network(|network| network.loss = 0);
        self.network(|network| network.duplication = 0);
        self.network(|network| (network.straggler, network.straggler_us) = (0, 0));
        self.network(|network| network.latency_max_us = network.latency_min_us);
        self.network(|network| network.is_ordered = true);
        self.add(|plan| plan.environment.costs.sync_us = Span::default());
        self.add(|plan| plan.environment.costs.verify_us = Span::default());
        self.add(|plan| plan.environment.costs.execute_us = Span::default());
    }

    fn network(&mut self, change: impl FnOnce(&mut NetworkParameters)) {
        self.add(|plan| change(&mut plan.environment.network));
    }

    /// Each fault earlier, with everything behind it.
    fn times(&mut self) {
        let mut before = 0;
        for (index, timed) in self.plan.environment.faults.iter().enumerate() {
            let gap = timed.at_us.saturating_sub(before);
            for less in lower(gap / STEP_US, 0) {
                self.add(|plan| {
                    for timed in &mut plan.environment.faults[index..] {
                        timed.at_us -= gap - less * STEP_US;
                    }
                });
            }
            before = timed.at_us;
        }
    }
}

/// Nobody needs a traitor that still lies after so many views.
const VIEWS_MAX: u64 = 63;
/// Times are shortened to whole milliseconds.
const STEP_US: u64 = 1000;
