//! What moves a client? One task that owns the client's protocol machine and its connections.

use bytes::Bytes;
use quorate_consensus::client::{
    Client as Machine, ClientAction, ClientConfig, ClientError, ClientInput, Completed, RequestId, Ticket,
};
use quorate_transport::{ClientEndpoint, Config, Event, Remote};
use quorate_types::message::{ClientMessage, ReplicaMessage};
use quorate_types::{Authenticated, Genesis, Membership, SecretKey};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Sleep, sleep_until};

use crate::Result;
use crate::client::{ClientOptions, ClientStats, WINDOW_MAX};
use crate::clock::Clock;
use crate::network::{from_transport, to_transport};

/// A command on its way to the driver.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) ticket: Ticket,
    pub(crate) work: Work,
    pub(crate) done: oneshot::Sender<Result<Completed, ClientError>>,
}

/// What is to be done with a command.
#[derive(Debug)]
pub(crate) enum Work {
    Submit(Bytes),
    Retry(RequestId, Bytes),
}

/// Where the driver's inputs come from, and where it tells how it goes.
pub(crate) struct Sources {
    pub(crate) submitted: mpsc::Receiver<Submission>,
    pub(crate) cancels: mpsc::UnboundedReceiver<Ticket>,
    pub(crate) stats: watch::Sender<ClientStats>,
    pub(crate) ending: Ending,
}

