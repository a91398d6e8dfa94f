//! Scenarios of a client among four replicas, of which the test plays all.

mod birth;
mod cluster;
mod endings;
mod replies;
mod retries;
mod sending;

use super::*;
use quorate_types::message::{Outcome, Reply};
use quorate_types::{Bundle, Scheme, View};

const R0: ReplicaId = ReplicaId(0);
const R1: ReplicaId = ReplicaId(1);
const R2: ReplicaId = ReplicaId(2);
const R3: ReplicaId = ReplicaId(3);
const ALL: [ReplicaId; 4] = [R0, R1, R2, R3];
/// What the replicas' clocks show when the scene opens.
const CLOCK: u64 = 1_000_000;

/// The client, and what it did since the test last looked.
struct Scene {
    client: Client,
    now: Time,
    tickets: u64,
    sent: Vec<(ReplicaId, ClientMessage)>,
    done: Vec<(Ticket, Result<Completed, ClientError>)>,
    rejected: Vec<(ReplicaId, Rejection)>,
}

impl Scene {
    /// A client that nobody is connected to.
    fn alone(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = config();
        change(&mut config);
        let now = Time(5_000_000_000);
        let client = Client::new(now, config);
        Self { client, now, tickets: 0, sent: vec![], done: vec![], rejected: vec![] }
    }

    /// A client that is connected to all replicas and has a session, in view 0.
    fn with(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut scene = Self::alone(change);
        for replica in ALL {
            scene.give(ClientInput::Connected(replica));
            scene.welcome(replica, CLOCK, 0);
        }
        scene
    }

    fn ready() -> Self {
        Self::with(|_| {})
    }

    /// Gives an input without polling.
    fn give(&mut self, input: ClientInput) {
        self.client.handle(self.now, input);
    }

    fn poll(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                ClientAction::Send(replica, message) => self.sent.push((replica, message)),
                ClientAction::Done(ticket, result) => self.done.push((ticket, result)),
                ClientAction::Reject(replica, why) => self.rejected.push((replica, why)),
            }
        }
        assert!(self.client.poll_timeout().is_none_or(|time| time > self.now), "a timer would spin");
    }

    /// Lets time pass; the client is woken exactly when it asks for it.
    fn pass(&mut self, span: u64) {
        let end = Time(self.now.0 + span * 1_000_000);
        self.poll();
        while let Some(time) = self.client.poll_timeout().filter(|time| *time <= end) {
            self.now = time;
            self.give(ClientInput::Timeout);
            self.poll();
        }
        self.now = end;
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Submits without polling, as a driver does that takes all that waits.
    fn queue(&mut self, command: &[u8]) -> Ticket {
        let ticket = self.ticket();
        self.give(ClientInput::Submit(ticket, Bytes::copy_from_slice(command)));
        ticket
    }

    fn queue_many(&mut self, count: usize) {
        for _ in 0..count {
            self.queue(b"a");
        }
    }

    fn submit(&mut self, command: &[u8]) -> Ticket {
        let ticket = self.queue(command);
        self.poll();
        ticket
    }

    fn retry(&mut self, id: RequestId, command: &[u8]) -> Ticket {
        let ticket = self.ticket();
        self.give(ClientInput::Retry(ticket, id, Bytes::copy_from_slice(command)));
        self.poll();
        ticket
    }

    fn message(&mut self, from: ReplicaId, message: ReplicaMessage) {
        self.give(ClientInput::Message(Authenticated::from_channel(from, message)));
        self.poll();
    }

    /// `clock` is in milliseconds.
    fn welcome(&mut self, from: ReplicaId, clock: u64, view: u64) {
        let clock = Time(clock * 1_000_000);
        self.message(from, ReplicaMessage::Welcome { epoch: Epoch(0), clock, view: View(view) });
    }

    /// Replies for the present session.
    fn reply(&mut self, from: &[ReplicaId], number: u64, height: u64, outcome: &Outcome) {
        let session = self.client.session().expect("there is a session");
        self.reply_in(session, from, number, height, outcome);
    }

    fn reply_in(&mut self, of: SessionId, from: &[ReplicaId], number: u64, height: u64, outcome: &Outcome) {
        for replica in from {
            let results = [(RequestNumber(number), Height(height), outcome.clone())];
            let results = quorate_types::limited::Limited::take(results);
            let reply = Reply { birth: of.birth, nonce: of.nonce, view: View(0), results };
            self.message(*replica, ReplicaMessage::Reply(reply));
        }
    }

    fn refuse(&mut self, from: &[ReplicaId], bundle: &Bundle, why: Rejection) {
        for replica in from {
            self.message(*replica, ReplicaMessage::Refused { bundle: bundle.id(), why });
        }
    }

    /// Takes the bundles that were sent to one replica.
    fn bundles_to(&mut self, replica: ReplicaId) -> Vec<Bundle> {
        let mut bundles = vec![];
        self.sent.retain(|(to, message)| match message {
            ClientMessage::Request(raw) if *to == replica => {
                bundles.push(Bundle::parse(raw.clone()).expect("the client's bundles are in order"));
                false
            }
            _ => true,
        });
        bundles
    }

    /// Takes what was sent and gives to whom requests went.
    fn take_receivers(&mut self) -> Vec<ReplicaId> {
        let sent = std::mem::take(&mut self.sent);
        let requests = sent.into_iter().filter(|(_, message)| *message != ClientMessage::Hello);
        requests.map(|(replica, _)| replica).collect()
    }

    /// Takes who was asked for its clock.
    fn take_asked(&mut self) -> Vec<ReplicaId> {
        let mut asked = vec![];
        self.sent.retain(|(to, message)| {
            let is_hello = *message == ClientMessage::Hello;
            asked.extend(is_hello.then_some(*to));
            !is_hello
        });
        asked
    }

    /// Takes the only ending since the test last looked.
    fn take_done(&mut self) -> (Ticket, Result<Completed, ClientError>) {
        assert_eq!(self.done.len(), 1, "{:?}", self.done);
        self.done.remove(0)
    }

    fn id(&self, number: u64) -> RequestId {
        RequestId { session: self.client.session().expect("a session"), number: RequestNumber(number) }
    }
}

fn config() -> ClientConfig {
    ClientConfig {
        key: key(1),
        cluster: Digest([9; 32]),
        epoch: Epoch(0),
        quorums: Quorums::new(4).expect("four replicas are enough"),
        nonce: 77,
        parameters: ProtocolParameters::default(),
        retry_min: Duration::from_millis(100),
        deadline: Duration::from_secs(30),
        window: 64,
        bundle_max: 64,
    }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::with_scheme(Scheme::Simulated, [seed; 32])
}

fn executed(says: &str) -> Outcome {
    Outcome::Executed(says.as_bytes().to_vec())
}

fn numbers(bundle: &Bundle) -> Vec<u64> {
    bundle.requests().iter().map(|request| request.number.0).collect()
}
