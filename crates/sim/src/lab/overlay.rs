//! Which parts of a test's body take part in a run? The body is code, so a plan can only leave out what it does.

use quorate_attack::Adversary;
use std::collections::BTreeSet;

use crate::lab::plan::{TestPlan, TraitorPart};
use crate::sim::SimTraitor;

/// What a plan leaves of a body, and what the body did so far.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    traitors: Option<Vec<TraitorPart>>,
    requests: Option<BTreeSet<u32>>,
    turned: Vec<SimTraitor>,
    submitted: u32,
    taken: u32,
}

impl Overlay {
    pub(crate) fn new(plan: &TestPlan) -> Self {
        let requests = plan.requests.as_ref().map(|requests| requests.iter().copied().collect());
        Self { traitors: plan.traitors.clone(), requests, ..Self::default() }
    }

    /// The body turns a replica. Gives what is left of its adversary, if anything.
    pub(crate) fn turn(
        &mut self,
        traitor: SimTraitor,
        adversary: Box<dyn Adversary>,
    ) -> Option<Box<dyn Adversary>> {
        let part = self.traitors.as_ref().and_then(|parts| parts.get(self.turned.len()));
        self.turned.push(traitor);
        match part {
            Some(part) => part.limit(adversary),
            None => Some(adversary),
        }
    }

    /// Whether the body's next request takes part.
    pub(crate) fn takes_part(&mut self) -> bool {
        let number = self.submitted;
        self.submitted += 1;
        let takes_part = self.requests.as_ref().is_none_or(|requests| requests.contains(&number));
        self.taken += u32::from(takes_part);
        takes_part
    }

    /// The replicas that the body turned, in order.
    pub(crate) fn turned(&self) -> &[SimTraitor] {
        &self.turned
    }

    /// How many requests of the body took part.
    pub(crate) const fn taken(&self) -> u32 {
        self.taken
    }

    /// How many requests the body made.
    pub(crate) const fn submitted(&self) -> u32 {
        self.submitted
    }
}
