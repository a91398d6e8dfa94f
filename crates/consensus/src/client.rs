//! How does a client get one agreed answer from replicas of which some lie? The client's machine
//! (rules R1, R2, R3, R5): pure, like the replica's.
//!
//! Reading order: this file is the boundary and dispatches; `sending` gives numbers to what was
//! submitted, signs and retransmits it; `replies` decides what the replicas' answers mean.
//! `contacts` alone counts replicas.

mod contacts;
mod error;
mod pace;
mod replies;
mod request;
mod sending;

pub use error::{ClientError, RequestId, Why};

use bytes::Bytes;
use quorate_types::message::{ClientMessage, ReplicaMessage};
use quorate_types::{
    Authenticated, ClusterId, Digest, Epoch, Height, ProtocolParameters, Quorums, Rejection, ReplicaId,
    RequestNumber, SecretKey, SessionId, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use contacts::Contacts;
use pace::Pace;
use request::{Flight, Request, Submission};

/// Most submissions that wait to be sent, retries included.
pub const QUEUE_MAX: usize = 4096;
/// Most retries in flight at a time, and most callers that wait for one request.
pub const RETRIES_IN_FLIGHT_MAX: usize = 64;
/// How many former sessions are remembered, so that late replies to them are told from strange ones.
const FORMER_SESSIONS_MAX: usize = 16;

/// Names a submission to the driver that made it; the driver uses each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Identity and settings of one client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client's key.
    pub key: SecretKey,
    /// The cluster.
    pub cluster: ClusterId,
    /// The epoch.
    pub epoch: Epoch,
    /// The cluster's thresholds.
    pub quorums: Quorums,
    /// Tells apart sessions of one key born at one time; drawn at random by the driver.
    pub nonce: u64,
    /// The parameters of genesis.
    pub parameters: ProtocolParameters,
    /// Before a request goes to all replicas; grows with measured round trips.
    pub retry_min: Duration,
    /// After which the answer is [`ClientError::Unknown`], or [`ClientError::NoQuorum`] if nothing
    /// was sent.
    pub deadline: Duration,
    /// Most requests in flight, 1 to 64.
    pub window: usize,
    /// Most requests under one signature, 1 to 64.
    pub bundle_max: usize,
}

/// What happens to a client.
#[derive(Clone, Debug)]
pub enum ClientInput {
    /// Submit a command under a new number.
    Submit(Ticket, Bytes),
    /// Submit again what was submitted under this id before.
    Retry(Ticket, RequestId, Bytes),
    /// Nobody waits for this submission any more; the session stays healthy.
    Cancel(Ticket),
    /// A connection with this replica stands.
    Connected(ReplicaId),
    /// The connection with this replica ended.
    Disconnected(ReplicaId),
    /// A replica's message arrived.
    Message(Authenticated<ReplicaMessage>),
    /// The time that `poll_timeout` named has come.
    Timeout,
}

/// What a client wants done.
#[derive(Clone, Debug)]
pub enum ClientAction {
    /// Send to this replica.
    Send(ReplicaId, ClientMessage),
    /// A submission ended.
    Done(Ticket, Result<Completed, ClientError>),
    /// A replica's message was refused: count it.
    Reject(ReplicaId, Rejection),
}

/// W replicas report the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The request's id.
    pub id: RequestId,
    /// The height of its block.
    pub height: Height,
    /// The state machine's reply.
    pub reply: Vec<u8>,
}

