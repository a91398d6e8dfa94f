//! How is a replica turned, and turned back? One type that drivers drive like a replica.

use quorate_consensus::{Action, Config, Input, Recipients, Replica, ReplicaStatus};
use quorate_types::message::{Message, Status};
use quorate_types::{Authenticated, ReplicaId, SecretKey, Time};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx, Delayed, Fired, Verdict};

/// Most messages that an adversary holds back at a time.
pub const DELAYED_MAX: usize = 4096;

/// A replica, honest or not, with the four methods of [`Replica`]: give inputs, drain the
/// actions after each, and give [`Input::Timeout`] at the time that is polled.
#[derive(Debug)]
pub struct Participant {
    replica: Box<Replica>,
    byzantine: Option<Box<Byzantine>>,
    /// What the adversary wants done; drained before the machine is asked again.
    out: VecDeque<Action>,
    /// The time of the last input.
    now: Time,
}

/// What stands between a traitor's honest machine and the world.
#[derive(Debug)]
pub(crate) struct Byzantine {
    adversary: Box<dyn Adversary>,
    config: Config,
    colluders: Vec<(ReplicaId, SecretKey)>,
    random: ChaCha8Rng,
    delayed: Delayed,
    /// What the adversary wants the honest machine to hear.
    inputs: VecDeque<Input>,
    pub(crate) fired: u64,
    fired_by: Fired,
}

impl Participant {
    /// An honest replica.
    #[must_use]
    pub fn honest(replica: Replica) -> Self {
        Self { replica: Box::new(replica), byzantine: None, out: VecDeque::new(), now: Time(0) }
    }

    /// A replica that lies from the start. `config` is the one that the replica was made of;
    /// `colluders` are other traitors whose keys it has; all its randomness comes from `seed`.
    #[must_use]
    pub fn byzantine(
        replica: Replica,
        adversary: impl Into<Box<dyn Adversary>>,
        config: &Config,
        colluders: Vec<(ReplicaId, SecretKey)>,
        seed: u64,
    ) -> Self {
        let mut participant = Self::honest(replica);
        participant.attack(adversary, config, colluders, seed);
        participant
    }

    /// Turns the running replica into a traitor, or gives a traitor another attack. What the
    /// last adversary held back is lost.
    pub fn attack(
        &mut self,
        adversary: impl Into<Box<dyn Adversary>>,
        config: &Config,
        colluders: Vec<(ReplicaId, SecretKey)>,
        seed: u64,
    ) {
        self.byzantine = Some(Box::new(Byzantine::new(adversary.into(), config, colluders, seed)));
    }

    /// Makes the replica honest again. What the adversary held back is lost.
    pub fn repent(&mut self) {
        self.byzantine = None;
    }

    /// Takes one input. Infallible, as [`Replica::handle`].
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        let Some(byzantine) = &mut self.byzantine else {
            return self.replica.handle(now, input);
        };
        let machine = (self.replica.status(), self.replica.poll_timeout());
        let Some(input) = byzantine.excuse(input) else { return };
        if byzantine.take(now, machine, &mut self.out, &input) {
            self.replica.handle(now, input);
        }
    }

    /// The next thing to do; call until it gives `None` after every input.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.out.pop_front() {
                return Some(action);
            }
            let Some(byzantine) = &mut self.byzantine else { return self.replica.poll_action() };
            if let Some(action) = self.replica.poll_action() {
                byzantine.pass(self.now, self.replica.status(), &mut self.out, action);
            } else {
                self.replica.handle(self.now, byzantine.inputs.pop_front()?);
            }
        }
    }

    /// When to give [`Input::Timeout`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let traitors = self.byzantine.as_ref().and_then(|byzantine| byzantine.poll_timeout());
        self.replica.poll_timeout().into_iter().chain(traitors).min()
    }

    /// Where the machine stands.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.replica.status()
    }
    /// Whether an adversary stands before the machine.
    #[must_use]
    pub const fn is_byzantine(&self) -> bool {
        self.byzantine.is_some()
    }
    /// How often the present attack really deviated from the protocol.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.byzantine.as_ref().map_or(0, |byzantine| byzantine.fired)
    }
    /// The same for each of the attacks that are combined in it, by their names. One that has not
    /// deviated is missing.
    pub fn fired_by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let fired = self.byzantine.iter().flat_map(|byzantine| &byzantine.fired_by);
        fired.map(|(name, count)| (*name, *count))
    }
    /// The name of the present attack.
    #[must_use]
    pub fn attack_name(&self) -> Option<&'static str> {
        self.byzantine.as_ref().map(|byzantine| byzantine.adversary.name())
    }
}

