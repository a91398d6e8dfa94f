//! How does the protocol machine meet the world? One task owns it: it takes inputs in batches, gives
//! them to the machine, and performs what the machine wants in the order in which it wants it.
//!
//! The core and the connections share one thread; signatures are checked, records are synced and commands
//! are executed on others. Nothing here waits but for the next input.

use quorate_consensus::{Action, Config, Halt, Input, Peer};
use quorate_store::DataDirectory;
use quorate_transport::Event;
use quorate_types::Rejection;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};

use crate::clock::Clock;
use crate::core::{self, Core};
use crate::dump::{Difference, Dumps};
use crate::evidence::EvidenceBoard;
use crate::executor::{Executor, Work};
use crate::journal::Journal;
use crate::keeper::{Job, Keeper, Read};
use crate::network::Network;
use crate::status::{Status, Tally};
use crate::threads::Done;
use crate::trail::Trail;
use crate::verify::{ToVerify, VerifierPool};

/// What the owner of a replica asks of its driver. The driver stops when nobody can ask any more.
pub(crate) enum Control {
    /// Say how the replica is doing.
    Status(oneshot::Sender<Status>),
    /// Say so as soon as the condition holds.
    WaitFor(Condition, oneshot::Sender<Status>),
    /// Cut a peer off, or let it connect again.
    SetCut(quorate_types::ReplicaId, bool),
    /// Say what it executed lately.
    Trail(oneshot::Sender<Trail>),
    /// Turn traitor, or honest again.
    #[cfg(feature = "lab")]
    Attack(Option<Turn>, oneshot::Sender<()>),
    /// End everything.
    Stop,
}

/// What turns a replica into a traitor.
#[cfg(feature = "lab")]
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) adversary: Box<dyn quorate_attack::Adversary>,
    /// Other traitors whose keys it has.
    pub(crate) colluders: Vec<(quorate_types::ReplicaId, quorate_types::SecretKey)>,
    /// Where all its randomness comes from.
    pub(crate) seed: u64,
}

/// What somebody waits for.
pub(crate) type Condition = Box<dyn Fn(&Status) -> bool + Send>;

/// Where the driver's inputs come from.
pub(crate) struct Sources {
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) done: mpsc::UnboundedReceiver<Done>,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// What the driver works with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) core: Core,
    pub(crate) journal: Journal,
    pub(crate) network: Network,
    pub(crate) verifier: VerifierPool,
    pub(crate) executor: Executor,
    pub(crate) keeper: Keeper,
    pub(crate) evidence: EvidenceBoard,
    /// Where a state that differs is written down, if anything is kept on a disk.
    pub(crate) dumps: Option<Dumps>,
    /// The replica's directory, locked until everything has ended.
    pub(crate) directory: Option<DataDirectory>,
}