/// The machine of one client, which is one key with one session at a time.
///
/// Give it inputs with [`Self::handle`], then perform what [`Self::poll_action`] gives until that is
/// `None`, then wait for the next input or [`Self::poll_timeout`]. What was submitted between two
/// polls shares signatures, so a driver that takes all waiting submissions before it polls is the
/// fastest. Every submission ends in exactly one [`ClientAction::Done`], unless it is cancelled.
/// Neither replicas nor callers can make it fail or hold unbounded state.
///
/// Requests of one client are concurrent: they may run in any order.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    now: Time,
    contacts: Contacts,
    pace: Pace,
    session: Option<Session>,
    /// The nonce of the next session.
    nonce: u64,
    /// When to ask again for the clocks that the next session is born from.
    hello_at: Option<Time>,
    /// Submissions that have no number yet, by rising deadline.
    queue: VecDeque<Submission>,
    /// Retries that were not sent yet, by rising deadline.
    retries: VecDeque<(RequestId, Submission)>,
    requests: BTreeMap<RequestId, Request>,
    retries_in_flight: usize,
    bundles: BTreeMap<Digest, Flight>,
    timers: BTreeSet<(Time, Digest)>,
    ids: BTreeMap<Ticket, RequestId>,
    former: VecDeque<SessionId>,
    actions: VecDeque<ClientAction>,
}

/// The session that new requests join.
#[derive(Debug)]
struct Session {
    id: SessionId,
    /// The next number.
    next: RequestNumber,
    /// The lowest number in flight, or the next one.
    lowest: RequestNumber,
    in_flight: usize,
    /// When the first of its clocks was told, or when a request of it last ended.
    used_at: Time,
}

impl Client {
    /// A client that is connected to nobody. `now` is its own clock, in any unit of origin.
    #[must_use]
    pub fn new(now: Time, config: ClientConfig) -> Self {
        Self {
            now,
            contacts: Contacts::new(config.quorums),
            pace: Pace::new(config.retry_min),
            session: None,
            nonce: config.nonce,
            hello_at: None,
            queue: VecDeque::new(),
            retries: VecDeque::new(),
            requests: BTreeMap::new(),
            retries_in_flight: 0,
            bundles: BTreeMap::new(),
            timers: BTreeSet::new(),
            ids: BTreeMap::new(),
            former: VecDeque::new(),
            actions: VecDeque::new(),
            config,
        }
    }

    /// Takes one input. Infallible: replicas cannot make it fail.
    pub fn handle(&mut self, now: Time, input: ClientInput) {
        self.now = self.now.max(now);
        match input {
            ClientInput::Submit(ticket, command) => self.on_submit(ticket, command),
            ClientInput::Retry(ticket, id, command) => self.on_retry(ticket, id, command),
            ClientInput::Cancel(ticket) => self.on_cancel(ticket),
            ClientInput::Connected(replica) => self.contacts.on_connection(replica, true),
            ClientInput::Disconnected(replica) => self.contacts.on_connection(replica, false),
            ClientInput::Message(message) => self.on_message(message),
            ClientInput::Timeout => {}
        }
        self.expire_queues();
        self.expire_hello();
        self.expire_bundles();
    }

    /// The next thing to do; call until it gives `None` after every input, or after every few
    /// inputs that come together. What is queued is signed here.
    pub fn poll_action(&mut self) -> Option<ClientAction> {
        if self.actions.is_empty() {
            self.try_send_retries();
            self.try_send();
        }
        self.actions.pop_front()
    }

