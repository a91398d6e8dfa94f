//! Is there, after a power cut at any single operation, either the old set of snapshots or the new one?

use quorate_types::Height;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::disk::{CrashingDisk, Fault, Random};
use super::{Cluster, State, heights};
use crate::snapshots::{SnapshotError, SnapshotStore};

/// A life of a store. `step` is called with what is visible after each step that was done.
struct Life {
    cluster: Cluster,
    states: Vec<State>,
    /// The target of its transfer.
    target: State,
    /// What is visible after each step.
    steps: Vec<Vec<u64>>,
}

impl Life {
    fn new() -> Self {
        let cluster = Cluster::new("a");
        let state = |height| State::numbered(&cluster, height, 60, |i| if i % 3 == 0 { height } else { 0 });
        let states = (0..=6).map(state).collect();
        let target = State::numbered(&cluster, 5, 60, |i| if i % 20 == 0 { 0 } else { 5 });
        Self { cluster, states, target, steps: vec![vec![]] }
    }

    fn live(&self, disk: &CrashingDisk, mut step: impl FnMut(&[u64])) -> Result<(), SnapshotError> {
        let store = self.cluster.open(disk.boxed())?;
        self.states[1].write(&self.cluster, &store)?;
        step(&[1]);
        self.states[2].write(&self.cluster, &store)?;
        step(&[1, 2]);
        store.certify(self.cluster.certificate(&self.states[2].head, 0))?;
        step(&[1, 2]);
        store.retain(&heights(&[2]))?;
        step(&[2]);
        self.states[4].write(&self.cluster, &store)?;
        step(&[2, 4]);
        // Two thirds of the first pack go: the rest is moved.
        self.transfer_and_move(&store, &mut step)?;
        drop(store);
        let store = self.cluster.open(disk.boxed())?;
        self.states[6].write(&self.cluster, &store)?;
        step(&[5, 6]);
        store.retain(&heights(&[6]))?;
        step(&[6]);
        Ok(())
    }

    fn transfer_and_move(
        &self,
        store: &Arc<SnapshotStore>,
        step: &mut impl FnMut(&[u64]),
    ) -> Result<(), SnapshotError> {
        let target = &self.target;
        let header = self.cluster.header(5);
        let mut transfer = store.begin_transfer(target.head.clone(), header, None)?;
        for (id, bytes) in target.parts().take(40) {
            transfer.store(id, bytes)?;
        }
        drop(transfer);
        store.retain(&heights(&[4]))?;
        step(&[4]);
        target.install(&self.cluster, store)?;
        step(&[4, 5]);
        store.retain(&heights(&[5]))?;
        step(&[5]);
        Ok(())
    }
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_or_the_new() {
    let mut life = Life::new();
    let undisturbed = CrashingDisk::default();
    let mut steps = life.steps.clone();
    life.live(&undisturbed, |visible| steps.push(visible.to_vec())).expect("nothing happens");
    life.steps = steps;
    let operations = undisturbed.operations();
    assert!(operations > 60, "{operations}");
    for at in 1..=operations {
        for seed in 0..6 {
            cut_and_check(&life, at, seed);
        }
    }
}

fn cut_and_check(life: &Life, at: usize, seed: u64) {
    let disk = CrashingDisk::default();
    disk.set_fault(Some((at, Fault::Crash)));
    let mut steps = 1;
    life.live(&disk, |_| steps += 1).expect_err("the power is cut");
    let after = disk.after_power_cut(&mut Random((at as u64) << 8 | seed));
    let store = match life.cluster.open(after.boxed()) {
        Ok(store) => store,
        Err(error) => panic!("cut at {at}, seed {seed}: {error}"),
    };
    let as_set = |heights: &[u64]| heights.iter().copied().map(Height).collect::<BTreeSet<_>>();
    let (old, new) = (as_set(&life.steps[steps - 1]), as_set(&life.steps[steps]));
    let found: BTreeSet<Height> = store.heights().into_iter().collect();
    // Removing several is not one step: each one is there or not.
    let is_between = found.is_subset(&(&old | &new)) && found.is_superset(&(&old & &new));
    assert!(is_between, "cut at {at}, seed {seed}: {found:?} is neither {old:?} nor {new:?}");
    for height in store.heights() {
        let snapshot = store.at(height).expect("it is visible");
        store.check(&snapshot).expect("it is complete");
        if steps > 3 && height == Height(2) {
            assert!(snapshot.certificate.is_some(), "cut at {at}, seed {seed}");
        }
    }
    // The store goes on, and a transfer is resumed with what it has.
    if let Some(transfer) = store.resume_transfer().expect("its pages are readable") {
        assert_eq!(transfer.target().height(), Height(5));
    }
    life.states[6].write(&life.cluster, &store).expect("room");
    life.states[6].assert_held_by(&store);
    assert!(!after.names().iter().any(|name| name.ends_with(".new")));
}
