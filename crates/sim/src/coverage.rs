//! Did the attacks really attack? How often each deviated, in which phase of the protocol, how often that reached somebody
//! honest, and with which reason it was refused.

use quorate_consensus::ReplicaStatus;
use quorate_types::{Rejection, ReplicaId};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::world::World;

/// What a cluster is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Ordering requests, and nothing of what follows.
    Normal,
    /// Somebody asked for a view that it has not entered.
    ViewChange,
    /// Somebody executed a block after which a checkpoint is due, and the checkpoint is not stable.
    Checkpoint,
    /// Somebody fetches a state.
    Transfer,
    /// Somebody's process began again a moment ago, or lost its memory and waits.
    Restart,
}

impl Phase {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Normal, Self::ViewChange, Self::Checkpoint, Self::Transfer, Self::Restart];

    /// Its name in tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ViewChange => "view-change",
            Self::Checkpoint => "checkpoint",
            Self::Transfer => "transfer",
            Self::Restart => "restart",
        }
    }
}

/// What became of one attack in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// How often it deviated from the protocol while an honest replica was in the phase.
    pub fired: u64,
    /// How many messages of such a step arrived at an honest replica that was in the phase, or at a client meanwhile.
    pub reached: u64,
    /// How many of the traitor's messages were refused by an honest replica in the phase, or by a client, by reason.
    pub rejected: BTreeMap<Rejection, u64>,
}

/// What became of all attacks, by the name of [`quorate_attack::Attack::name`] and the phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    cells: BTreeMap<(&'static str, Phase), Cell>,
}

impl Coverage {
    /// What became of an attack in a phase.
    #[must_use]
    pub fn cell(&self, attack: &str, phase: Phase) -> Cell {
        let cell = self.cells.iter().find(|((name, of), _)| *name == attack && *of == phase);
        cell.map(|(_, cell)| cell.clone()).unwrap_or_default()
    }

    /// How often an attack deviated, in all phases.
    #[must_use]
    pub fn fired(&self, attack: &str) -> u64 {
        self.cells.iter().filter(|((name, _), _)| *name == attack).map(|(_, cell)| cell.fired).sum()
    }

    /// Adds what became of attacks in other runs.
    pub fn merge(&mut self, other: &Self) {
        for (key, cell) in &other.cells {
            let sum = self.cells.entry(*key).or_default();
            sum.fired += cell.fired;
            sum.reached += cell.reached;
            for (reason, count) in &cell.rejected {
                *sum.rejected.entry(*reason).or_default() += count;
            }
        }
    }

    fn cell_mut(&mut self, attack: &'static str, phase: Phase) -> &mut Cell {
        self.cells.entry((attack, phase)).or_default()
    }
}

/// For so many nanoseconds a process has begun a moment ago: two statuses.
const MOMENT: u64 = 60_000_000;

impl World {
    /// Counts what a traitor did while it handled its last input.
    pub(crate) fn count_fired(&mut self, replica: ReplicaId) {
        let new = self.hosts[replica.index()].newly_fired();
        if new.is_empty() {
            return;
        }
        self.note_deviation(replica);
        let phase = self.phase();
        for (attack, count) in new {
            self.counters.coverage.cell_mut(attack, phase).fired += count;
        }
    }

    /// A message of a step in which its sender deviated arrived.
    pub(crate) fn count_reached(&mut self, from: ReplicaId, to: ReplicaId) {
        if self.is_trusted(to) {
            self.count_reached_in(from, self.phase_of(to));
        }
    }

    /// The same for a client.
    pub(crate) fn count_reached_client(&mut self, from: ReplicaId) {
        self.count_reached_in(from, self.phase());
    }

    fn count_reached_in(&mut self, from: ReplicaId, phase: Phase) {
        if let Some(attack) = self.hosts[from.index()].attack_name() {
            self.counters.coverage.cell_mut(attack, phase).reached += 1;
        }
    }

    /// An honest replica refused a message.
    pub(crate) fn count_rejected(&mut self, by: ReplicaId, from: ReplicaId, reason: Rejection) {
        if self.is_trusted(by) {
            self.count_rejected_in(from, self.phase_of(by), reason);
        }
    }

    /// A client refused a message.
    pub(crate) fn count_rejected_by_client(&mut self, from: ReplicaId, reason: Rejection) {
        self.count_rejected_in(from, self.phase(), reason);
    }

    fn count_rejected_in(&mut self, from: ReplicaId, phase: Phase, reason: Rejection) {
        let Some(attack) = self.hosts.get(from.index()).and_then(|host| host.attack_name()) else { return };
        let cell = self.counters.coverage.cell_mut(attack, phase);
        *cell.rejected.entry(reason).or_default() += 1;
    }

    /// The least usual phase in which an honest replica is.
    fn phase(&self) -> Phase {
        let honest = self.invariants.history().honest();
        honest.map(|replica| self.phase_of(replica)).max().unwrap_or(Phase::Normal)
    }

    fn phase_of(&self, replica: ReplicaId) -> Phase {
        let host = &self.hosts[replica.index()];
        let status: ReplicaStatus = host.status();
        let interval = self.setup.parameters.checkpoint_interval;
        let is_new = host.is_restarted() && self.now < host.started + MOMENT;
        if status.is_recovering || is_new {
            Phase::Restart
        } else if status.transfer.is_some() {
            Phase::Transfer
        } else if status.asked > status.view {
            Phase::ViewChange
        } else if status.executed.0 / interval > status.stable.0 / interval {
            Phase::Checkpoint
        } else {
            Phase::Normal
        }
    }
}