    /// When to give [`ClientInput::Timeout`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let queued = self.queue.front().map(|submission| submission.deadline);
        let retry = self.retries.front().map(|(_, submission)| submission.deadline);
        let bundle = self.timers.first().map(|(time, _)| *time);
        [queued, retry, bundle, self.hello_at].into_iter().flatten().min()
    }

    /// The session that new requests join; `None` while the clocks that it is born from are not
    /// known. Changes when a session was idle for long or was lost.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.id)
    }

    /// The id under which a submission was sent, for callers that want to be able to retry it after
    /// a crash; `None` before it was sent and after it ended. From now on the id stays: should the
    /// session turn out never to have been opened, the submission ends with an error instead of
    /// going on in a new session.
    pub fn request_id_of(&mut self, ticket: Ticket) -> Option<RequestId> {
        let id = *self.ids.get(&ticket)?;
        if let Some(request) = self.requests.get_mut(&id) {
            request.is_named = true;
        }
        Some(id)
    }

    /// Whether another submission or retry is accepted; if not, wait until one ends.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.len() + self.retries.len() < QUEUE_MAX
    }

    /// The error that says which replicas did not answer, for drivers that wait for a session.
    #[must_use]
    pub fn no_quorum(&self) -> ClientError {
        self.contacts.no_quorum()
    }

    fn on_submit(&mut self, ticket: Ticket, command: Bytes) {
        if !self.is_within(&command) {
            return self.end(ticket, Err(ClientError::Rejected(Why::TooLarge)));
        }
        if !self.has_room() {
            return self.end(ticket, Err(ClientError::Rejected(Why::QueueFull)));
        }
        let deadline = self.now.after(self.config.deadline);
        self.queue.push_back(Submission { ticket, deadline, command });
    }

    /// [R1] A retry asks under the session and number of the earlier request, whatever the present
    /// session is, so that the request cannot run a second time.
    fn on_retry(&mut self, ticket: Ticket, id: RequestId, command: Bytes) {
        if let Some(why) = self.refuse_retry(&id, &command) {
            return self.end(ticket, Err(ClientError::Rejected(why)));
        }
        let submission = Submission { ticket, deadline: self.now.after(self.config.deadline), command };
        if self.requests.contains_key(&id) {
            self.join(id, &submission);
        } else if self.has_room() {
            self.retries.push_back((id, submission));
        } else {
            self.end(ticket, Err(ClientError::Unknown(id)));
        }
    }

    fn refuse_retry(&self, id: &RequestId, command: &Bytes) -> Option<Why> {
        let is_ahead = |session: &Session| session.id == id.session && session.next <= id.number;
        if id.session.client != self.config.key.public() {
            Some(Why::ForeignSession)
        } else if !self.is_within(command) {
            Some(Why::TooLarge)
        } else if self.session.as_ref().is_some_and(is_ahead) {
            Some(Why::NeverSubmitted)
        } else {
            None
        }
    }

    /// One more caller waits for a request that is in flight.
    fn join(&mut self, id: RequestId, submission: &Submission) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.tickets.len() >= RETRIES_IN_FLIGHT_MAX {
            return self.end(submission.ticket, Err(ClientError::Unknown(id)));
        }
        request.tickets.push((submission.ticket, submission.deadline));
        request.is_named = true;
        let bundle = request.bundle;
        self.ids.insert(submission.ticket, id);
        self.set_timer(bundle);
    }

    /// The number of a cancelled request stays in flight, as the window may not pass it.
    fn on_cancel(&mut self, ticket: Ticket) {
        if let Some(id) = self.ids.remove(&ticket) {
            if let Some(request) = self.requests.get_mut(&id) {
                request.tickets.retain(|(other, _)| *other != ticket);
            }
            self.drop_if_useless(id);
        } else {
            self.queue.retain(|submission| submission.ticket != ticket);
            self.retries.retain(|(_, submission)| submission.ticket != ticket);
        }
    }

    fn on_message(&mut self, message: Authenticated<ReplicaMessage>) {
        let (sender, message) = message.into_parts();
        if !self.contacts.is_member(sender) {
            return self.reject(sender, Rejection::UnknownSigner);
        }
        match message {
            ReplicaMessage::Welcome { epoch, clock, view } => {
                if epoch != self.config.epoch {
                    return self.reject(sender, Rejection::WrongEpoch);
                }
                self.contacts.on_view(sender, view);
                self.on_clock(sender, clock);
            }
            ReplicaMessage::Reply(reply) => self.on_reply(sender, reply),
            ReplicaMessage::Refused { bundle, why } => self.on_refused(sender, bundle, why),
        }
    }

    fn reject(&mut self, sender: ReplicaId, why: Rejection) {
        self.actions.push_back(ClientAction::Reject(sender, why));
    }

    fn end(&mut self, ticket: Ticket, result: Result<Completed, ClientError>) {
        self.ids.remove(&ticket);
        self.actions.push_back(ClientAction::Done(ticket, result));
    }
}

#[cfg(test)]
mod tests;
