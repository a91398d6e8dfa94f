//! Does the store do what a map from heights to states would do, whatever the order of events and power cuts?

use proptest::prelude::*;
use quorate_types::Height;
use std::collections::BTreeMap;

use super::disk::{CrashingDisk, Fault, Random};
use super::{Cluster, State};

#[derive(Clone, Debug)]
enum Event {
    Write {
        height: u64,
        chunks: u64,
        changed_every: u64,
    },
    /// Chunks go into a snapshot that is never finished.
    GiveUp {
        chunks: u64,
    },
    Install {
        height: u64,
        chunks: u64,
        changed_every: u64,
    },
    /// A part of a transfer that is never finished.
    Receive {
        height: u64,
        chunks: u64,
        parts: usize,
    },
    Certify {
        height: u64,
    },
    Retain {
        mask: u64,
    },
    Restart,
    /// Power goes after some operations of the next event.
    Cut {
        after: usize,
        seed: u64,
    },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let height = || 1..12_u64;
    let chunks = || prop_oneof![1..40_u64, Just(700), Just(1200)];
    let event = prop_oneof![
        4 => (height(), chunks(), 1..20_u64)
            .prop_map(|(height, chunks, changed_every)| Event::Write { height, chunks, changed_every }),
        1 => chunks().prop_map(|chunks| Event::GiveUp { chunks }),
        2 => (height(), chunks(), 1..20_u64)
            .prop_map(|(height, chunks, changed_every)| Event::Install { height, chunks, changed_every }),
        1 => (height(), chunks(), 0..300_usize)
            .prop_map(|(height, chunks, parts)| Event::Receive { height, chunks, parts }),
        1 => height().prop_map(|height| Event::Certify { height }),
        4 => any::<u64>().prop_map(|mask| Event::Retain { mask }),
        1 => Just(Event::Restart),
        2 => (1..30_usize, any::<u64>()).prop_map(|(after, seed)| Event::Cut { after, seed }),
    ];
    proptest::collection::vec(event, 1..40)
}

struct World {
    cluster: Cluster,
    disk: CrashingDisk,
    store: std::sync::Arc<crate::snapshots::SnapshotStore>,
    model: BTreeMap<u64, State>,
}

impl World {
    fn new() -> Self {
        let (cluster, disk) = (Cluster::new("a"), CrashingDisk::default());
        let store = cluster.open(disk.boxed()).expect("an empty store");
        Self { cluster, disk, store, model: BTreeMap::new() }
    }

    fn state(&self, height: u64, chunks: u64, changed_every: u64) -> State {
        State::numbered(&self.cluster, height, chunks, |i| if i % changed_every == 0 { height } else { 0 })
    }

    /// Does it, and tells what the model is afterwards if it was done.
    fn run(&self, event: &Event) -> (BTreeMap<u64, State>, bool) {
        let mut model = self.model.clone();
        let is_done = match event {
            Event::Write { height, chunks, changed_every } => {
                let state = self.state(*height, *chunks, *changed_every);
                let is_done = state.write(&self.cluster, &self.store).is_ok();
                model.insert(*height, state);
                is_done
            }
            Event::GiveUp { chunks } => {
                let state = self.state(99, *chunks, 1);
                self.store.begin().and_then(|mut writer| state.put(&mut writer)).is_ok()
            }
            Event::Install { height, chunks, changed_every } => {
                let state = self.state(*height, *chunks, *changed_every);
                let is_done = state.install(&self.cluster, &self.store).is_ok();
                model.retain(|other, _| other <= height);
                model.insert(*height, state);
                is_done
            }
            Event::Receive { height, chunks, parts } => {
                let state = self.state(*height, *chunks, 1);
                let begun = self.store.begin_transfer(state.head.clone(), self.cluster.header(*height), None);
                begun.is_ok_and(|mut transfer| {
                    state.parts().take(*parts).all(|(id, bytes)| transfer.store(id, bytes).is_ok())
                })
            }
            Event::Certify { height } => match self.model.get(height) {
                Some(state) => self.store.certify(self.cluster.certificate(&state.head, 0)).is_ok(),
                None => true,
            },
            Event::Retain { mask } => {
                model.retain(|height, _| mask >> height & 1 == 1);
                let keep: Vec<Height> = model.keys().copied().map(Height).collect();
                self.store.retain(&keep).is_ok()
            }
            Event::Restart | Event::Cut { .. } => true,
        };
        (model, is_done)
    }

    fn restart(&mut self, disk: CrashingDisk) {
        self.disk = disk;
        self.store = self.cluster.open(self.disk.boxed()).expect("nothing that counts was lost");
    }

    /// After a power cut, each snapshot that the event should have changed is the old or the new one.
    fn adopt(&mut self, new: &BTreeMap<u64, State>) {
        let mut found = BTreeMap::new();
        for height in self.store.heights() {
            let head = &self.store.at(height).expect("it is visible").head;
            let candidates = [self.model.get(&height.0), new.get(&height.0)];
            let state = candidates.into_iter().flatten().find(|state| state.head == *head);
            found.insert(height.0, state.expect("it is the old or the new one").clone());
        }
        let is_kept = |height: &u64| !new.contains_key(height) || found.contains_key(height);
        assert!(self.model.keys().all(is_kept), "a snapshot was lost");
        self.model = found;
    }

    fn check(&self) {
        let held: Vec<u64> = self.store.heights().into_iter().map(|height| height.0).collect();
        assert!(held.iter().eq(self.model.keys()));
        self.model.values().for_each(|state| state.assert_held_by(&self.store));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_of_states(events in events()) {
        let mut world = World::new();
        let mut cut = None;
        for event in events {
            match event {
                Event::Restart => {
                    // A cut that is still to come comes now: opening is where power fails in another test.
                    let disk = match cut.take() {
                        Some(seed) => world.disk.after_power_cut(&mut Random(seed)),
                        None => world.disk.clone(),
                    };
                    world.restart(disk);
                }
                Event::Cut { after, seed } => {
                    world.disk.set_fault(Some((world.disk.operations() + after, Fault::Crash)));
                    cut = Some(seed);
                }
                event => {
                    let (model, is_done) = world.run(&event);
                    prop_assert!(is_done || cut.is_some(), "{event:?} failed");
                    match cut.take() {
                        Some(seed) => {
                            let disk = world.disk.after_power_cut(&mut Random(seed));
                            world.restart(disk);
                            if is_done {
                                world.model = model;
                            } else {
                                world.adopt(&model);
                            }
                        }
                        None => world.model = model,
                    }
                }
            }
            world.check();
        }
        // What nobody needs goes.
        world.disk.set_fault(None);
        if let Some(transfer) = world.store.resume_transfer().expect("its pages are readable") {
            transfer.abandon().expect("room");
        }
        world.store.retain(&[]).expect("room");
        prop_assert_eq!(world.store.usage(), crate::snapshots::Usage::default());
    }
}
