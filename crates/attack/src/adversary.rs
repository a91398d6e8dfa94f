//! What can a traitor do? It decides on every message of the honest machine behind it, and signs
//! what it likes with the keys that it has.

use bytes::Bytes;
use quorate_consensus::{Action, Config, Input, Recipients, ReplicaStatus, Timing};
use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{
    ClusterId, Membership, ProtocolParameters, PublicKey, Quorums, ReplicaId, SecretKey, Signature,
    Statement, Time, View,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A deviation from the protocol. Every method's default is honest.
pub trait Adversary: Send + std::fmt::Debug {
    /// The attack's name: a verb phrase in snake case, the same everywhere.
    fn name(&self) -> &'static str;

    /// The honest machine wants to send `message` to one replica; a broadcast comes here once for
    /// each other replica, in the order of their numbers. What is not sent is lost.
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        cx.send(to, message);
    }

    /// A message arrived; says whether the honest machine sees it.
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let _ = (cx, from, message);
        Verdict::Deliver
    }

    /// The honest machine wants to tell a client something.
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        cx.reply(client, message);
    }

    /// The time that [`Self::poll_timeout`] named has come. Afterwards it must name a later one.
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let _ = cx;
    }

    /// When to call [`Self::on_timeout`].
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// What a driver must give it. Its own key alone, if it does not say otherwise.
    fn needs(&self) -> Needs {
        Needs::OWN_KEY
    }

    /// Whether it stops of itself, seen from this view of the honest machine; see [`crate::Combine::then`].
    fn end(&self, view: View) -> End {
        let _ = view;
        End::Never
    }
}

/// Whether an attack stops of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on for as long as the replica runs.
    Never,
    /// It will, but has not yet.
    Later,
    /// It has: from here on the replica is honest.
    Reached,
}

/// What an attack needs of whoever runs it, beside the key of the replica that it turns.
///
/// A driver that cannot give it refuses the attack and says so with [`Needs`]' `Display`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The keys of other traitors, in the same process.
    pub colluders: bool,
    /// The replica's disk, to write what the replica did not.
    pub disk: bool,
    /// That the replica is primary now and then: it does not deviate before.
    pub primary: bool,
}

impl Needs {
    /// Nothing but the replica's own key.
    pub const OWN_KEY: Self = Self { colluders: false, disk: false, primary: false };

    /// What either needs.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            colluders: self.colluders || other.colluders,
            disk: self.disk || other.disk,
            primary: self.primary || other.primary,
        }
    }
}

impl std::fmt::Display for Needs {
    /// As a list of nouns: `its own key, to be primary`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its own key")?;
        let more = [
            (self.colluders, ", the keys of other replicas in one process"),
            (self.disk, ", a disk"),
            (self.primary, ", to be primary"),
        ];
        more.into_iter().filter(|(is_needed, _)| *is_needed).try_for_each(|(_, noun)| f.write_str(noun))
    }
}

/// Whether the honest machine sees a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Deliver,
    /// It does not, as if the network had lost it.
    Drop,
}

/// What an adversary knows and can do while it decides.
#[derive(Debug)]
pub struct Cx<'a> {
    pub(crate) now: Time,
    pub(crate) status: ReplicaStatus,
    pub(crate) config: &'a Config,
    pub(crate) colluders: &'a [(ReplicaId, SecretKey)],
    pub(crate) random: &'a mut ChaCha8Rng,
    pub(crate) out: &'a mut VecDeque<Action>,
    pub(crate) delayed: &'a mut Delayed,
    /// What the honest machine shall hear besides.
    pub(crate) inputs: &'a mut VecDeque<Input>,
    pub(crate) fired: &'a mut Fired,
    /// The name of the adversary that acts.
    pub(crate) name: &'static str,
}

