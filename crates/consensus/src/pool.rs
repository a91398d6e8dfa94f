//! Requests that are known and not yet executed (rules P3, R2, X1).

use quorate_types::{Bundle, Digest, PublicKey, Rejection, Time, Verified};
use std::collections::BTreeMap;

use crate::config::Limits;

/// A bundle that waits.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) bundle: Verified<Bundle>,
    pub(crate) arrived: Time,
    /// Since when the primary could have proposed it and proposed something else.
    pub(crate) passed_over: Option<Time>,
    order: u64,
    is_included: bool,
}

/// All bundles that wait, in the order of their arrival.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    entries: BTreeMap<Digest, Entry>,
    arrivals: BTreeMap<u64, Digest>,
    /// Those that no block of the present view contains.
    waiting: BTreeMap<u64, Digest>,
    waiting_bytes: usize,
    bytes: usize,
    client_bytes: BTreeMap<PublicKey, usize>,
    next_order: u64,
    limits: Limits,
}

impl Pool {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            entries: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            bytes: 0,
            client_bytes: BTreeMap::new(),
            next_order: 0,
            limits,
        }
    }

    /// Bytes of all bundles, and most bytes of one client's.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.bytes, self.client_bytes.values().copied().max().unwrap_or(0))
    }

    pub(crate) fn contains(&self, id: &Digest) -> bool {
        self.entries.contains_key(id)
    }

    pub(crate) fn insert(&mut self, now: Time, bundle: Verified<Bundle>) -> Result<(), Rejection> {
        let (id, size, client) = (bundle.id(), bundle.batch_bytes(), bundle.session().client);
        if self.contains(&id) {
            return Ok(());
        }
        let of_client = self.client_bytes.get(&client).copied().unwrap_or(0);
        if self.bytes + size > self.limits.pool_bytes_max
            || of_client + size > self.limits.pool_client_bytes_max
        {
            return Err(Rejection::Overloaded);
        }
        let order = self.next_order;
        self.next_order += 1;
        self.bytes += size;
        self.waiting_bytes += size;
        *self.client_bytes.entry(client).or_default() += size;
        self.arrivals.insert(order, id);
        self.waiting.insert(order, id);
        let entry = Entry { bundle, arrived: now, passed_over: None, order, is_included: false };
        self.entries.insert(id, entry);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: &Digest) {
        let Some(entry) = self.entries.remove(id) else { return };
        let size = entry.bundle.batch_bytes();
        self.bytes -= size;
        self.arrivals.remove(&entry.order);
        if self.waiting.remove(&entry.order).is_some() {
            self.waiting_bytes -= size;
        }
        let client = entry.bundle.session().client;
        if let Some(of_client) = self.client_bytes.get_mut(&client) {
            *of_client -= size;
            if *of_client == 0 {
                self.client_bytes.remove(&client);
            }
        }
    }

    /// A block of the present view contains the bundle. Gives its place in the order of arrival.
    pub(crate) fn include(&mut self, id: &Digest) -> Option<u64> {
        let entry = self.entries.get_mut(id)?;
        if !entry.is_included {
            entry.is_included = true;
            self.waiting.remove(&entry.order);
            self.waiting_bytes -= entry.bundle.batch_bytes();
        }
        Some(entry.order)
    }

    /// A new view: nothing is included in its blocks yet.
    pub(crate) fn reset_included(&mut self, now: Time) {
        self.waiting = self.arrivals.clone();
        self.waiting_bytes = self.bytes;
        for entry in self.entries.values_mut() {
            entry.is_included = false;
            entry.passed_over = None;
            entry.arrived = now;
        }
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The oldest bundle that no block of the present view contains.
    pub(crate) fn oldest_waiting(&mut self) -> Option<&mut Entry> {
        let (_, id) = self.waiting.first_key_value()?;
        self.entries.get_mut(id)
    }

    /// The oldest bundles that no block of the present view contains.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Verified<Bundle>> {
        self.waiting.values().filter_map(|id| self.entries.get(id)).map(|entry| &entry.bundle)
    }

    pub(crate) fn order_of_oldest_waiting(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    /// Drops bundles that would execute nothing from the front, and says whether one is left.
    pub(crate) fn has_work(&mut self, executes: impl Fn(&Bundle) -> bool) -> bool {
        while let Some((_, id)) = self.arrivals.first_key_value() {
            let id = *id;
            if self.entries.get(&id).is_some_and(|entry| executes(&entry.bundle)) {
                return true;
            }
            self.remove(&id);
        }
        false
    }

    /// Drops waiting bundles from the front that would execute nothing.
    pub(crate) fn drop_waiting_unless(&mut self, executes: impl Fn(&Bundle) -> bool) {
        while let Some((_, id)) = self.waiting.first_key_value() {
            let id = *id;
            if self.entries.get(&id).is_some_and(|entry| executes(&entry.bundle)) {
                return;
            }
            self.remove(&id);
        }
    }

    /// Takes the oldest waiting bundles for a batch of at most `bytes_max`; those that would
    /// execute nothing are dropped. The taken ones count as included.
    pub(crate) fn take(
        &mut self,
        bytes_max: usize,
        executes: impl Fn(&Bundle) -> bool,
    ) -> Vec<Verified<Bundle>> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some((_, id)) = self.waiting.first_key_value() {
            let id = *id;
            let Some(entry) = self.entries.get(&id) else { break };
            if !executes(&entry.bundle) {
                self.remove(&id);
                continue;
            }
            let size = entry.bundle.batch_bytes();
            if bytes + size > bytes_max {
                break;
            }
            bytes += size;
            taken.push(entry.bundle.clone());
            self.include(&id);
        }
        taken
    }
}
