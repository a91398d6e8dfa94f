//! What surrounds a client's machine? The requests that it is to make, and what became of them.

use bytes::Bytes;
use quorate_consensus::client::{Client, ClientError, Completed, RequestId, Ticket};
use quorate_types::{PublicKey, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::host::{NEVER, client_clock, from_client_clock};
use crate::setup::Setup;
use crate::stream::Stream;

/// What clients do by themselves. Times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// How many clients there are.
    pub clients: usize,
    /// How many requests each of them makes; once all has healed, two more.
    pub requests: u32,
    /// How many it makes at a time.
    pub burst: u32,
    /// The least time between an answer and the next request.
    pub think_min_us: u64,
    /// The most time between them.
    pub think_max_us: u64,
    /// Clients that never reach one replica, not even after healing: (client, replica).
    pub unreachable: Vec<(usize, u16)>,
}

impl Workload {
    /// Clients that do nothing by themselves.
    #[must_use]
    pub const fn none() -> Self {
        let unreachable = Vec::new();
        Self { clients: 0, requests: 0, burst: 1, think_min_us: 0, think_max_us: 0, unreachable }
    }
}

/// One client's process.
pub(crate) struct ClientHost {
    pub(crate) machine: Client,
    pub(crate) key: PublicKey,
    /// When the machine wants a timeout, in simulated nanoseconds.
    pub(crate) timeout: u64,
    /// The commands of the requests that have not ended.
    pub(crate) outstanding: BTreeMap<Ticket, Bytes>,
    /// What to submit when the client has thought.
    pub(crate) waiting: Vec<Waiting>,
    /// The requests that ended: with which outcome, and when.
    pub(crate) ended: BTreeMap<Ticket, (Result<Completed, ClientError>, u64)>,
    /// Whether it sends what no state machine understands, and is refused.
    pub(crate) is_probe: bool,
    /// How many requests are yet to be made.
    pub(crate) remaining: u32,
    random: Stream,
    next_ticket: u64,
    /// The bundle that was sent last, so that each is looked at once.
    pub(crate) last_issued: Bytes,
}

/// A request that is made later.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    /// A new request.
    New,
    /// One that could not be sent, or whose fate is unknown.
    Again(Ticket, Option<RequestId>),
}

impl ClientHost {
    pub(crate) fn new(setup: &Setup, client: usize, seed: u64) -> Self {
        let mut random = Stream::new(seed, &format!("client {client}"));
        let config = setup.client_config(client, random.draw());
        Self {
            machine: Client::new(client_clock(0), config),
            key: setup.client_key(client).public(),
            timeout: NEVER,
            outstanding: BTreeMap::new(),
            waiting: Vec::new(),
            ended: BTreeMap::new(),
            is_probe: false,
            remaining: 0,
            random,
            next_ticket: 0,
            last_issued: Bytes::new(),
        }
    }

    /// A name for the next submission.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// A command of the bundled state machine.
    pub(crate) fn draw_command(&mut self) -> Bytes {
        let add = self.random.below(1000);
        quorate_machine::encode(&add, usize::MAX).expect("a number has an encoding").into()
    }

    /// How long the client thinks, in nanoseconds.
    pub(crate) fn think(&mut self, workload: &Workload) -> u64 {
        self.random.between(workload.think_min_us * 1000, workload.think_max_us * 1000)
    }

    pub(crate) fn poll_timeout(&mut self) {
        self.timeout = self.machine.poll_timeout().map_or(NEVER, |time: Time| from_client_clock(time));
    }

    /// Whether it has nothing more to do.
    pub(crate) fn is_done(&self) -> bool {
        self.remaining == 0 && self.outstanding.is_empty() && self.waiting.is_empty()
    }
}
