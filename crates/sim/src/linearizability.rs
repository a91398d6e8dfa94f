//! Is a history of clients linearizable? Judged from outside, by what clients asked and heard and when, so that it serves
//! real clusters, whose logs no test sees.
//!
//! The search is that of Wing and Gong with Lowe's memory of what was tried. A service whose keys are independent is
//! linearizable if each key is, and histories of one key are short, so a history is split by [`Model::key`] first.
//!
//! In simulations the committed log itself is the witness, which costs no search: see the invariant of that name.

use std::collections::{BTreeMap, BTreeSet};

/// What a service does to one key, one operation after the other.
pub trait Model {
    /// What is asked.
    type Input;
    /// What is answered.
    type Output;
    /// Names the part of the state that an operation touches; it touches no other.
    type Key: Ord;
    /// That part. The default is how every history begins.
    type State: Clone + Ord + Default;

    /// The key that an operation touches.
    fn key(&self, input: &Self::Input) -> Self::Key;

    /// Whether the service may answer like this in this state; if so, the state after it. `None` as output stands for
    /// an answer that nobody heard: any will do.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;
}

/// One operation of a client. Times are of one clock for all clients, of any unit.
#[derive(Clone, Debug)]
pub struct Operation<I, O> {
    /// What was asked.
    pub input: I,
    /// When: before anything was sent.
    pub invoked: u64,
    /// What was answered, and when that was heard. `None` if nobody knows what became of it: it may have had its effect
    /// at any time after it was invoked, or none.
    pub returned: Option<(O, u64)>,
}

/// No order of the operations explains what clients saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLinearizable {
    /// The position in the history of an operation that fits nowhere after those that do.
    pub operation: usize,
    /// How many operations on its key could be put in an order.
    pub explained: usize,
    /// How many there are.
    pub of: usize,
}

impl std::fmt::Display for NotLinearizable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { operation, explained, of } = self;
        write!(
            f,
            "operation {operation} of the history cannot have happened: of the {of} on its key only {explained} fit together"
        )
    }
}

impl std::error::Error for NotLinearizable {}

/// Whether some order of the operations gives every answer that clients heard, and puts what returned before what was
/// invoked later.
///
/// # Errors
/// There is none, for one of the keys.
pub fn check<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Result<(), NotLinearizable> {
    let mut keys: BTreeMap<M::Key, Vec<usize>> = BTreeMap::new();
    for (position, operation) in history.iter().enumerate() {
        keys.entry(model.key(&operation.input)).or_default().push(position);
    }
    for mut positions in keys.into_values() {
        positions.sort_by_key(|position| history[*position].invoked);
        let operations: Vec<_> = positions.iter().map(|position| &history[*position]).collect();
        Search { model, operations }.run().map_err(|(stuck, explained)| NotLinearizable {
            operation: positions[stuck],
            explained,
            of: positions.len(),
        })?;
    }
    Ok(())
}

/// The search for an order of the operations on one key.
struct Search<'a, M: Model> {
    model: &'a M,
    /// In the order of their invocations.
    operations: Vec<&'a Operation<M::Input, M::Output>>,
}

/// Which operations were put in order: all up to a position, and some above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Done {
    below: usize,
    above: BTreeSet<usize>,
}

impl Done {
    fn contains(&self, position: usize) -> bool {
        position < self.below || self.above.contains(&position)
    }

    fn with(&self, position: usize) -> Self {
        let mut done = self.clone();
        done.above.insert(position);
        while done.above.remove(&done.below) {
            done.below += 1;
        }
        done
    }

    fn count(&self) -> usize {
        self.below + self.above.len()
    }
}

impl<M: Model> Search<'_, M> {
    /// # Errors
    /// An operation that fits nowhere, and how many fit together.
    fn run(&self) -> Result<(), (usize, usize)> {
        let first = (Done::default(), M::State::default());
        let mut furthest = Done::default();
        let mut tried = BTreeSet::from([first.clone()]);
        let mut open = vec![first];
        while let Some((done, state)) = open.pop() {
            let next = self.next(&done);
            if !next.iter().any(|position| self.operations[*position].returned.is_some()) {
                return Ok(());
            }
            // What was invoked first is tried first.
            for position in next.into_iter().rev() {
                let Operation { input, returned, .. } = self.operations[position];
                let output = returned.as_ref().map(|(output, _)| output);
                let Some(state) = self.model.step(&state, input, output) else { continue };
                let step = (done.with(position), state);
                if tried.insert(step.clone()) {
                    open.push(step);
                }
            }
            if done.count() > furthest.count() {
                furthest = done;
            }
        }
        let stuck = self.next(&furthest).into_iter().find(|next| self.operations[*next].returned.is_some());
        Err((stuck.unwrap_or_default(), furthest.count()))
    }

    /// What may come next: what no operation that is left returned before.
    fn next(&self, done: &Done) -> Vec<usize> {
        let mut next = Vec::new();
        let mut returned_min = u64::MAX;
        for position in (done.below..self.operations.len()).filter(|position| !done.contains(*position)) {
            let operation = self.operations[position];
            if operation.invoked > returned_min {
                break;
            }
            let returned = operation.returned.as_ref().map_or(u64::MAX, |(_, returned)| *returned);
            returned_min = returned_min.min(returned);
            next.push(position);
        }
        next
    }
}

#[cfg(test)]
mod tests;
