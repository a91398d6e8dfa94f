//! A cluster of real cores, driven by hand: every message is delivered when the test says so, in
//! rounds, so that a round is one message delay.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]

mod byzantine;
mod disk;
mod laggard;
mod promises;
mod tamper;
pub use byzantine::Made;
pub use disk::Disk;
pub use laggard::{LAGGARD, asked_for, is_chunk};

use bytes::Bytes;
use quorate_consensus::{
    Action, Config, Event, Execution, Halt, Input, Limits, Peer, Recipients, Record, Recovered, Replica,
    Timing,
};
use quorate_types::certificate::CheckpointCertificate;
use quorate_types::message::{Message, Outcome, ReplicaMessage};
use quorate_types::{
    Authenticated, Bundle, Digest, Evidence, Genesis, Height, Member, Membership, ProtocolParameters,
    PublicKey, Rejection, ReplicaId, RequestNumber, Scheme, SecretKey, SessionId, StateHead, Time, Verified,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub const START: Time = Time(1_000_000_000_000);

/// One replica with everything that it said.
pub struct Host {
    pub replica: Replica,
    pub log: Vec<Record>,
    pub events: Vec<Event>,
    pub executed: Vec<Execution>,
    pub replies: Vec<(PublicKey, ReplicaMessage)>,
    pub rejections: Vec<(Peer, Rejection)>,
    pub evidence: Vec<Verified<Arc<Evidence>>>,
    pub halted: Option<Halt>,
    pub is_up: bool,
    /// Whether syncs complete.
    pub is_syncing: bool,
    /// The replica crashes once this many records are durable; whether what waited for the last
    /// of them still leaves.
    pub crash_at: Option<(usize, bool)>,
    pub unsynced: Vec<Record>,
    appended: u64,
    pub root: Digest,
    pub disk: Disk,
    /// How many records were dropped from the front of the log.
    pub first: u64,
    /// What it was restored from when it started.
    pub restored: Option<(Height, Arc<StateHead>)>,
    /// Snapshots that are not durable yet wait while this is not set.
    pub is_snapshotting: bool,
    pub snapshots_waiting: Vec<Arc<StateHead>>,
    /// The block in which its state machine answers as no other does.
    pub wrong_at: Option<Height>,
    /// The certificates that were kept beside a snapshot.
    pub certified: Vec<Arc<CheckpointCertificate>>,
}

impl Host {
    /// What it finds when it starts again.
    pub fn recover(&self) -> Recovered {
        let snapshot = self.disk.newest(Recovered::restorable(&self.log));
        Recovered { first: self.first, records: self.log.clone(), snapshot }
    }

    /// The number of the last record.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// How many records are durable, dropped ones included.
    pub fn durable(&self) -> usize {
        usize::try_from(self.first).unwrap() + self.log.len()
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub from: ReplicaId,
    pub to: ReplicaId,
    pub message: Message,
}

pub struct Cluster {
    pub now: Time,
    pub genesis: Genesis,
    pub membership: Arc<Membership>,
    pub keys: Vec<SecretKey>,
    pub hosts: Vec<Host>,
    pub wire: VecDeque<Envelope>,
    pub client: SecretKey,
    pub timing: Timing,
    pub limits: Limits,
    /// Restarts so far: names the last one.
    pub starts: u64,
    /// Every promise that a replica ever sent, in order.
    pub promises: Vec<(ReplicaId, Message)>,
}

pub fn id(index: usize) -> ReplicaId {
    ReplicaId(u16::try_from(index).unwrap())
}

impl Cluster {
    pub fn new(n: usize) -> Self {
        Self::with(
            n,
            ProtocolParameters { checkpoint_interval: 4, window: 16, ..ProtocolParameters::default() },
        )
    }

    pub fn with(n: usize, protocol: ProtocolParameters) -> Self {
        Self::with_limits(n, protocol, Limits::default())
    }

    /// Replicas that keep no block below the stable checkpoint, so that laggards need a state.
    pub fn without_history(n: usize) -> Self {
        Self::with_limits(
            n,
            ProtocolParameters { checkpoint_interval: 4, window: 4096, ..ProtocolParameters::default() },
            Limits { history_bytes_max: 0, ..Limits::default() },
        )
    }

    pub fn with_limits(n: usize, protocol: ProtocolParameters, limits: Limits) -> Self {
        let keys: Vec<SecretKey> =
            (0..n).map(|i| SecretKey::with_scheme(Scheme::Simulated, [i as u8 + 1; 32])).collect();
        let replicas =
            keys.iter().map(|key| Member { key: key.public(), organisation: "test".into() }).collect();
        let genesis = Genesis {
            name: "test".into(),
            test: true,
            scheme: Scheme::Simulated,
            replicas,
            protocol,
            app_version: 1,
            start: None,
        };
        let membership = Arc::new(genesis.membership().unwrap());
        let mut cluster = Self {
            now: START,
            genesis,
            membership,
            keys,
            hosts: Vec::new(),
            wire: VecDeque::new(),
            client: SecretKey::with_scheme(Scheme::Simulated, [200; 32]),
            timing: Timing::default(),
            limits,
            starts: 0,
            promises: Vec::new(),
        };
        for i in 0..n {
            let host = cluster.host(i, Recovered::fresh());
            cluster.hosts.push(host);
        }
        for i in 0..n {
            cluster.drain(i);
        }
        // Everybody hears what everybody saw of it.
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| i != j) {
            cluster.give(i, Input::Connected(Peer::Replica(id(j))));
        }
        while cluster.round() > 0 {}
        cluster
    }

    pub fn config(&self, i: usize) -> Config {
        Config {
            id: id(i),
            key: self.keys[i].clone(),
            start: self.starts,
            membership: Arc::clone(&self.membership),
            parameters: self.genesis.protocol.clone(),
            timing: self.timing.clone(),
            limits: self.limits.clone(),
        }
    }

    fn host(&self, i: usize, recovered: Recovered) -> Host {
        Host {
            replica: Replica::new(self.now, self.config(i), recovered.clone()),
            log: recovered.records.clone(),
            events: Vec::new(),
            executed: Vec::new(),
            replies: Vec::new(),
            rejections: Vec::new(),
            evidence: Vec::new(),
            halted: None,
            is_up: true,
            is_syncing: true,
            crash_at: None,
            unsynced: Vec::new(),
            appended: recovered.first + recovered.records.len() as u64,
            root: Digest::default(),
            disk: Disk::default(),
            first: recovered.first,
            restored: recovered.snapshot.map(|snapshot| (snapshot.header.header.height, snapshot.head)),
            is_snapshotting: true,
            snapshots_waiting: Vec::new(),
            wrong_at: None,
            certified: Vec::new(),
        }
    }

    /// Stops a replica: what was not synced is gone, and so is what was on its way to it.
    pub fn stop(&mut self, i: usize) {
        self.hosts[i].is_up = false;
        self.wire.retain(|envelope| envelope.to != id(i) && envelope.from != id(i));
    }

    pub fn restart(&mut self, i: usize) {
        let recovered = self.hosts[i].recover();
        let disk = std::mem::take(&mut self.hosts[i].disk);
        self.restart_on(i, recovered, disk);
    }

    /// The disk is replaced by an empty one.
    pub fn wipe(&mut self, i: usize) {
        self.restart_with(i, Recovered::default());
    }

    pub fn restart_with(&mut self, i: usize, recovered: Recovered) {
        self.restart_on(i, recovered, Disk::default());
    }

    pub fn restart_on(&mut self, i: usize, recovered: Recovered, disk: Disk) {
        self.stop(i);
        self.starts += 1;
        let before = std::mem::take(&mut self.hosts[i].executed);
        self.hosts[i] = self.host(i, recovered);
        if let Some((height, head)) = self.hosts[i].restored.clone() {
            self.hosts[i].root = disk.root(&head);
            // What its snapshot holds was executed before it was taken.
            self.hosts[i].executed = before.into_iter().filter(|e| e.height <= height).collect();
        }
        self.hosts[i].disk = disk;
        self.drain(i);
        for j in 0..self.hosts.len() {
            if j != i && self.hosts[j].is_up {
                self.give(j, Input::Connected(Peer::Replica(id(i))));
                self.give(i, Input::Connected(Peer::Replica(id(j))));
            }
        }
    }

    pub fn give(&mut self, i: usize, input: Input) {
        if self.hosts[i].is_up {
            self.hosts[i].replica.handle(self.now, input);
            self.drain(i);
        }
    }

    /// Performs everything that the replica wants done; messages go onto the wire.
    pub fn drain(&mut self, i: usize) {
        while let Some(action) = self.hosts[i].replica.poll_action() {
            self.perform(i, action);
        }
        if !self.hosts[i].is_syncing || self.hosts[i].unsynced.is_empty() {
            return;
        }
        let host = &self.hosts[i];
        if let Some((at, leaves)) =
            host.crash_at.filter(|(at, _)| host.durable() + host.unsynced.len() >= *at)
        {
            return self.crash(i, at, leaves);
        }
        let host = &mut self.hosts[i];
        host.log.append(&mut host.unsynced);
        let appended = host.appended;
        self.give(i, Input::Persisted(appended));
    }

    fn crash(&mut self, i: usize, at: usize, leaves: bool) {
        let host = &mut self.hosts[i];
        host.crash_at = None;
        host.is_syncing = false;
        let lost = host.durable() + host.unsynced.len() - at;
        let kept = host.unsynced.len() - lost;
        host.log.extend(host.unsynced.drain(..kept));
        let durable = host.appended - lost as u64;
        if leaves {
            self.give(i, Input::Persisted(durable));
        }
        self.hosts[i].is_up = false;
        self.wire.retain(|envelope| envelope.to != id(i));
    }

    fn perform(&mut self, i: usize, action: Action) {
        let from = id(i);
        if let Action::Send(_, message) = &action
            && matches!(
                message,
                Message::Propose(_)
                    | Message::Vote(_)
                    | Message::Commit(_)
                    | Message::ViewChange(_)
                    | Message::CheckpointVote(_)
            )
        {
            self.promises.push((from, message.clone()));
        }
        match action {
            Action::Persist(sequence, record) => {
                self.hosts[i].appended = sequence;
                self.hosts[i].unsynced.push(record);
            }
            Action::Send(Recipients::All, message) => {
                for to in self.membership.replicas().filter(|to| *to != from) {
                    self.wire.push_back(Envelope { from, to, message: message.clone() });
                }
            }
            Action::Send(Recipients::One(to), message) => self.wire.push_back(Envelope { from, to, message }),
            Action::Verify(peer, work) => {
                let result = self.hosts[i].replica.verifier().check(work);
                self.hosts[i].replica.handle(self.now, Input::Verified(peer, result));
            }
            Action::Execute(execution) => {
                let is_wrong = self.hosts[i].wrong_at == Some(execution.height);
                let answer = |command: &quorate_consensus::Command| {
                    if is_wrong { Outcome::Panicked } else { Outcome::Executed(command.command.to_vec()) }
                };
                let outcomes = execution.commands.iter().map(answer).collect();
                for command in &execution.commands {
                    let root = self.hosts[i].root;
                    self.hosts[i].root = Digest::of_parts("state", &[&root.0, &command.command]);
                }
                let height = execution.height;
                self.hosts[i].executed.push(execution);
                self.hosts[i].replica.handle(self.now, Input::Executed(height, outcomes));
            }
            Action::TakeSnapshot(order) => {
                let (root, cluster) = (self.hosts[i].root, self.membership.cluster());
                let head = self.hosts[i].disk.take(&order, cluster, root);
                if self.hosts[i].is_snapshotting {
                    self.hosts[i].replica.handle(self.now, Input::Snapshot(head));
                } else {
                    self.hosts[i].snapshots_waiting.push(head);
                }
            }
            Action::BeginTransfer(head, header) => self.hosts[i].disk.gathering = Some((head, header)),
            Action::AbandonTransfer => self.hosts[i].disk.gathering = None,
            Action::LookInto(page) => {
                let missing = self.hosts[i].disk.look_into(page);
                self.hosts[i].replica.handle(self.now, Input::Looked(page, missing));
            }
            Action::StoreChunk(id, bytes) => drop(self.hosts[i].disk.chunks.insert(id.digest, bytes)),
            Action::Install(head) => {
                let (sessions, root) = self.hosts[i].disk.install(&head);
                self.hosts[i].root = root;
                self.hosts[i].executed.retain(|execution| execution.height <= head.height);
                self.hosts[i].replica.handle(self.now, Input::Installed(head, sessions));
            }
            Action::ReadChunks(to, digests) => {
                for digest in digests {
                    let chunk = self.hosts[i].disk.chunks.get(&digest).cloned().ok_or(digest);
                    self.hosts[i].replica.handle(self.now, Input::Chunk(to, chunk));
                }
            }
            Action::Truncate(number, height) => {
                let host = &mut self.hosts[i];
                while host.first + 1 < number && !host.log.is_empty() {
                    host.log.remove(0);
                    host.first += 1;
                }
                host.disk.forget_below(height);
            }
            Action::Certified(certificate) => self.hosts[i].certified.push(certificate),
            Action::Reply(client, message) => self.hosts[i].replies.push((client, message)),
            Action::Report(evidence) => self.hosts[i].evidence.push(evidence),
            Action::Reject(peer, reason) => self.hosts[i].rejections.push((peer, reason)),
            Action::Event(event) => self.hosts[i].events.push(event),
            Action::Halt(why) => self.hosts[i].halted = Some(why),
        }
    }

    /// Delivers everything that is on the wire now: one message delay.
    pub fn round(&mut self) -> usize {
        self.round_where(|_| true)
    }

    /// As [`Self::round`]; messages that `passes` refuses are lost.
    pub fn round_where(&mut self, passes: impl Fn(&Envelope) -> bool) -> usize {
        let sent: Vec<Envelope> = self.wire.drain(..).collect();
        let mut delivered = 0;
        for envelope in sent {
            if passes(&envelope) {
                delivered += 1;
                let message = Authenticated::from_channel(envelope.from, envelope.message);
                self.give(envelope.to.index(), Input::Message(message));
            }
        }
        delivered
    }

    /// Lets time pass; due timers fire.
    pub fn pass(&mut self, span: Duration) {
        self.now = self.now.after(span);
        for i in 0..self.hosts.len() {
            if self.hosts[i].is_up && self.hosts[i].replica.poll_timeout().is_some_and(|at| at <= self.now) {
                self.give(i, Input::Timeout);
            }
        }
    }

    /// Rounds of one millisecond until `done`, at most `rounds` of them.
    pub fn run_until(&mut self, rounds: usize, done: impl Fn(&Self) -> bool) -> bool {
        self.run_where(rounds, |_| true, done)
    }

    pub fn run_where(
        &mut self,
        rounds: usize,
        passes: impl Fn(&Envelope) -> bool,
        done: impl Fn(&Self) -> bool,
    ) -> bool {
        for _ in 0..rounds {
            if done(self) {
                return true;
            }
            self.round_where(&passes);
            self.pass(Duration::from_millis(1));
        }
        done(self)
    }

    pub fn session(&self) -> SessionId {
        SessionId { client: self.client.public(), birth: START, nonce: 7 }
    }

    pub fn bundle(&self, number: u64) -> Bytes {
        let command = Bytes::from(format!("command {number}"));
        let requests = [(RequestNumber(number), command)];
        Bundle::sign(&self.membership.cluster(), &self.client, self.session(), &requests).raw().clone()
    }

    /// The client gives its request to one replica.
    pub fn request(&mut self, i: usize, number: u64) {
        let (client, bundle) = (self.client.public(), self.bundle(number));
        self.give(i, Input::Request(client, bundle));
    }

    pub fn committed(&self, i: usize) -> Height {
        self.hosts[i].replica.status().committed
    }

    pub fn all_committed(&self, height: u64) -> bool {
        (0..self.hosts.len()).filter(|i| self.hosts[*i].is_up).all(|i| self.committed(i).0 >= height)
    }

    /// Commands executed by a replica, in order.
    pub fn commands(&self, i: usize) -> Vec<Bytes> {
        self.hosts[i].executed.iter().flat_map(|e| e.commands.iter().map(|c| c.command.clone())).collect()
    }
}
