//! What can go wrong around honest replicas? Faults as data, and how each strikes.

use quorate_consensus::{Input, Peer};
use quorate_store::Fault as DiskFault;
use quorate_types::ReplicaId;
use serde::{Deserialize, Serialize};

use crate::chart::{DOWN, UP};
use crate::disk::Part;
use crate::observe::Observation;
use crate::queue::Event;
use crate::world::World;

/// A fault at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedFault {
    /// When it strikes, in microseconds from the start.
    pub at_us: u64,
    /// What happens.
    pub fault: Fault,
}

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// One direction of a link carries nothing any more.
    Cut {
        /// Who is not heard.
        from: u16,
        /// Who does not hear.
        to: u16,
    },
    /// Replicas of different groups do not hear each other.
    Partition {
        /// The groups; who is in none hears nobody.
        groups: Vec<Vec<u16>>,
    },
    /// Two halves that hear each other only through one replica in both.
    Bridge {
        /// The replica in both halves.
        bridge: u16,
        /// One half.
        left: Vec<u16>,
        /// The other half.
        right: Vec<u16>,
    },
    /// All links carry messages again.
    Restore,
    /// A replica's machine loses power: what was not synced is gone, or is there in part and in any order, and so is what is
    /// in flight.
    Crash(u16),
    /// A replica's process ends; the operating system still writes what it was told.
    Kill(u16),
    /// A replica's process begins again.
    Restart(u16),
    /// A stopped replica's disk is replaced.
    Wipe {
        /// Whose.
        replica: u16,
        /// Whether the new disk bears the mark of `init`, so that its replica does not know that
        /// it forgot everything: such a replica counts as Byzantine from then on.
        with_mark: bool,
    },
    /// Something happens to an operation of a replica's disk, and to no other: with `after` 0 to the next one.
    Disk {
        /// Whose.
        replica: u16,
        /// Log or states.
        part: Part,
        /// How many operations that change the disk come before.
        after: u64,
        /// What happens.
        operation: Operation,
    },
    /// One bit of what lies on a replica's disk is not what it was.
    Flip {
        /// Whose.
        replica: u16,
        /// Log or states.
        part: Part,
        /// Which bit of all, from the start again beyond their number.
        bit: u64,
    },
    /// A replica's disk has room for so many bytes more.
    FillDisk {
        /// Whose.
        replica: u16,
        /// Bytes.
        room: u64,
    },
    /// A replica's disk has room again. A replica that stopped for lack of it starts again.
    FreeDisk(u16),
    /// A replica's disk takes so many times as long as usual.
    SlowDisk {
        /// Whose.
        replica: u16,
        /// 1 is as usual.
        slowness: u64,
    },
    /// An image of a replica's disk is taken.
    TakeImage(u16),
    /// A replica's machine goes back to the image, log and states. It counts as Byzantine from then on.
    RollBack(u16),
    /// The network behaves, all links carry messages and all replicas run. Byzantine ones stay so.
    Heal,
}

/// What happens to an operation of a disk: a write, a sync, a file that is made or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// The power fails in the middle of it.
    PowerLoss,
    /// It fails, and says so.
    Failure,
    /// There is no room for it.
    Full,
    /// It says that it is done, and does nothing: a lost sync or a lost write. Its replica counts as Byzantine.
    Lost,
    /// If it is a write, it goes elsewhere. Its replica counts as Byzantine.
    Misdirected {
        /// Which file and offset, from the start again beyond their number.
        place: u64,
    },
}

impl Fault {
    /// The replica that it hits with what no disk can survive.
    #[must_use]
    pub const fn victim(&self) -> Option<u16> {
        match self {
            Self::Disk { replica, operation: Operation::Lost | Operation::Misdirected { .. }, .. }
            | Self::Flip { replica, .. }
            | Self::Wipe { replica, .. }
            | Self::RollBack(replica) => Some(*replica),
            _ => None,
        }
    }

