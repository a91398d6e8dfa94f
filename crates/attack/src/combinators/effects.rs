//! What did an attack want to do? A combinator lets the attack inside act on a context of its own
//! and looks at the outcome before it counts.

use quorate_consensus::{Action, Input, Recipients};
use quorate_types::{ReplicaId, Time};
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx, Delayed, Fired};

/// What one call of an adversary led to. Without [`Cx::apply`] it did not happen.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) out: VecDeque<Action>,
    pub(crate) delayed: Delayed,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) fired: Fired,
}

impl Effects {
    pub(crate) fn fired(&self) -> u64 {
        self.fired.values().sum()
    }

    /// Holds everything back that is sent until this time, and that long what is held back anyway.
    pub(crate) fn held_until(mut self, due: Time, now: Time) -> Self {
        let mut held = Delayed::new(usize::MAX);
        self.out.retain(|action| match action {
            Action::Send(Recipients::One(to), message) => {
                held.push(due, *to, message.clone());
                false
            }
            _ => true,
        });
        for (later, to, message) in self.delayed.into_all() {
            held.push(due.after(later.since(now)), to, message);
        }
        self.delayed = held;
        self
    }

    /// Leaves out what is not sent to one of these, and deviations that were nothing else.
    pub(crate) fn retain_sent_to(&mut self, is_target: impl Fn(ReplicaId) -> bool) {
        let before = self.out.len() + self.delayed.len();
        self.out.retain(|action| !matches!(action, Action::Send(Recipients::One(to), _) if !is_target(*to)));
        self.delayed.retain(&is_target);
        let left = self.out.len() + self.delayed.len();
        if left == before {
            return;
        }
        // It is not known which message each deviation was; there are no more than messages left.
        let mut most = left as u64;
        for count in self.fired.values_mut() {
            *count = (*count).min(most);
            most -= *count;
        }
        self.fired.retain(|_, count| *count > 0);
    }
}

impl Cx<'_> {
    /// Lets an attack act and gives what it wants to be done. Nothing of it is done yet.
    pub(crate) fn inside<R>(
        &mut self,
        adversary: &mut dyn Adversary,
        act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R,
    ) -> (R, Effects) {
        let mut effects = Effects {
            out: VecDeque::new(),
            delayed: Delayed::new(self.delayed.room()),
            inputs: VecDeque::new(),
            fired: Fired::new(),
        };
        let mut cx = Cx {
            now: self.now,
            status: self.status,
            config: self.config,
            colluders: self.colluders,
            random: &mut *self.random,
            out: &mut effects.out,
            delayed: &mut effects.delayed,
            inputs: &mut effects.inputs,
            fired: &mut effects.fired,
            name: adversary.name(),
        };
        let result = act(adversary, &mut cx);
        (result, effects)
    }

    /// Does what an attack wanted.
    pub(crate) fn apply(&mut self, effects: Effects) {
        self.out.extend(effects.out);
        for (due, to, message) in effects.delayed.into_all() {
            self.send_at(due, to, message);
        }
        self.inputs.extend(effects.inputs);
        self.count(effects.fired);
    }

    /// Counts an attack's deviations as they stand.
    pub(crate) fn count(&mut self, fired: Fired) {
        for (name, count) in fired {
            *self.fired.entry(name).or_default() += count;
        }
    }

    /// Lets an attack act, and what it wants is done.
    pub(crate) fn pass_to<R>(
        &mut self,
        adversary: &mut dyn Adversary,
        act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R,
    ) -> R {
        let (result, effects) = self.inside(adversary, act);
        self.apply(effects);
        result
    }
}