/// Drives one replica.
pub(crate) struct Driver {
    parts: Parts,
    tally: Tally,
    trail: Trail,
    waiters: Vec<(Condition, oneshot::Sender<Status>)>,
    to_verify: ToVerify,
    to_execute: Vec<Work>,
    to_keep: Vec<Job>,
    to_read: Vec<Read>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            tally: Tally::default(),
            trail: Trail::default(),
            waiters: Vec::new(),
            to_verify: ToVerify::default(),
            to_execute: Vec::new(),
            to_keep: Vec::new(),
            to_read: Vec::new(),
        }
    }

    /// Runs until it is told to stop; gives the last status.
    pub(crate) async fn run(mut self, mut sources: Sources) -> Status {
        let mut timer = std::pin::pin!(sleep_until(Instant::now().into()));
        let mut events = Vec::with_capacity(EVENTS_PER_BATCH_MAX);
        let mut done = Vec::new();
        // The actions of a replica that goes on from its log come before any input.
        self.perform();
        loop {
            self.set_timer(timer.as_mut());
            tokio::select! {
                biased;
                control = sources.control.recv() => match control {
                    Some(Control::Stop) | None => break,
                    Some(control) => self.on_control(control),
                },
                _ = sources.done.recv_many(&mut done, EVENTS_PER_BATCH_MAX) => {}
                _ = sources.events.recv_many(&mut events, EVENTS_PER_BATCH_MAX) => {}
                () = &mut timer => {}
            }
            // Whatever else came meanwhile belongs to the same batch.
            take_ready(&mut sources.done, &mut done);
            take_ready(&mut sources.events, &mut events);
            self.handle_batch(&mut done, &mut events);
            if self.tally.is_halted() {
                break;
            }
            if !sources.events.is_empty() {
                // Under load the connections get a turn between two batches, so that batches grow.
                tokio::task::yield_now().await;
            }
        }
        if self.tally.is_halted() { self.run_halted(sources).await } else { self.end().await }
    }

    /// A halted replica serves nobody, but tells its owner why.
    async fn run_halted(mut self, sources: Sources) -> Status {
        let Sources { mut control, events, mut done } = sources;
        drop(events);
        self.parts.journal.flush();
        // What left last, its own root among it, may be what the others need to know that they must halt too.
        tokio::time::sleep(LINGER).await;
        self.parts.network.shutdown().await;
        self.tell_waiters();
        loop {
            tokio::select! {
                biased;
                control = control.recv() => match control {
                    Some(Control::Stop) | None => break,
                    Some(control) => self.on_control(control),
                },
                // Only the end of a dump is of interest any more.
                Some(done) = done.recv() => match done {
                    Done::Dumped(written) => self.tally.on_dumped(written),
                    Done::Failed(why) if self.tally.is_dumping() => self.tally.on_dumped(Err(why)),
                    Done::Failed(_) | Done::Inputs(_) | Done::Gathered(_) => {}
                },
            }
            self.tell_waiters();
        }
        self.end().await
    }

    async fn end(self) -> Status {
        let status = Status { is_running: false, ..self.status() };
        self.parts.network.shutdown().await;
        self.parts.verifier.stop();
        self.parts.executor.stop();
        self.parts.keeper.stop();
        self.parts.journal.stop();
        drop(self.parts.directory);
        status
    }

    fn set_timer(&self, mut timer: std::pin::Pin<&mut Sleep>) {
        let machine = self.parts.core.poll_timeout().map(|time| self.parts.clock.instant_of(time));
        // Sockets change what a waiter looks at without telling the driver.
        let waiters = (!self.waiters.is_empty()).then(|| Instant::now() + LOOK_AGAIN);
        let next = machine.into_iter().chain(waiters).min().unwrap_or_else(|| Instant::now() + IDLE);
        if timer.deadline() != next.into() {
            timer.as_mut().reset(next.into());
        }
    }

    fn handle_batch(&mut self, done: &mut Vec<Done>, events: &mut Vec<Event>) {
        let now = self.parts.clock.now();
        for done in done.drain(..) {
            match done {
                Done::Inputs(inputs) => {
                    self.parts.verifier.on_done(&inputs);
                    for input in inputs {
                        if let Input::Snapshot(head) = &input {
                            self.trail.on_state(head.height, head.root());
                            self.to_execute.push(Work::Durable(Arc::clone(head)));
                        }
                        self.parts.core.handle(now, input);
                    }
                }
                Done::Gathered(head) => self.to_execute.push(Work::Restore(head)),
                Done::Dumped(written) => self.tally.on_dumped(written),
                Done::Failed(why) => self.tally.on_halt(why),
            }
        }
        for event in events.drain(..) {
            match self.parts.network.input_of(event) {
                Some(Ok(input)) => self.parts.core.handle(now, input),
                Some(Err((peer, why))) => self.tally.on_rejected(peer, why),
                None => {}
            }
        }
        if self.parts.core.poll_timeout().is_some_and(|time| time <= now) {
            self.parts.core.handle(now, Input::Timeout);
        }
        self.perform();
        self.tell_waiters();
    }

    /// Performs all actions. The records among them go to the log together, and what waits for them
    /// follows once they are durable.
    fn perform(&mut self) {
        loop {
            // What was to be written before a halt still is, and nothing leaves after it.
            while !self.tally.is_halted()
                && let Some(action) = self.parts.core.poll_action()
            {
                self.perform_one(action);
            }
            // First, because a sync takes longest.
            let persisted = match self.parts.journal.hand_over() {
                Ok(persisted) => persisted,
                Err(why) => return self.tally.on_halt(why),
            };
            self.parts.executor.put(&mut self.to_execute);
            self.parts.keeper.put(&mut self.to_keep);
            self.parts.keeper.read(&mut self.to_read);
            let checked = self.parts.verifier.put(&mut self.to_verify);
            if checked.is_empty() && persisted.is_none() {
                return;
            }
            let now = self.parts.clock.now();
            checked.into_iter().chain(persisted).for_each(|input| self.parts.core.handle(now, input));
        }
    }

    fn perform_one(&mut self, action: Action) {
        match action {
            Action::Persist(number, record) => self.parts.journal.append(number, record),
            Action::Send(to, message) => self.parts.network.send(to, &message),
            Action::Verify(peer, value) => self.to_verify.push(peer, value),
            Action::Execute(execution) => {
                self.trail.on_block(execution.height, execution.block);
                self.to_execute.push(Work::Execute(execution));
            }
            Action::TakeSnapshot(order) => self.to_execute.push(Work::Freeze(order)),
            Action::BeginTransfer(head, header) => self.to_keep.push(Job::Begin(head, header)),
            Action::AbandonTransfer => self.to_keep.push(Job::Abandon),
            Action::LookInto(page) => self.to_keep.push(Job::LookInto(page)),
            Action::StoreChunk(id, bytes) => self.to_keep.push(Job::Store(id, bytes)),
            Action::Install(head) => self.to_keep.push(Job::Install(head)),
            Action::ReadChunks(to, digests) => self.to_read.push((to, digests)),
            Action::Certified(certificate) => self.to_keep.push(Job::Certify(certificate)),
            Action::Truncate(number, height) => {
                self.parts.journal.truncate(number);
                self.to_keep.push(Job::RetainFrom(height));
            }
            Action::Reply(client, message) => self.parts.network.reply(&client, &message),
            Action::Report(evidence) => {
                self.tally.on_evidence(evidence.replica);
                self.parts.evidence.add(&evidence);
            }
            Action::Reject(peer, why) => self.reject(peer, why),
            Action::Event(event) => self.tally.on_event(&event),
            Action::Halt(halt) => self.on_halt(&halt),
        }
    }

    /// [K2] A state that differs is written down, behind the command that runs.
    fn on_halt(&mut self, halt: &Halt) {
        self.tally.on_halt(halt.to_string());
        let Some(difference) = Difference::of(halt) else { return };
        self.parts.executor.halt();
        let path = match &self.parts.dumps {
            Some(dumps) => dumps.next(difference.height).map(|path| (dumps.clone(), path)),
            None => Err("this replica keeps nothing on a disk".to_owned()),
        };
        match path {
            Ok((dumps, path)) => {
                self.tally.on_dump(path.clone());
                self.to_execute.push(Work::Dump(difference, dumps, path));
            }
            Err(why) => self.tally.on_dumped(Err(why)),
        }
    }

    fn reject(&mut self, peer: Peer, why: Rejection) {
        self.tally.on_rejected(peer, why);
    }

    fn on_control(&mut self, control: Control) {
        match control {
            // Whoever asked may have gone meanwhile.
            Control::Status(answer) => drop(answer.send(self.status())),
            Control::Trail(answer) => drop(answer.send(self.trail.clone())),
            Control::WaitFor(condition, answer) => self.waiters.push((condition, answer)),
            Control::SetCut(peer, true) => self.parts.network.cut(peer),
            Control::SetCut(peer, false) => self.parts.network.heal(peer),
            #[cfg(feature = "lab")]
            Control::Attack(turn, answer) => {
                self.turn(turn);
                let _ = answer.send(());
            }
            Control::Stop => {}
        }
    }

    #[cfg(feature = "lab")]
    fn turn(&mut self, turn: Option<Turn>) {
        match turn {
            Some(Turn { adversary, colluders, seed }) => {
                tracing::warn!(attack = adversary.name(), seed, "turns traitor");
                self.parts.core.attack(adversary, &self.parts.config, colluders, seed);
            }
            None => drop(self.parts.core.repent()),
        }
    }

    fn tell_waiters(&mut self) {
        if self.waiters.is_empty() {
            return;
        }
        let status = self.status();
        for (condition, answer) in std::mem::take(&mut self.waiters) {
            if answer.is_closed() {
                continue;
            }
            if condition(&status) {
                let _ = answer.send(status.clone());
            } else {
                self.waiters.push((condition, answer));
            }
        }
    }

    fn status(&self) -> Status {
        let mut status = self.tally.status(self.parts.config.id, self.parts.core.status());
        self.parts.network.describe(&mut status);
        status.snapshot = self.parts.keeper.status();
        status.log = self.parts.journal.status();
        if let Some((name, fired)) = core::attack(&self.parts.core) {
            (status.attack, status.attack_fired) = (Some(name.to_owned()), fired);
        }
        status
    }
}

/// What is there already, up to a batch in all.
fn take_ready<T: Receive>(source: &mut T, batch: &mut Vec<T::Item>) {
    while batch.len() < EVENTS_PER_BATCH_MAX {
        let Some(item) = source.try_take() else { return };
        batch.push(item);
    }
}

trait Receive {
    type Item;
    fn try_take(&mut self) -> Option<Self::Item>;
}

impl<T> Receive for mpsc::Receiver<T> {
    type Item = T;
    fn try_take(&mut self) -> Option<T> {
        self.try_recv().ok()
    }
}

impl<T> Receive for mpsc::UnboundedReceiver<T> {
    type Item = T;
    fn try_take(&mut self) -> Option<T> {
        self.try_recv().ok()
    }
}

/// Most events that one batch takes: bounds how long the connections wait for their turn.
const EVENTS_PER_BATCH_MAX: usize = 256;
/// How long the sockets of a replica that halted may still send.
const LINGER: std::time::Duration = std::time::Duration::from_millis(250);
/// How often a condition is looked at again that no input touches.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(20);
/// When to wake up if nothing is due. The machine nearly always names a time.
const IDLE: std::time::Duration = std::time::Duration::from_secs(1);
