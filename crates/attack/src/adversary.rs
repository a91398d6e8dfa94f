//! What can a traitor do? It decides on every message of the honest machine behind it, and signs
//! what it likes with the keys that it has.

use quorate_consensus::{Action, Config, Recipients, ReplicaStatus, Timing};
use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{
    ClusterId, Membership, ProtocolParameters, PublicKey, Quorums, ReplicaId, SecretKey, Signature,
    Statement, Time,
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
    pub(crate) fired: &'a mut u64,
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
        if self.delayed.waiting.len() < crate::DELAYED_MAX {
            self.delayed.push(self.now.after(delay), to, message);
        } else {
            self.send(to, message);
        }
    }
    /// Tells a client something.
    pub fn reply(&mut self, client: PublicKey, message: ReplicaMessage) {
        self.out.push_back(Action::Reply(client, message));
    }
    /// Counts a real deviation. An attack that never calls this did not happen.
    pub const fn fired(&mut self) {
        *self.fired += 1;
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

/// Messages that the adversary sends later.
#[derive(Debug, Default)]
pub(crate) struct Delayed {
    waiting: BTreeMap<(Time, u64), (ReplicaId, Message)>,
    /// Keeps messages of one time in order.
    sequence: u64,
}

impl Delayed {
    fn push(&mut self, due: Time, to: ReplicaId, message: Message) {
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
}
