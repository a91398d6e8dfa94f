//! What can go wrong around honest replicas? Faults as data, and how each strikes.

use quorate_consensus::{Input, Peer};
use quorate_types::ReplicaId;
use serde::{Deserialize, Serialize};

use crate::observe::{Observation, Violation};
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
    /// A replica's process ends; what was not synced is lost, and so is what is in flight.
    Crash(u16),
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
    /// The network behaves, all links carry messages and all replicas run. Byzantine ones stay so.
    Heal,
}

impl World {
    /// Lets a fault strike.
    pub(crate) fn strike(&mut self, fault: &Fault) {
        self.tell(|| format!("{fault:?}"));
        match fault {
            Fault::Cut { from, to } => self.network.cut(ReplicaId(*from), ReplicaId(*to)),
            Fault::Partition { groups } => self.keep_links(groups),
            Fault::Bridge { bridge, left, right } => {
                let with = |half: &Vec<u16>| half.iter().copied().chain([*bridge]).collect();
                self.keep_links(&[with(left), with(right)]);
            }
            Fault::Restore => self.network.restore(),
            Fault::Crash(replica) => self.crash(ReplicaId(*replica)),
            Fault::Restart(replica) => self.start_replica(ReplicaId(*replica)),
            Fault::Wipe { replica, with_mark } => self.wipe(ReplicaId(*replica), *with_mark),
            Fault::Heal => self.heal(),
        }
    }

    /// Ends a replica's process, if it runs.
    pub(crate) fn crash(&mut self, replica: ReplicaId) {
        if !self.hosts[replica.index()].is_up() {
            return;
        }
        self.hosts[replica.index()].stop();
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
        if let Err(rejection) = started {
            let what = format!("a record on the disk of replica {replica} cannot be read: {rejection}");
            return self.violate(Violation::of("what is written can be read", what));
        }
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
        let healed = self.network.parameters().healed();
        self.network.become_like(healed);
        self.network.restore();
        for replica in self.setup.membership.replicas() {
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
