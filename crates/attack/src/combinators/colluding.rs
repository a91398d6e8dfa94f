//! `colluding`: traitors that tell each other everything.

use quorate_consensus::Input;
use quorate_types::message::{Message, ReplicaMessage};
use quorate_types::{PublicKey, ReplicaId, Time, View};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::adversary::{Adversary, Cx, End, Needs, Verdict};

/// Most messages that a group keeps for those of its members that have not heard of them yet.
pub const KNOWLEDGE_MAX: usize = 256;

/// Gives each of these replicas an attack, and all of them what any of them receives: see [`Group`].
///
/// Whoever turns the replicas gives each the keys of the others, which is what
/// [`Needs::colluders`] asks for; [`Cx::sign_as`] then signs for every member.
///
/// ```
/// use quorate_attack::{Combine as _, colluding, replay, views};
///
/// for (replica, adversary) in colluding([1, 4], || replay().during(views(3..6))) {
///     println!("replica {} needs {}", replica.0, adversary.needs());
/// }
/// ```
pub fn colluding<A: Into<Box<dyn Adversary>>>(
    members: impl IntoIterator<Item = u16>,
    mut attack: impl FnMut() -> A,
) -> Vec<(ReplicaId, Box<dyn Adversary>)> {
    let group = Group::default();
    members.into_iter().map(|member| (ReplicaId(member), group.join(attack()).into())).collect()
}

/// Traitors in one process that share their knowledge.
///
/// Before a member's attack sees its next event, it receives what reached the other members since,
/// in the order in which it arrived and each message once. Its verdict on those has no effect, as
/// they were not for its own machine. A member that was away hears of the last [`KNOWLEDGE_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Group(Arc<Mutex<Knowledge>>);

#[derive(Debug, Default)]
struct Knowledge {
    members: u64,
    heard: VecDeque<Heard>,
    /// How many messages there were before those in `heard`.
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Heard {
    member: u64,
    from: ReplicaId,
    message: Message,
}

impl Group {
    /// Makes an attack one of a member.
    #[must_use]
    pub fn join(&self, attack: impl Into<Box<dyn Adversary>>) -> Colluder {
        let mut knowledge = self.lock();
        knowledge.members += 1;
        let member = knowledge.members;
        drop(knowledge);
        Colluder { inner: attack.into(), group: self.clone(), member, next: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Knowledge> {
        // Whoever panicked while it held the lock left a whole list behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Knowledge {
    fn add(&mut self, heard: Heard) {
        // Most messages go to all.
        if self.heard.iter().any(|known| known.from == heard.from && known.message == heard.message) {
            return;
        }
        if self.heard.len() == KNOWLEDGE_MAX {
            self.heard.pop_front();
            self.forgotten += 1;
        }
        self.heard.push_back(heard);
    }

    /// What other members heard from the `next`-th message on.
    fn since(&self, next: u64, member: u64) -> Vec<Heard> {
        let known = usize::try_from(next.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        self.heard.iter().skip(known).filter(|heard| heard.member != member).cloned().collect()
    }

    fn end(&self) -> u64 {
        self.forgotten + self.heard.len() as u64
    }
}

/// The attack of one member of a [`Group`].
#[derive(Debug)]
pub struct Colluder {
    inner: Box<dyn Adversary>,
    group: Group,
    member: u64,
    /// How many of the group's messages it heard of.
    next: u64,
}

impl Colluder {
    fn act<R>(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R) -> R {
        let knowledge = self.group.lock();
        let news = knowledge.since(self.next, self.member);
        self.next = knowledge.end();
        drop(knowledge);
        cx.pass_to(&mut *self.inner, |inner, cx| {
            let own = cx.id();
            for heard in news.into_iter().filter(|heard| heard.from != own) {
                let _ = inner.on_receive(cx, heard.from, &heard.message);
            }
            act(inner, cx)
        })
    }
}

impl Adversary for Colluder {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.act(cx, |inner, cx| inner.on_send(cx, to, message));
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let verdict = self.act(cx, |inner, cx| inner.on_receive(cx, from, message));
        self.group.lock().add(Heard { member: self.member, from, message: message.clone() });
        verdict
    }
    fn on_input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        self.act(cx, |inner, cx| inner.on_input(cx, input));
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        self.act(cx, |inner, cx| inner.on_reply(cx, client, message));
    }
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.act(cx, |inner, cx| inner.on_timeout(cx));
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.inner.poll_timeout()
    }
    fn needs(&self) -> Needs {
        self.inner.needs().union(Needs { colluders: true, ..Needs::OWN_KEY })
    }
    fn end(&self, view: View) -> End {
        self.inner.end(view)
    }
}