    /// Its kind, as it is called in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "cut",
            Self::Partition { .. } => "partition",
            Self::Bridge { .. } => "bridge",
            Self::Restore => "restore",
            Self::Crash(_) => "crash",
            Self::Kill(_) => "kill",
            Self::Restart(_) => "restart",
            Self::Wipe { .. } => "wipe",
            Self::Disk { operation, .. } => match operation {
                Operation::PowerLoss => "power-loss",
                Operation::Failure => "failure",
                Operation::Full => "full",
                Operation::Lost => "lost",
                Operation::Misdirected { .. } => "misdirected",
            },
            Self::Flip { .. } => "flip",
            Self::FillDisk { .. } => "fill-disk",
            Self::FreeDisk(_) => "free-disk",
            Self::SlowDisk { .. } => "slow-disk",
            Self::TakeImage(_) => "take-image",
            Self::RollBack(_) => "roll-back",
            Self::Heal => "heal",
        }
    }
}

impl World {
    /// Lets a fault strike.
    pub(crate) fn strike(&mut self, fault: &Fault) {
        self.tell(|| format!("{fault:?}"));
        self.note_fault(fault);
        self.counters.happened.insert(fault.kind());
        match fault {
            Fault::Cut { from, to } => self.network.cut(ReplicaId(*from), ReplicaId(*to)),
            Fault::Partition { groups } => self.keep_links(groups),
            Fault::Bridge { bridge, left, right } => {
                let with = |half: &Vec<u16>| half.iter().copied().chain([*bridge]).collect();
                self.keep_links(&[with(left), with(right)]);
            }
            Fault::Restore => self.network.restore(),
            Fault::Crash(replica) => self.crash(ReplicaId(*replica)),
            Fault::Kill(replica) => self.kill(ReplicaId(*replica)),
            Fault::Restart(replica) => self.start_replica(ReplicaId(*replica)),
            Fault::Wipe { replica, with_mark } => self.wipe(ReplicaId(*replica), *with_mark),
            Fault::Heal => self.heal(),
            disk => self.strike_disk(disk),
        }
    }

    fn strike_disk(&mut self, fault: &Fault) {
        if let Some(victim) = fault.victim() {
            self.distrust(ReplicaId(victim));
        }
        match *fault {
            Fault::Disk { replica, part, after, operation } => {
                let disk = &mut self.hosts[usize::from(replica)].disk;
                match operation {
                    Operation::PowerLoss => disk.plan(part, after, DiskFault::PowerLoss),
                    Operation::Failure => disk.plan(part, after, DiskFault::Failure),
                    Operation::Full => disk.plan(part, after, DiskFault::Full),
                    Operation::Lost => disk.plan(part, after, DiskFault::Lost),
                    Operation::Misdirected { place } => disk.misdirect(part, after, place),
                }
            }
            Fault::Flip { replica, part, bit } => self.hosts[usize::from(replica)].disk.flip(part, bit),
            Fault::FillDisk { replica, room } => self.hosts[usize::from(replica)].disk.limit(Some(room)),
            Fault::FreeDisk(replica) => {
                self.hosts[usize::from(replica)].disk.limit(None);
                self.start_replica(ReplicaId(replica));
            }
            Fault::SlowDisk { replica, slowness } => self.hosts[usize::from(replica)].slowness = slowness,
            Fault::TakeImage(replica) => {
                let host = &mut self.hosts[usize::from(replica)];
                host.image = Some(host.disk.image());
            }
            Fault::RollBack(replica) => self.roll_back(ReplicaId(replica)),
            _ => {}
        }
    }

    /// A replica's machine goes back to its image, if one was taken.
    pub(crate) fn roll_back(&mut self, replica: ReplicaId) {
        let Some(image) = self.hosts[replica.index()].image.clone() else { return };
        self.distrust(replica);
        self.kill(replica);
        self.hosts[replica.index()].disk.roll_back(&image);
    }

    /// A replica's machine loses power.
    pub(crate) fn crash(&mut self, replica: ReplicaId) {
        self.stop_replica(replica, true);
    }

    /// Ends a replica's process; the system still has what the process told it.
    pub(crate) fn kill(&mut self, replica: ReplicaId) {
        self.stop_replica(replica, false);
    }