impl Cx<'_> {
    /// The driver's clock.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }
    /// The traitor's own number.
    #[must_use]
    pub const fn id(&self) -> ReplicaId {
        self.config.id
    }
    /// Where the honest machine stands.
    #[must_use]
    pub const fn status(&self) -> &ReplicaStatus {
        &self.status
    }
    /// The epoch's replicas.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.config.membership
    }
    /// The cluster's thresholds.
    #[must_use]
    pub fn quorums(&self) -> Quorums {
        self.config.membership.quorums()
    }
    /// The timing of the honest machine.
    #[must_use]
    pub const fn timing(&self) -> &Timing {
        &self.config.timing
    }
    /// The parameters that are equal everywhere.
    #[must_use]
    pub const fn parameters(&self) -> &ProtocolParameters {
        &self.config.parameters
    }
    /// Every other replica, in the order of their numbers.
    #[must_use]
    pub fn others(&self) -> Vec<ReplicaId> {
        self.config.membership.replicas().filter(|replica| *replica != self.config.id).collect()
    }

    /// The replicas in whose names it can sign: itself and its colluders, in the order of their numbers.
    #[must_use]
    pub fn traitors(&self) -> Vec<ReplicaId> {
        let mut traitors: Vec<ReplicaId> = self.colluders.iter().map(|(colluder, _)| *colluder).collect();
        traitors.push(self.config.id);
        traitors.sort_unstable();
        traitors
    }

    /// Sends a message after those that were sent before.
    pub fn send(&mut self, to: ReplicaId, message: Message) {
        self.out.push_back(Action::Send(Recipients::One(to), message));
    }
    /// Sends a message later. At once, if [`crate::DELAYED_MAX`] messages wait already.
    pub fn send_after(&mut self, delay: Duration, to: ReplicaId, message: Message) {
        self.send_at(self.now.after(delay), to, message);
    }
    pub(crate) fn send_at(&mut self, due: Time, to: ReplicaId, message: Message) {
        if self.delayed.room() > 0 {
            self.delayed.push(due, to, message);
        } else {
            self.send(to, message);
        }
    }
    /// Tells a client something.
    pub fn reply(&mut self, client: PublicKey, message: ReplicaMessage) {
        self.out.push_back(Action::Reply(client, message));
    }
    /// Gives the honest machine a client's signed bundle, as if that client had sent it: as primary
    /// it orders it, as backup it passes it on (rules R1, R2).
    pub fn request(&mut self, client: PublicKey, bundle: Bytes) {
        self.inputs.push_back(Input::Request(client, bundle));
    }
    /// Counts a real deviation. An attack that never calls this did not happen.
    pub fn fired(&mut self) {
        *self.fired.entry(self.name).or_default() += 1;
    }

    /// Signs with the traitor's own key.
    #[must_use]
    pub fn sign(&self, statement: &Statement) -> Signature {
        statement.sign(&self.config.key, &self.config.membership.cluster())
    }
    /// Signs with the traitor's own key what is said in another cluster.
    #[must_use]
    pub fn sign_elsewhere(&self, cluster: &ClusterId, statement: &Statement) -> Signature {
        statement.sign(&self.config.key, cluster)
    }
    /// Signs with the key of this replica or of a colluder; `None` for everybody else.
    #[must_use]
    pub fn sign_as(&self, replica: ReplicaId, statement: &Statement) -> Option<Signature> {
        if replica == self.config.id {
            return Some(self.sign(statement));
        }
        let (_, key) = self.colluders.iter().find(|(colluder, _)| *colluder == replica)?;
        Some(statement.sign(key, &self.config.membership.cluster()))
    }

    /// A number below `end`, from the adversary's own stream; 0 if `end` is 0.
    pub fn draw(&mut self, end: u64) -> u64 {
        // The bias of the remainder is far below anything that an attack could notice.
        self.random.next_u64().checked_rem(end).unwrap_or(0)
    }
    /// Whether something that happens this often in a hundred happens now.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw(100) < percent
    }
    /// `count` of the other replicas, drawn at random, in the order of their numbers.
    pub fn draw_others(&mut self, count: usize) -> Vec<ReplicaId> {
        let mut others = self.others();
        while others.len() > count {
            let position = self.draw(others.len() as u64);
            others.remove(usize::try_from(position).unwrap_or(0));
        }
        others
    }
}

/// How often each adversary deviated, by its name.
pub(crate) type Fired = BTreeMap<&'static str, u64>;

/// Messages that the adversary sends later.
#[derive(Debug)]
pub(crate) struct Delayed {
    waiting: BTreeMap<(Time, u64), (ReplicaId, Message)>,
    /// Keeps messages of one time in order.
    sequence: u64,
    count_max: usize,
}

impl Delayed {
    pub(crate) const fn new(count_max: usize) -> Self {
        Self { waiting: BTreeMap::new(), sequence: 0, count_max }
    }
    /// How many more can wait.
    pub(crate) fn room(&self) -> usize {
        self.count_max - self.waiting.len()
    }
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
    /// Forgets those that are for others.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(ReplicaId) -> bool) {
        self.waiting.retain(|_, (to, _)| is_kept(*to));
    }
    pub(crate) fn push(&mut self, due: Time, to: ReplicaId, message: Message) {
        self.sequence += 1;
        self.waiting.insert((due, self.sequence), (to, message));
    }
    pub(crate) fn due(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }
    pub(crate) fn pop(&mut self, now: Time) -> Option<(ReplicaId, Message)> {
        let entry = self.waiting.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
    /// All of them with their times, in order.
    pub(crate) fn into_all(self) -> impl Iterator<Item = (Time, ReplicaId, Message)> {
        self.waiting.into_iter().map(|((due, _), (to, message))| (due, to, message))
    }
}