/// Says that the driver has ended, however it did.
pub(crate) struct Ending(pub(crate) watch::Sender<bool>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Starts the driver on the current runtime. It ends when no handle is left.
pub(crate) fn spawn(
    membership: &Membership,
    genesis: &Genesis,
    members: &[Remote],
    key: SecretKey,
    options: &ClientOptions,
    sources: Sources,
) -> Result {
    let (events_sender, events) = mpsc::channel(EVENTS_MAX);
    let endpoint = ClientEndpoint::start(&key, members, Config::clients(), events_sender)?;
    let clock = Clock::start();
    let config = ClientConfig {
        key,
        cluster: membership.cluster(),
        epoch: membership.epoch(),
        quorums: membership.quorums(),
        nonce: rand::random(),
        parameters: genesis.protocol.clone(),
        retry_min: options.retry_min,
        deadline: options.deadline,
        window: options.window.clamp(1, WINDOW_MAX),
        bundle_max: options.bundle_max.clamp(1, WINDOW_MAX),
    };
    let waiting_max = config.window * WAITING_PER_WINDOW;
    let machine = Machine::new(clock.now(), config);
    let stats = ClientStats::default();
    let driver = Driver {
        clock,
        machine,
        endpoint,
        waiting: BTreeMap::new(),
        waiting_max,
        groups: BTreeSet::new(),
        next_group: 0,
        last_group: 0,
        stats,
        last_bundle: Bytes::new(),
    };
    tokio::spawn(driver.run(sources, events));
    Ok(())
}

struct Waiting {
    group: u64,
    done: oneshot::Sender<Result<Completed, ClientError>>,
}

struct Driver {
    clock: Clock,
    machine: Machine,
    endpoint: ClientEndpoint,
    /// Who waits for which submission, and with which others that was handed over.
    waiting: BTreeMap<Ticket, Waiting>,
    waiting_max: usize,
    /// Groups of submissions none of which has ended yet.
    groups: BTreeSet<u64>,
    next_group: u64,
    /// How many submissions the last group had.
    last_group: usize,
    stats: ClientStats,
    /// The bundle that was sent last, to tell new signatures from repeats to other replicas.
    last_bundle: Bytes,
}

impl Driver {
    async fn run(mut self, mut sources: Sources, mut events: mpsc::Receiver<Event>) {
        let mut timer = std::pin::pin!(sleep_until(Instant::now().into()));
        let mut submissions = Vec::new();
        let mut received = Vec::new();
        self.perform();
        loop {
            self.set_timer(timer.as_mut());
            let room = self.room();
            tokio::select! {
                biased;
                count = sources.submitted.recv_many(&mut submissions, room), if room > 0 => {
                    if count == 0 { break }
                }
                _ = events.recv_many(&mut received, EVENTS_MAX) => {}
                Some(ticket) = sources.cancels.recv() => self.cancel(ticket),
                () = &mut timer => {}
            }
            while let Ok(event) = events.try_recv() {
                received.push(event);
            }
            let completed_before = self.stats.completed;
            self.handle_batch(&mut submissions, &mut received);
            sources.stats.send_replace(self.stats);
            gather(self.stats.completed - completed_before, &sources.submitted).await;
        }
        self.endpoint.shutdown().await;
        drop(sources.ending);
    }

    /// How many submissions to take now. While groups are under way the next one gathers, so that a
    /// busy client signs seldom: one signature costs as much as many requests. A client with little
    /// to do does not wait.
    fn room(&self) -> usize {
        let groups_max = if self.last_group >= GROUP_IS_LARGE { 1 } else { GROUPS_MAX };
        if self.groups.len() >= groups_max {
            return 0;
        }
        self.waiting_max.saturating_sub(self.waiting.len())
    }

    fn set_timer(&self, mut timer: std::pin::Pin<&mut Sleep>) {
        let next = self.machine.poll_timeout().map(|time| self.clock.instant_of(time));
        let next = next.unwrap_or_else(|| Instant::now() + IDLE);
        if timer.deadline() != next.into() {
            timer.as_mut().reset(next.into());
        }
    }

    fn handle_batch(&mut self, submissions: &mut Vec<Submission>, events: &mut Vec<Event>) {
        let now = self.clock.now();
        for event in events.drain(..) {
            if let Some(input) = self.input_of(event) {
                self.machine.handle(now, input);
            }
        }
        // After what arrived: replies make room for what is submitted.
        if !submissions.is_empty() {
            self.next_group += 1;
            self.groups.insert(self.next_group);
            self.last_group = submissions.len();
        }
        for Submission { ticket, work, done } in submissions.drain(..) {
            self.stats.submitted += 1;
            self.waiting.insert(ticket, Waiting { group: self.next_group, done });
            self.machine.handle(
                now,
                match work {
                    Work::Submit(command) => ClientInput::Submit(ticket, command),
                    Work::Retry(id, command) => ClientInput::Retry(ticket, id, command),
                },
            );
        }
        if self.machine.poll_timeout().is_some_and(|time| time <= now) {
            self.machine.handle(now, ClientInput::Timeout);
        }
        self.perform();
    }

    fn input_of(&mut self, event: Event) -> Option<ClientInput> {
        match event {
            Event::Connected { peer } => Some(ClientInput::Connected(peer)),
            Event::Disconnected { peer, ending } => {
                tracing::debug!(%peer, %ending, "disconnected from a replica");
                Some(ClientInput::Disconnected(peer))
            }
            Event::Frame { peer, frame, permit: _ } => match ReplicaMessage::decode(&from_transport(frame)) {
                Ok(message) => Some(ClientInput::Message(Authenticated::from_channel(peer, message))),
                Err(why) => {
                    self.reject(peer, why);
                    None
                }
            },
            // A client's sockets have no clients.
            Event::ClientConnected { .. } | Event::ClientFrame { .. } | Event::ClientDisconnected { .. } => {
                None
            }
        }
    }

    fn cancel(&mut self, ticket: Ticket) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            self.groups.remove(&waiting.group);
            self.machine.handle(self.clock.now(), ClientInput::Cancel(ticket));
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                ClientAction::Send(replica, message) => {
                    self.count_signature(&message);
                    // What is not sent is sent again after a timeout.
                    let _ = self.endpoint.send(replica, to_transport(message.encode()));
                }
                ClientAction::Done(ticket, result) => {
                    self.stats.completed += u64::from(result.is_ok());
                    if let Some(waiting) = self.waiting.remove(&ticket) {
                        self.groups.remove(&waiting.group);
                        // Whoever waited may have gone meanwhile.
                        let _ = waiting.done.send(result);
                    }
                }
                ClientAction::Reject(replica, why) => self.reject(replica, why),
            }
        }
    }

    /// A bundle sent to several replicas is one piece of memory.
    fn count_signature(&mut self, message: &ClientMessage) {
        let ClientMessage::Request(bundle) = message else { return };
        if bundle.as_ptr() != self.last_bundle.as_ptr() {
            self.stats.signatures += 1;
            self.last_bundle = bundle.clone();
        }
    }

    fn reject(&mut self, replica: quorate_types::ReplicaId, why: quorate_types::Rejection) {
        tracing::debug!(%replica, %why, "rejected a replica's message");
        self.stats.rejections += 1;
    }
}

/// Lets those who got replies have a turn: most submit again at once, and then share a signature.
async fn gather(replies: u64, submitted: &mpsc::Receiver<Submission>) {
    for _ in 0..GATHER_TURNS_MAX {
        if submitted.len() as u64 >= replies {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Turns of the other tasks that the driver waits for submissions.
const GATHER_TURNS_MAX: u32 = 32;
/// Most frames and connections that wait for the driver.
const EVENTS_MAX: usize = 1024;
/// Submissions that the machine holds, for each that may be in flight.
const WAITING_PER_WINDOW: usize = 4;
/// Groups of submissions under way, beyond which the next ones gather.
const GROUPS_MAX: usize = 4;
/// A group of this many is worth waiting for.
const GROUP_IS_LARGE: usize = 16;
/// When to wake up if nothing is due.
const IDLE: Duration = Duration::from_secs(1);
