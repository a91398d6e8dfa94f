//! What does a replica's driver do with its disk? Appends and syncs records, writes, gathers and installs states, and ends the
//! process when the disk cannot go on.

use quorate_consensus::{Input, Record, SnapshotOrder};
use quorate_types::certificate::SignedHeader;
use quorate_types::{Digest, Height, ReplicaId, StateHead};
use std::sync::Arc;

use crate::disk::{DiskError, Snapshots};
use crate::guards::{self, Guard};
use crate::observe::{Observation, Violation};
use crate::queue::Event;
use crate::world::World;

impl World {
    pub(crate) fn persist(&mut self, replica: ReplicaId, sequence: u64, record: &Record) {
        self.observe_of(replica, Observation::Appended(replica, sequence, record));
        self.hosts[replica.index()].disk.append(sequence, record);
        self.begin_sync(replica);
    }

    /// Rule D1. One sync covers everything that waits when it begins.
    fn begin_sync(&mut self, replica: ReplicaId) {
        match self.hosts[replica.index()].disk.begin_sync() {
            Ok(None) => {}
            Ok(Some(through)) => {
                let incarnation = self.hosts[replica.index()].incarnation;
                let after = self.disk_cost(replica);
                self.push(after, Event::Synced { replica, incarnation, through });
                if guards::is_removed(Guard::WaitForSync) {
                    self.push_input(0, replica, Input::Persisted(through));
                }
            }
            Err(error) => self.on_disk_error(replica, error),
        }
    }

    pub(crate) fn on_synced(&mut self, replica: ReplicaId, through: u64) {
        if let Err(error) = self.hosts[replica.index()].disk.end_sync(through) {
            return self.on_disk_error(replica, error);
        }
        self.observe_of(replica, Observation::Durable(replica, through));
        self.begin_sync(replica);
        self.feed(replica, Input::Persisted(through));
    }

    pub(crate) fn truncate(&mut self, replica: ReplicaId, number: u64, height: Height) {
        self.observe_of(replica, Observation::Cut(replica, height));
        match self.hosts[replica.index()].disk.truncate(number, height) {
            Ok((records, states)) => self.observe(Observation::DiskUse(replica, records, states)),
            Err(error) => self.on_disk_error(replica, error),
        }
    }

    pub(crate) fn take_snapshot(&mut self, replica: ReplicaId, order: &SnapshotOrder) {
        let configuration = self.setup.membership.cluster();
        let head = match self.hosts[replica.index()].write_snapshot(order, configuration) {
            Ok(Ok(head)) => head,
            Ok(Err(error)) => return self.on_disk_error(replica, error),
            Err(panicked) => {
                return self.violate(Violation::of("the state machine does not panic", panicked));
            }
        };
        self.observe_of(replica, Observation::Root(replica, head.height, head.root()));
        let after = self.queue_up(replica) + self.disk_cost(replica);
        let incarnation = self.hosts[replica.index()].incarnation;
        let (header, head) = (order.header, Arc::new(head));
        if guards::is_removed(Guard::WaitForSnapshot) {
            self.push_input(0, replica, Input::Snapshot(Arc::clone(&head)));
        }
        self.push(after, Event::SnapshotSynced { replica, incarnation, header, head });
    }

    pub(crate) fn on_snapshot_synced(
        &mut self,
        replica: ReplicaId,
        header: SignedHeader,
        head: Arc<StateHead>,
    ) {
        let durable =
            self.use_states(replica, |states| states.become_durable(header, &head, Guard::SyncOfSnapshot));
        if durable.is_some() {
            self.observe_of(replica, Observation::StateDurable(replica, head.height, head.root()));
            self.feed(replica, Input::Snapshot(head));
        }
    }

    pub(crate) fn install(&mut self, replica: ReplicaId, head: Arc<StateHead>) {
        match self.hosts[replica.index()].install(&head) {
            Ok(Ok(sessions)) => {
                self.counters.happened.insert("state installed");
                let (height, root) = (head.height, head.root());
                self.observe_of(replica, Observation::Root(replica, height, root));
                self.observe_of(replica, Observation::StateDurable(replica, height, root));
                self.observe_of(replica, Observation::Installing(replica, height));
                self.observe_of(replica, Observation::Restored(replica, height));
                let after = self.queue_up(replica);
                self.push_input(after, replica, Input::Installed(head, sessions.into()));
            }
            Ok(Err(why)) => self.violate(Violation::of("a certified state can be installed", why)),
            Err(error) => self.on_disk_error(replica, error),
        }
    }

    pub(crate) fn read_chunks(&mut self, replica: ReplicaId, to: ReplicaId, digests: Vec<Digest>) {
        for digest in digests {
            let Some(chunk) = self.use_states(replica, |states| states.chunk(&digest)) else { return };
            let after = self.disk_cost(replica);
            self.push_input(after, replica, Input::Chunk(to, chunk.ok_or(digest)));
        }
    }

    /// What one access to the disk takes.
    pub(crate) fn disk_cost(&mut self, replica: ReplicaId) -> u64 {
        self.costs.sync_us.draw(&mut self.disk_random) * self.hosts[replica.index()].slowness
    }

    /// Does something with a replica's states. `None` if it could not be done, and the replica stopped.
    pub(crate) fn use_states<T>(
        &mut self,
        replica: ReplicaId,
        what: impl FnOnce(&mut Snapshots) -> Result<T, DiskError>,
    ) -> Option<T> {
        let done = self.hosts[replica.index()].disk.states().and_then(what);
        done.map_err(|error| self.on_disk_error(replica, error)).ok()
    }

    /// Rule D4. The replica stops and says why. When its disk is damaged, the operator gives it an empty one.
    pub(crate) fn on_disk_error(&mut self, replica: ReplicaId, error: DiskError) {
        self.tell(|| format!("replica {replica} stops: {error}"));
        self.note_everywhere(|| format!("replica {replica} stops: {error}").into());
        self.observe(Observation::DiskFailed(replica, &error.to_string()));
        self.counters.happened.insert(error.kind());
        match error {
            DiskError::PowerLost => self.crash(replica),
            DiskError::Full(_) | DiskError::Failed(_) => self.kill(replica),
            DiskError::Wrong(what) => {
                let what = format!("the disk of replica {replica}: {what}");
                self.violate(Violation::of("what is read is what was written", what));
            }
            DiskError::Damaged(what) => {
                if !self.hosts[replica.index()].disk.is_doubtful() {
                    let what = format!("the disk of replica {replica}, which lost nothing: {what}");
                    self.violate(Violation::of("a disk survives what it should", what));
                }
                self.kill(replica);
                let incarnation = self.hosts[replica.index()].incarnation;
                self.push(REPLACED_AFTER, Event::Replace { replica, incarnation });
            }
        }
    }
}

/// How long the operator takes to replace a disk, in nanoseconds.
const REPLACED_AFTER: u64 = 5_000_000;