    fn stop_replica(&mut self, replica: ReplicaId, with_power: bool) {
        let (host, random) = (&mut self.hosts[replica.index()], &mut self.power_random);
        if !host.is_up() {
            if with_power {
                host.disk.crash(random);
            }
            return;
        }
        host.stop(with_power.then_some(random));
        self.note_of(replica, || DOWN.into());
        self.observe_of(replica, Observation::Stopped(replica));
        for other in self.others(replica) {
            self.push_input(0, other, Input::Disconnected(Peer::Replica(replica)));
        }
        for client in 0..self.clients.len() {
            self.push(0, Event::Connection { client, replica, is_up: false });
        }
    }

    /// Starts a replica's process, if it does not run.
    pub(crate) fn start_replica(&mut self, replica: ReplicaId) {
        if self.hosts[replica.index()].is_up() {
            return;
        }
        let seed = self.adversary_seed;
        let started = self.hosts[replica.index()].start(self.now, &self.setup, &self.application, seed);
        let records = match started {
            Ok(records) => records,
            Err(error) => return self.on_disk_error(replica, error),
        };
        if self.hosts[replica.index()].is_restarted() {
            self.note_of(replica, || UP.into());
        }
        let states = self.hosts[replica.index()].disk.states();
        let roots: Vec<_> = states.map(|states| states.roots().collect()).unwrap_or_default();
        self.observe_of(replica, Observation::Recovered(replica, &records, &roots));
        self.observe_of(replica, Observation::Started(replica));
        let restored = self.hosts[replica.index()].restored;
        self.observe_of(replica, Observation::Restored(replica, restored));
        self.drain(replica);
        for other in self.others(replica) {
            if self.hosts[other.index()].is_up() {
                self.push_input(0, other, Input::Connected(Peer::Replica(replica)));
                self.push_input(0, replica, Input::Connected(Peer::Replica(other)));
            }
        }
        for client in 0..self.clients.len() {
            self.connect(client, replica);
        }
    }

    /// Lets a client and a replica know that they are connected.
    pub(crate) fn connect(&mut self, client: usize, replica: ReplicaId) {
        if self.unreachable.contains(&(client, replica.0)) || !self.hosts[replica.index()].is_up() {
            return;
        }
        self.push(0, Event::Connection { client, replica, is_up: true });
        let key = self.clients[client].key;
        self.push_input(0, replica, Input::Connected(Peer::Client(key)));
    }

    /// Replaces the disk of a replica, which is stopped for it.
    pub(crate) fn wipe(&mut self, replica: ReplicaId, with_mark: bool) {
        self.crash(replica);
        self.hosts[replica.index()].disk.wipe(with_mark);
        if with_mark {
            self.distrust(replica);
        } else {
            self.observe_of(replica, Observation::Wiped(replica));
        }
    }

    /// From now on the replica may do anything.
    pub(crate) fn distrust(&mut self, replica: ReplicaId) {
        self.observe_of(replica, Observation::Distrusted(replica));
    }

    /// Ends all faults of network and processes.
    pub(crate) fn heal(&mut self) {
        self.faults.clear();
        let healed = self.network.parameters().healed();
        self.network.become_like(healed);
        self.network.restore();
        for replica in self.setup.membership.replicas() {
            let host = &mut self.hosts[replica.index()];
            (host.slowness, host.image) = (1, None);
            host.disk.heal();
            self.start_replica(replica);
        }
        self.observe(Observation::Healed);
    }

    /// Cuts every link between replicas that share no group.
    fn keep_links(&mut self, groups: &[Vec<u16>]) {
        self.network.restore();
        for from in self.setup.membership.replicas() {
            for to in self.others(from) {
                if !groups.iter().any(|group| group.contains(&from.0) && group.contains(&to.0)) {
                    self.network.cut(from, to);
                }
            }
        }
    }

    /// Every other replica.
    pub(crate) fn others(&self, replica: ReplicaId) -> impl Iterator<Item = ReplicaId> + use<> {
        self.setup.membership.replicas().filter(move |other| *other != replica)
    }
}
