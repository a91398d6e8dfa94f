//! What is in the directory when a replica starts, and what of it is a crash's leftover?

use quorate_types::{ClusterId, Height};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use super::chunks::{Chunks, PackSet};
use super::files::{Disk, TEMPORARY, temporary};
use super::manifest::{self, Kind, MANIFEST_BYTES_MAX};
use super::pack::{self, PackNumber};
use super::{Gate, Snapshot, SnapshotError, SnapshotStore};

/// The file that names the target of an unfinished transfer.
pub(super) const TRANSFER: &str = "transfer";

/// The files of the directory by what they are. Names that are not ours are left alone.
#[derive(Default)]
struct Found {
    packs: Vec<PackNumber>,
    packs_incomplete: Vec<PackNumber>,
    snapshots: Vec<Height>,
    is_transfer: bool,
    temporary: Vec<String>,
}

/// Reads everything and checks it, and only then removes what a crash left.
pub(super) fn open(disk: Disk, cluster: ClusterId) -> Result<Arc<SnapshotStore>, SnapshotError> {
    let found = Found::by_name(&disk.list()?);
    let snapshots = read_snapshots(&disk, &cluster, &found.snapshots)?;
    let target = if found.is_transfer { read_target(&disk, &cluster)? } else { None };
    let numbers = found.packs.iter().chain(&found.packs_incomplete);
    let next = numbers.max().map_or(0, |number| number.wrapping_add(1));
    let chunks = Arc::new(Chunks::open(disk, &found.packs, next)?);
    let is_installed =
        |target: &Snapshot| snapshots.get(&target.height()).is_some_and(|held| held.head == target.head);
    let is_over = target.as_ref().is_some_and(is_installed);
    let store = SnapshotStore {
        cluster,
        chunks,
        gate: Mutex::new(Gate { target: target.filter(|_| !is_over).map(Arc::new), ..Gate::default() }),
        snapshots: RwLock::new(snapshots.into_iter().map(|(height, s)| (height, Arc::new(s))).collect()),
    };
    store.chunks.begin_round();
    for height in store.heights() {
        if let Some(snapshot) = store.at(height) {
            store.check_complete(&snapshot.head)?;
        }
    }
    if !store.chunks.disk.is_read_only() {
        store.clean(&found, is_over)?;
    }
    Ok(Arc::new(store))
}

impl SnapshotStore {
    fn clean(&self, found: &Found, is_transfer_over: bool) -> Result<(), SnapshotError> {
        let disk = &self.chunks.disk;
        if is_transfer_over {
            disk.remove(TRANSFER)?;
        }
        let gate = self.gate();
        for number in &found.packs_incomplete {
            if gate.target.is_some() && !found.packs.contains(number) {
                self.salvage(*number)?;
            }
            disk.remove(&temporary(&pack::name(*number)))?;
        }
        found.temporary.iter().try_for_each(|name| disk.remove(name))?;
        self.collect_dead(&gate)
    }

    /// Keeps what a transfer had received when it was cut off, if there is room: it can be fetched again.
    fn salvage(&self, number: PackNumber) -> Result<(), SnapshotError> {
        let mut packs = PackSet::new(self.chunks.clone());
        let kept = pack::salvage(&self.chunks.disk, number, |chunk, bytes| {
            if packs.find(&chunk.digest).is_some() { Ok(()) } else { packs.append(chunk, bytes) }
        });
        match kept.and_then(|()| packs.seal()) {
            Err(SnapshotError::Full { .. }) => {
                packs.discard();
                Ok(())
            }
            other => other,
        }
    }
}

impl Found {
    fn by_name(names: &[String]) -> Self {
        let mut found = Self::default();
        for name in names {
            if let Some(number) = pack::number(name) {
                found.packs.push(number);
            } else if let Some(height) = manifest::height(name) {
                found.snapshots.push(height);
            } else if name == TRANSFER {
                found.is_transfer = true;
            } else if let Some(complete) = name.strip_suffix(TEMPORARY) {
                match pack::number(complete) {
                    Some(number) => found.packs_incomplete.push(number),
                    None if complete == TRANSFER || manifest::height(complete).is_some() => {
                        found.temporary.push(name.clone());
                    }
                    None => {}
                }
            }
        }
        found
    }
}

fn read_snapshots(
    disk: &Disk,
    cluster: &ClusterId,
    heights: &[Height],
) -> Result<BTreeMap<Height, Snapshot>, SnapshotError> {
    let mut snapshots = BTreeMap::new();
    for height in heights {
        let name = manifest::name(*height);
        let snapshot = Snapshot::decode(Kind::Snapshot, &name, &disk.read(&name, MANIFEST_BYTES_MAX + 64)?)?;
        snapshot.check(cluster, &name)?;
        if snapshot.height() != *height {
            return Err(SnapshotError::damaged(&name, "it is another height's"));
        }
        snapshots.insert(*height, snapshot);
    }
    Ok(snapshots)
}

fn read_target(disk: &Disk, cluster: &ClusterId) -> Result<Option<Snapshot>, SnapshotError> {
    let bytes = disk.read(TRANSFER, MANIFEST_BYTES_MAX + 64)?;
    let target = Snapshot::decode(Kind::Transfer, TRANSFER, &bytes)?;
    target.check(cluster, TRANSFER)?;
    Ok(Some(target))
}
