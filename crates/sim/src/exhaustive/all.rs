//! How is everything explored? One scope after the other, on all cores; what is done is kept.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::scope::Scope;
use super::search::{Part, explore};
use crate::twins::run_parts;

/// The explorations that are done, by their names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Explorations(pub BTreeMap<String, Part>);

impl Explorations {
    /// Explores every scope whose name contains this text and that is not done, on all cores. `saved` gets all that is done
    /// after each. Stops soon after a property broke.
    pub fn run(&mut self, filter: &str, mut saved: impl FnMut(&Self)) {
        let mut scopes = Scope::all();
        scopes.retain(|(name, _)| name.contains(filter) && !self.0.contains_key(name));
        let numbers: Vec<u64> = (0..scopes.len() as u64).collect();
        let work = |number: u64| explore(&scopes[number as usize].1);
        run_parts(&numbers, work, |number, part| {
            let is_sound = part.violation.is_none();
            self.0.insert(scopes[number as usize].0.clone(), part);
            saved(self);
            is_sound
        });
    }

    /// The first exploration that broke a property, and how.
    #[must_use]
    pub fn failure(&self) -> Option<(&str, &[String])> {
        self.0.iter().find_map(|(name, part)| Some((name.as_str(), part.violation.as_deref()?)))
    }
}
