//! What does a client's driver do? Performs the actions of its machine, and submits what its
//! workload wants.

use bytes::Bytes;
use quorate_consensus::client::{ClientAction, ClientError, ClientInput, Completed, Ticket, Why};
use quorate_types::message::{ClientMessage, Outcome};
use quorate_types::{Bundle, ReplicaId};

use crate::clients::{ClientHost, Waiting};
use crate::host::client_clock;
use crate::observe::Observation;
use crate::queue::Event;
use crate::world::World;

/// Before a client asks again that was told that too few replicas are reachable, in nanoseconds.
const AGAIN_AFTER: u64 = 20_000_000;

impl World {
    /// Adds a client and connects it with all replicas that run. Gives its number.
    pub(crate) fn add_client(&mut self) -> usize {
        let client = self.clients.len();
        self.clients.push(ClientHost::new(&self.setup, client, self.seed));
        for replica in self.setup.membership.replicas() {
            self.connect(client, replica);
        }
        client
    }

    /// Lets every client make so many more requests.
    pub(crate) fn demand(&mut self, requests: u32) {
        for client in 0..self.clients.len() {
            self.clients[client].remaining += requests;
            self.think(client);
        }
    }

    /// Schedules the client's next requests.
    fn think(&mut self, client: usize) {
        let host = &mut self.clients[client];
        let count = self.workload.burst.min(host.remaining);
        host.remaining -= count;
        for _ in 0..count {
            host.waiting.push(Waiting::New);
        }
        if count > 0 {
            let after = host.think(&self.workload);
            self.push(after, Event::Think { client });
        }
    }

    /// Submits what waits.
    pub(crate) fn on_thought(&mut self, client: usize) {
        for waiting in std::mem::take(&mut self.clients[client].waiting) {
            match waiting {
                Waiting::New => {
                    let command = self.clients[client].draw_command();
                    self.submit(client, command);
                }
                Waiting::Again(ticket, id) => {
                    let Some(known) = self.clients[client].outstanding.get(&ticket) else { continue };
                    let command = known.clone();
                    let input = match id {
                        Some(id) => ClientInput::Retry(ticket, id, command),
                        None => ClientInput::Submit(ticket, command),
                    };
                    self.feed_client(client, input);
                }
            }
        }
    }

    /// Submits a command.
    pub(crate) fn submit(&mut self, client: usize, command: Bytes) -> Ticket {
        let host = &mut self.clients[client];
        let ticket = host.ticket();
        host.outstanding.insert(ticket, command.clone());
        self.delays.on_submit(self.now, client, ticket);
        self.note_of_client(client, || format!("request {}", ticket.0).into());
        self.feed_client(client, ClientInput::Submit(ticket, command));
        ticket
    }

    /// Gives a client's machine an input and performs what it wants done.
    pub(crate) fn feed_client(&mut self, client: usize, input: ClientInput) {
        self.clients[client].machine.handle(client_clock(self.now), input);
        while let Some(action) = self.clients[client].machine.poll_action() {
            match action {
                ClientAction::Send(replica, message) => self.send_from_client(client, replica, message),
                ClientAction::Done(ticket, result) => self.on_done(client, ticket, result),
                ClientAction::Reject(replica, reason) => {
                    *self.counters.rejections.entry(reason).or_default() += 1;
                    self.count_rejected_by_client(replica, reason);
                    self.tell(|| format!("client {client} refuses a message of replica {replica}: {reason}"));
                }
            }
        }
        self.clients[client].poll_timeout();
    }

    fn send_from_client(&mut self, client: usize, replica: ReplicaId, message: ClientMessage) {
        if let ClientMessage::Request(raw) = &message {
            self.note_issued(client, raw);
        }
        let is_opening = matches!(message, ClientMessage::Hello);
        let host = &self.hosts[replica.index()];
        if !host.is_up() || self.unreachable.contains(&(client, replica.0)) {
            return;
        }
        let incarnation = host.incarnation;
        if let Some(time) = self.network.send_to_client(self.now, is_opening) {
            self.queue.push(time, Event::ClientMessage { client, replica, incarnation, message });
        }
    }

    /// Shows the invariants a bundle, once for all replicas that it goes to.
    fn note_issued(&mut self, client: usize, raw: &Bytes) {
        if self.clients[client].last_issued == *raw {
            return;
        }
        self.clients[client].last_issued = raw.clone();
        if let Ok(bundle) = Bundle::parse(raw.clone()) {
            self.observe(Observation::Issued(&bundle));
        }
    }

    fn on_done(&mut self, client: usize, ticket: Ticket, result: Result<Completed, ClientError>) {
        match &result {
            Ok(completed) => {
                self.observe(Observation::Completed(client, completed));
                self.delays.on_done(self.now, client, ticket);
                self.tell(|| format!("client {client}: request {} done", completed.id.number));
                self.note_of_client(client, || format!("done {}", ticket.0).into());
            }
            Err(ClientError::Rejected(Why::Outcome(Outcome::Malformed))) if self.clients[client].is_probe => {
            }
            Err(ClientError::Rejected(why)) => {
                self.observe(Observation::Refused(client, &format!("{why:?}")));
            }
            Err(ClientError::NoQuorum { .. }) => return self.ask_again(client, Waiting::Again(ticket, None)),
            Err(ClientError::Unknown(id)) => {
                return self.ask_again(client, Waiting::Again(ticket, Some(*id)));
            }
        }
        let host = &mut self.clients[client];
        host.outstanding.remove(&ticket);
        host.ended.insert(ticket, (result, self.now));
        if host.outstanding.is_empty() && host.waiting.is_empty() {
            self.think(client);
        }
    }

    fn ask_again(&mut self, client: usize, waiting: Waiting) {
        self.clients[client].waiting.push(waiting);
        self.push(AGAIN_AFTER, Event::Think { client });
    }
}