impl Byzantine {
    pub(crate) fn new(
        adversary: Box<dyn Adversary>,
        config: &Config,
        colluders: Vec<(ReplicaId, SecretKey)>,
        seed: u64,
    ) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // Traitors of one seed still draw different numbers.
        random.set_stream(u64::from(config.id.0));
        Self {
            adversary,
            config: config.clone(),
            colluders,
            random,
            delayed: Delayed::new(DELAYED_MAX),
            inputs: VecDeque::new(),
            fired: 0,
            fired_by: Fired::new(),
        }
    }

    /// What the adversary signed behind the machine's back would make the machine believe that its disk was rolled
    /// back, and fall silent: it hears nothing of that.
    fn excuse(&self, input: Input) -> Option<Input> {
        let Input::Message(message) = input else { return Some(input) };
        let (from, message) = message.into_parts();
        let message = match message {
            Message::Evidence(evidence) if evidence.replica == self.config.id => return None,
            Message::Status(status) => Message::Status(Status { seen: None, ..status }),
            other => other,
        };
        Some(Input::Message(Authenticated::from_channel(from, message)))
    }

    /// Lets the adversary act on an input; says whether the machine gets it. `due` is when the
    /// machine's own time comes.
    pub(crate) fn take(
        &mut self,
        now: Time,
        (status, due): (ReplicaStatus, Option<Time>),
        out: &mut VecDeque<Action>,
        input: &Input,
    ) -> bool {
        let is_due = self.poll_timeout().is_some_and(|due| due <= now);
        while let Some((to, message)) = self.delayed.pop(now) {
            out.push_back(Action::Send(Recipients::One(to), message));
        }
        if self.adversary.poll_timeout().is_some_and(|due| due <= now) {
            self.act(now, status, out, |adversary, cx| adversary.on_timeout(cx));
        }
        match input {
            // The driver cannot know whose time has come.
            Input::Timeout => !is_due || due.is_some_and(|due| due <= now),
            Input::Message(message) => {
                let (from, message) = (message.sender(), message.value());
                let receive = |adversary: &mut dyn Adversary, cx: &mut Cx<'_>| {
                    adversary.on_receive(cx, from, message) == Verdict::Deliver
                };
                self.act(now, status, out, receive)
            }
            _ => true,
        }
    }

    /// Lets the adversary act on an action of the machine.
    pub(crate) fn pass(
        &mut self,
        now: Time,
        status: ReplicaStatus,
        out: &mut VecDeque<Action>,
        action: Action,
    ) {
        match action {
            Action::Send(Recipients::One(to), message) => {
                self.act(now, status, out, |adversary, cx| adversary.on_send(cx, to, message));
            }
            Action::Send(Recipients::All, message) => {
                let before = out.len();
                self.act(now, status, out, |adversary, cx| {
                    for to in cx.others() {
                        adversary.on_send(cx, to, message.clone());
                    }
                });
                self.join_broadcast(out, before, message);
            }
            Action::Reply(client, message) => {
                self.act(now, status, out, |adversary, cx| adversary.on_reply(cx, client, message));
            }
            other => out.push_back(other),
        }
    }

    /// A broadcast that passed unchanged stays one action: an adversary that does nothing leaves
    /// no trace, and the driver encodes the message once.
    fn join_broadcast(&self, out: &mut VecDeque<Action>, before: usize, message: Message) {
        let membership = &self.config.membership;
        let others = membership.replicas().filter(|replica| *replica != self.config.id);
        let is_unchanged = out.len() - before == membership.quorums().n() - 1
            && out.iter().skip(before).zip(others).all(|(action, other)| {
                matches!(action, Action::Send(Recipients::One(to), sent) if *to == other && *sent == message)
            });
        if is_unchanged {
            out.truncate(before);
            out.push_back(Action::Send(Recipients::All, message));
        }
    }

    fn act<R>(
        &mut self,
        now: Time,
        status: ReplicaStatus,
        out: &mut VecDeque<Action>,
        act: impl FnOnce(&mut dyn Adversary, &mut Cx<'_>) -> R,
    ) -> R {
        let mut cx = Cx {
            now,
            status,
            config: &self.config,
            colluders: &self.colluders,
            random: &mut self.random,
            out,
            delayed: &mut self.delayed,
            inputs: &mut self.inputs,
            fired: &mut self.fired_by,
            name: self.adversary.name(),
        };
        let result = act(&mut *self.adversary, &mut cx);
        self.fired = self.fired_by.values().sum();
        result
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.delayed.due().into_iter().chain(self.adversary.poll_timeout()).min()
    }
}
