//! What surrounds a replica's machine? Its disk, its state machine, its clock and, maybe, an
//! adversary.

use quorate_attack::combinators::Group;
use quorate_attack::{Adversary, Participant, Spec};
use quorate_consensus::{
    Config, Execution, Held, HeldOfPeer, Input, Record, Recovered, Replica, ReplicaStatus, SnapshotOrder,
};
use quorate_machine::{Application, ApplicationFactory, BlockContext, Context, catch};
use quorate_store::{LogIdentity, Owner};
use quorate_types::message::Outcome;
use quorate_types::{ClusterId, Digest, Height, ReplicaId, SecretKey, StateHead, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::disk::{Disk, DiskError, Image};
use crate::guards::{self, Guard};
use crate::replay;
use crate::setup::Setup;
use crate::stream::Stream;

/// Simulations begin at this time on every clock, in nanoseconds since 1970: old enough that what
/// is before it can be expressed.
const EPOCH: u64 = 1_700_000_000_000_000_000;
/// No timeout.
pub(crate) const NEVER: u64 = u64::MAX;

/// One replica's process, or its remains.
pub(crate) struct Host {
    pub(crate) id: ReplicaId,
    /// Counts the processes that ran here.
    pub(crate) incarnation: u32,
    pub(crate) disk: Disk,
    /// An earlier state of the disk, to be rolled back to.
    pub(crate) image: Option<Image>,
    /// How many times as long as usual a sync takes.
    pub(crate) slowness: u64,
    /// How far its clock is ahead, in nanoseconds.
    pub(crate) skew: u64,
    /// When the state machine has done all that it was told, in nanoseconds.
    pub(crate) busy_until: u64,
    /// When the machine wants a timeout, in simulated nanoseconds.
    pub(crate) timeout: u64,
    /// The attack that it runs, also after a restart.
    pub(crate) attack: Option<Spec>,
    /// The traitors with whom it shares what it hears.
    pub(crate) group: Option<Group>,
    /// The adversary of a test, while no process runs that it stands before.
    adversary: Option<Box<dyn Adversary>>,
    pub(crate) colluders: Vec<(ReplicaId, SecretKey)>,
    /// The height of the snapshot that it was restored from.
    pub(crate) restored: Height,
    /// The height of the last block whose commands are in the application's state. The machine hears of it later.
    pub(crate) applied: Height,
    /// When the last process began, in nanoseconds.
    pub(crate) started: u64,
    /// How many replicas there are.
    replicas: u16,
    participant: Option<Participant>,
    application: Box<dyn Application>,
    /// The deviations of the present process that were counted, by attack and in all.
    counted: (BTreeMap<&'static str, u64>, u64),
    /// Deviations of processes that ended.
    fired_before: BTreeMap<&'static str, u64>,
    last_status: ReplicaStatus,
}

impl Host {
    pub(crate) fn new(id: ReplicaId, setup: &Setup, application: Box<dyn Application>) -> Self {
        let owner = Owner { cluster: setup.membership.cluster(), replica: setup.key(id).public() };
        let identity = LogIdentity { owner, mark: u64::from(id.0).rotate_left(32) };
        // Half of the logs run ahead with their files, as real ones do.
        let reserve_bytes = if id.0.is_multiple_of(2) { 0 } else { 1024 };
        Self {
            id,
            incarnation: 0,
            disk: Disk::initialised(identity, reserve_bytes),
            image: None,
            slowness: 1,
            skew: 0,
            busy_until: 0,
            timeout: NEVER,
            attack: None,
            group: None,
            adversary: None,
            colluders: Vec::new(),
            restored: Height(0),
            started: 0,
            applied: Height(0),
            replicas: setup.replicas() as u16,
            participant: None,
            counted: (BTreeMap::new(), 0),
            application,
            fired_before: BTreeMap::new(),
            last_status: ReplicaStatus::default(),
        }
    }

    /// Starts a process from what the disk holds. Gives what it reads.
    ///
    /// # Errors
    /// The disk is not intact, or fails.
    pub(crate) fn start(
        &mut self,
        now: u64,
        setup: &Setup,
        factory: &ApplicationFactory,
        seed: u64,
    ) -> Result<Vec<Record>, DiskError> {
        let config = setup.config(self.id, u64::from(self.incarnation));
        self.application = factory.make();
        let mut recovered = self.disk.recover()?;
        if recovered.records.is_empty() && guards::is_removed(Guard::MarkOfInit) {
            recovered = Recovered::fresh();
        }
        let restorable = Recovered::restorable(&recovered.records);
        self.restored = Height(0);
        if let Some((snapshot, bytes)) = self.disk.states()?.newest(restorable)? {
            let restored = self.application.restore(&mut &bytes[..]);
            restored.map_err(|error| DiskError::Wrong(error.to_string()))?;
            self.restored = snapshot.head.height;
            recovered.snapshot = Some(snapshot);
        }
        self.applied = self.restored;
        let records = recovered.records.clone();
        let replica = Replica::new(self.clock(now), config.clone(), recovered);
        let built = self.attack.as_ref().map(|attack| match &self.group {
            Some(group) => group.join(attack.build()).into(),
            None => attack.build(),
        });
        let adversary = built.or_else(|| self.adversary.take());
        self.participant = Some(match adversary {
            Some(adversary) => {
                let seed = seed ^ u64::from(self.incarnation).rotate_right(16);
                Participant::byzantine(replica, adversary, &config, self.colluders.clone(), seed)
            }
            None => Participant::honest(replica),
        });
        self.incarnation += 1;
        (self.started, self.busy_until) = (now, now);
        self.counted = (BTreeMap::new(), 0);
        Ok(records)
    }

    /// Puts an adversary before the replica, whether it runs now or later.
    pub(crate) fn turn(
        &mut self,
        adversary: Box<dyn Adversary>,
        config: &Config,
        colluders: Vec<(ReplicaId, SecretKey)>,
        seed: u64,
    ) {
        self.colluders.clone_from(&colluders);
        match &mut self.participant {
            Some(participant) => {
                add(&mut self.fired_before, participant);
                participant.attack(adversary, config, colluders, seed);
            }
            None => self.adversary = Some(adversary),
        }
        self.poll_timeout();
    }

    /// Ends the process; with the power, what was not synced is lost.
    pub(crate) fn stop(&mut self, power: Option<&mut Stream>) {
        if let Some(mut participant) = self.participant.take() {
            self.last_status = participant.status();
            add(&mut self.fired_before, &participant);
            self.adversary = participant.repent();
        }
        self.timeout = NEVER;
        // What is in flight carries the old number.
        self.incarnation += 1;
        match power {
            Some(random) => self.disk.crash(random),
            None => self.disk.close(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.participant.is_some()
    }

    pub(crate) fn participant(&mut self) -> Option<&mut Participant> {
        self.participant.as_mut()
    }

    /// Gives the machine an input.
    pub(crate) fn handle(&mut self, now: u64, input: Input) {
        let clock = self.clock(now);
        if let Some(participant) = &mut self.participant {
            participant.handle(clock, input);
        }
    }

    /// Asks the machine when it wants a timeout.
    pub(crate) fn poll_timeout(&mut self) {
        let timeout = self.participant.as_ref().and_then(Participant::poll_timeout);
        self.timeout = timeout.map_or(NEVER, |time| time.0.saturating_sub(EPOCH + self.skew));
    }

    /// The replica's own clock.
    pub(crate) const fn clock(&self, now: u64) -> Time {
        Time(EPOCH + self.skew + now)
    }

    /// What the machine holds because of all others, and in `of_peers` because of each; `None` if it does not run.
    pub(crate) fn held(&self, of_peers: &mut Vec<HeldOfPeer>) -> Option<Held> {
        let machine = self.participant.as_ref()?.machine();
        of_peers.clear();
        of_peers.extend((0..self.replicas).map(|peer| machine.held_of(ReplicaId(peer))));
        Some(machine.held())
    }

    /// How often the attack deviated from the protocol, in all processes.
    pub(crate) fn fired(&self) -> u64 {
        self.fired_before.values().sum::<u64>() + self.participant.as_ref().map_or(0, Participant::fired)
    }

    /// How often the attack of this name did.
    pub(crate) fn fired_of(&self, name: &str) -> u64 {
        let now = self.participant.iter().flat_map(Participant::fired_by_name);
        let now: u64 = now.filter(|(other, _)| *other == name).map(|(_, count)| count).sum();
        now + self.fired_before.get(name).copied().unwrap_or(0)
    }

    /// The deviations since this was asked last, by attack.
    pub(crate) fn newly_fired(&mut self) -> Vec<(&'static str, u64)> {
        let Some(participant) = &self.participant else { return Vec::new() };
        let (counted, sum) = &mut self.counted;
        if std::mem::replace(sum, participant.fired()) == participant.fired() {
            return Vec::new();
        }
        let new = participant.fired_by_name().map(|(attack, fired)| {
            let before = counted.insert(attack, fired).unwrap_or(0);
            (attack, fired.saturating_sub(before))
        });
        new.filter(|(_, new)| *new > 0).collect()
    }

    /// Whether the last action that was polled is a deviation.
    pub(crate) fn is_deviation(&self) -> bool {
        self.participant.as_ref().is_some_and(Participant::is_deviation)
    }

    /// The name of the present attack.
    pub(crate) fn attack_name(&self) -> Option<&'static str> {
        self.participant.as_ref().and_then(Participant::attack_name)
    }

    /// Its attack as text, whether its process runs or not.
    pub(crate) fn attack_text(&self) -> Option<String> {
        let name =
            || self.attack_name().or_else(|| self.adversary.as_ref().map(|adversary| adversary.name()));
        self.attack.as_ref().map(ToString::to_string).or_else(|| name().map(|name| name.replace('_', "-")))
    }

    /// Whether another process ran here before.
    pub(crate) const fn is_restarted(&self) -> bool {
        self.incarnation > 1
    }

    /// Where the replica stands, or stood when its process ended.
    pub(crate) fn status(&self) -> ReplicaStatus {
        self.participant.as_ref().map_or(self.last_status, Participant::status)
    }

    /// Executes a block.
    ///
    /// # Errors
    /// The state machine panicked; the sentence names request and height.
    pub(crate) fn execute(&mut self, execution: &Execution) -> Result<Vec<Outcome>, String> {
        let block = BlockContext { height: execution.height, time: execution.time, digest: execution.block };
        self.applied = execution.height;
        let commands = execution.commands.iter().zip(0..);
        let outcomes = commands.map(|(command, position)| {
            let context = Context::new(block, position, command.session.client, command.number);
            catch(&context, || self.application.apply(&command.command, &context))
        });
        outcomes.collect::<Result<_, _>>().map_err(|panicked| panicked.to_string())
    }

    /// Writes a snapshot.
    ///
    /// # Errors
    /// The disk fails, or the state machine panicked or cannot be written.
    pub(crate) fn write_snapshot(
        &mut self,
        order: &SnapshotOrder,
        configuration: ClusterId,
    ) -> Result<Result<StateHead, DiskError>, String> {
        let mut bytes = Vec::new();
        let written = catch(&"a snapshot", || self.application.freeze().write(&mut bytes));
        written.map_err(|panicked| panicked.to_string())?.map_err(|error| error.to_string())?;
        Ok(self.disk.states().and_then(|states| states.write(order, configuration, &bytes)))
    }

    /// Installs the state that was gathered; gives the session table's bytes.
    ///
    /// # Errors
    /// The disk fails; or, in the inner result, a chunk is missing, or the state machine does not read the state.
    pub(crate) fn install(&mut self, head: &Arc<StateHead>) -> Result<Result<Vec<u8>, String>, DiskError> {
        let Some((application, sessions)) = self.disk.states()?.install(head)? else {
            return Ok(Err("a chunk is missing".to_owned()));
        };
        let restored = self.application.restore(&mut &application[..]);
        self.applied = head.height;
        Ok(restored.map(|()| sessions).map_err(|error| error.to_string()))
    }

    /// A digest of the state.
    ///
    /// # Errors
    /// The state machine panicked, or cannot be written.
    pub(crate) fn state_digest(&mut self) -> Result<Digest, String> {
        replay::digest_of(&mut *self.application)
    }

    /// The application, for tests that look at its state.
    pub(crate) fn application(&self) -> &dyn Application {
        &*self.application
    }
}

fn add(totals: &mut BTreeMap<&'static str, u64>, participant: &Participant) {
    for (name, count) in participant.fired_by_name() {
        *totals.entry(name).or_default() += count;
    }
}

/// The clock of clients, who have no skew.
pub(crate) const fn client_clock(now: u64) -> Time {
    Time(EPOCH + now)
}

/// The simulated time of a client's clock.
pub(crate) const fn from_client_clock(time: Time) -> u64 {
    time.0.saturating_sub(EPOCH)
}
