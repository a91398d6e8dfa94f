//! What does a test hold of a simulation? One replica, one client, one traitor.

use bytes::Bytes;
use quorate_consensus::ReplicaStatus;
use quorate_consensus::client::Ticket;
use quorate_machine::{StateMachine, encode};
use quorate_types::ReplicaId;
use std::cell::RefCell;
use std::marker::PhantomData;

use crate::lab::Overlay;
use crate::world::World;

/// What names a replica: its number, its id, or the handle of a traitor.
pub trait AsReplica {
    /// The replica.
    fn id(&self) -> ReplicaId;
}

impl AsReplica for u16 {
    fn id(&self) -> ReplicaId {
        ReplicaId(*self)
    }
}

impl AsReplica for ReplicaId {
    fn id(&self) -> ReplicaId {
        *self
    }
}

impl AsReplica for SimTraitor {
    fn id(&self) -> ReplicaId {
        self.id
    }
}

/// A replica that lies, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimTraitor {
    pub(crate) id: ReplicaId,
    pub(crate) name: &'static str,
}

impl SimTraitor {
    /// The name of its attack.
    #[must_use]
    pub const fn attack(&self) -> &'static str {
        self.name
    }
}

/// One replica in the hands of a test.
pub struct SimReplica<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) id: ReplicaId,
}

impl SimReplica<'_> {
    /// Ends its process: what was not synced is lost. Nothing happens if it does not run.
    pub fn stop(&mut self) -> &mut Self {
        self.world.crash(self.id);
        self
    }
    /// Ends its process; the operating system still writes what it was told.
    pub fn kill(&mut self) -> &mut Self {
        self.world.kill(self.id);
        self
    }
    /// From now on it counts as Byzantine, whatever it does.
    pub fn distrust(&mut self) -> &mut Self {
        self.world.distrust(self.id);
        self
    }
    /// Starts its process if it does not run.
    pub fn start(&mut self) -> &mut Self {
        self.world.start_replica(self.id);
        self
    }
    /// Starts its process from its disk, after ending the one that may run.
    pub fn restart(&mut self) -> &mut Self {
        self.world.crash(self.id);
        self.world.start_replica(self.id);
        self
    }
    /// Ends its process and replaces its disk by an empty one (rule D3).
    pub fn wipe(&mut self) -> &mut Self {
        self.world.wipe(self.id, false);
        self
    }
    /// Ends its process and puts its disk back to how `init` left it. As it does not know what it
    /// forgot, it counts as Byzantine from then on.
    pub fn roll_back(&mut self) -> &mut Self {
        self.world.wipe(self.id, true);
        self
    }
    /// Where it stands, or stood when it stopped.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.world.hosts[self.id.index()].status()
    }
    /// Whether its process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.world.hosts[self.id.index()].is_up()
    }
}

/// One client in the hands of a test.
pub struct SimClient<'a, S> {
    /// Submitting changes nothing of the client that a test holds, so that it needs no `mut`.
    inner: RefCell<(&'a mut World, &'a mut Overlay)>,
    index: usize,
    machine: PhantomData<fn() -> S>,
}

impl<'a, S: StateMachine> SimClient<'a, S> {
    pub(crate) fn new(world: &'a mut World, overlay: &'a mut Overlay, index: usize) -> Self {
        Self { inner: RefCell::new((world, overlay)), index, machine: PhantomData }
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    /// Submits a command. It does not wait: time passes only where the simulation is run. Requests of one client run in
    /// any order, unless the test waits for one before it submits the next.
    ///
    /// # Panics
    /// If the command cannot be encoded.
    pub fn submit(&self, command: S::Command) -> Ticket {
        self.submit_bytes(encode(&command, usize::MAX).unwrap_or_else(|error| panic!("the command: {error}")))
    }
    /// Submits the bytes of a command, which need not be one.
    pub fn submit_bytes(&self, command: impl Into<Bytes>) -> Ticket {
        let (world, overlay) = &mut *self.inner.borrow_mut();
        if overlay.takes_part() {
            world.submit(self.index, command.into())
        } else {
            world.clients[self.index].ticket()
        }
    }
    /// It never reaches this replica, from now on.
    pub fn lose_sight_of(&self, replica: impl AsReplica) -> &Self {
        self.inner.borrow_mut().0.unreachable.push((self.index, replica.id().0));
        self
    }
    /// How many of its requests have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.borrow().0.clients[self.index].outstanding.len()
    }
}
