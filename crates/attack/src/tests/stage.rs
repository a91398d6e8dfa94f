//! Where an adversary acts alone: hand-made messages go in, what it makes of them comes out.

use bytes::Bytes;
use quorate_consensus::{Action, Config, Input, Limits, Recipients, Replica, ReplicaStatus, Timing};
use quorate_types::certificate::{QuorumCertificate, Signatures, SignedHeader, ViewChange};
use quorate_types::limited::Limited;
use quorate_types::message::{
    CheckpointVote, Commit, Echo, Justify, Message, Propose, ReplicaMessage, Status, Vote,
};
use quorate_types::{
    Authenticated, Batch, Bundle, CheckpointStatement, Digest, Epoch, Genesis, Header, Height, Member,
    Membership, ProtocolParameters, PublicKey, ReplicaId, RequestNumber, Scheme, SecretKey, SessionId,
    Signature, Statement, Time, Verifier, View, VoteStatement,
};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::participant::{Byzantine, Machine};
use crate::{Adversary, Participant};

pub(super) const R0: ReplicaId = ReplicaId(0);
pub(super) const R1: ReplicaId = ReplicaId(1);
pub(super) const R2: ReplicaId = ReplicaId(2);
pub(super) const R3: ReplicaId = ReplicaId(3);

/// A cluster's keys; replica 0 is the traitor.
pub(super) struct Cluster {
    pub(super) keys: Vec<SecretKey>,
    pub(super) membership: Arc<Membership>,
}

impl Cluster {
    pub(super) fn new(n: u8) -> Self {
        Self::with_scheme(n, Scheme::Ed25519)
    }
    pub(super) fn with_scheme(n: u8, scheme: Scheme) -> Self {
        let key = |index| SecretKey::with_scheme(scheme, [index + 1; 32]);
        let keys: Vec<SecretKey> = (0..n).map(key).collect();
        let member = |key: &SecretKey| Member { key: key.public(), organisation: String::new() };
        let genesis = Genesis {
            name: "stage".into(),
            test: true,
            scheme,
            replicas: keys.iter().map(member).collect(),
            protocol: ProtocolParameters::default(),
            app_version: 0,
            start: None,
        };
        Self { keys, membership: Arc::new(genesis.membership().unwrap()) }
    }
    pub(super) fn config(&self, id: ReplicaId) -> Config {
        Config {
            id,
            key: self.keys[id.index()].clone(),
            start: 7,
            membership: Arc::clone(&self.membership),
            parameters: ProtocolParameters::default(),
            timing: Timing::default(),
            limits: Limits::default(),
        }
    }
    pub(super) fn verifier(&self) -> Verifier {
        Verifier::new(Arc::clone(&self.membership), ProtocolParameters::default())
    }
    pub(super) fn sign(&self, replica: ReplicaId, statement: &Statement) -> Signature {
        statement.sign(&self.keys[replica.index()], &self.membership.cluster())
    }

    /// A batch of `count` bundles by one client.
    pub(super) fn batch(&self, first: u64, count: u64) -> Batch {
        let key = SecretKey::with_scheme(self.membership.scheme(), [99; 32]);
        let session = SessionId { client: key.public(), birth: Time(1), nonce: 1 };
        let bundle = |number| {
            let command = (RequestNumber(number), Bytes::from_static(b"add"));
            Bundle::sign(&self.membership.cluster(), &key, session, &[command])
        };
        Batch::new((first..first + count).map(bundle).collect())
    }
    /// The proposals of a view from the height above `parent` on.
    pub(super) fn proposals(&self, view: View, parent: (Height, Digest), count: u64) -> Vec<Propose> {
        let (mut height, mut parent) = parent;
        let propose = |_| {
            height = height.next();
            let batch = self.batch(height.0 * 10, 2);
            let header = Header {
                cluster: self.membership.cluster(),
                epoch: Epoch(0),
                view,
                height,
                parent,
                batch: batch.digest(),
                time: Time(1000 + height.0),
            };
            parent = header.digest();
            let primary = self.membership.primary(view);
            let header = SignedHeader::sign(header, &self.keys[primary.index()]);
            Propose { header, justify: Justify::None, batch: batch.raw().clone() }
        };
        (0..count).map(propose).collect()
    }
    pub(super) fn chain(&self, view: View, count: u64) -> Vec<Propose> {
        self.proposals(view, (Height(0), self.membership.genesis_block()), count)
    }
    pub(super) fn vote(&self, voter: ReplicaId, header: &Header) -> Vote {
        let vote = vote_statement(header);
        let signature = self.sign(voter, &Statement::Vote(vote));
        Vote { vote, signature, executed: header.height, result_root: Digest([7; 32]) }
    }
    pub(super) fn certificate(&self, header: &Header) -> QuorumCertificate {
        let voters = self.membership.replicas().take(self.membership.quorums().quorum());
        let signatures = voters.map(|voter| (voter, self.vote(voter, header).signature));
        QuorumCertificate { vote: vote_statement(header), signatures: Signatures::take(signatures) }
    }
    pub(super) fn genesis_certificate(&self) -> QuorumCertificate {
        QuorumCertificate::genesis(Epoch(0), self.membership.genesis_block())
    }
    pub(super) fn view_change(
        &self,
        replica: ReplicaId,
        new_view: View,
        high_qc: QuorumCertificate,
        claim: &[Propose],
    ) -> ViewChange {
        let claim = Limited::take(claim.iter().map(|propose| propose.header));
        let signature = Signature([0; 64]);
        let mut view_change = ViewChange { epoch: Epoch(0), new_view, replica, high_qc, claim, signature };
        view_change.signature = self.sign(replica, &view_change.statement());
        view_change
    }
    pub(super) fn checkpoint_vote(&self, replica: ReplicaId, header: &Header) -> CheckpointVote {
        let state_root = Digest([5; 32]);
        let (height, block) = (header.height, header.digest());
        let checkpoint = CheckpointStatement { epoch: Epoch(0), height, block, state_root };
        let signature = self.sign(replica, &Statement::Checkpoint(checkpoint));
        CheckpointVote { checkpoint, replica, signature }
    }
}

pub(super) fn vote_statement(header: &Header) -> VoteStatement {
    VoteStatement { epoch: header.epoch, view: header.view, height: header.height, digest: header.digest() }
}
pub(super) fn commit(header: &Header) -> Message {
    Message::Commit(Commit { vote: vote_statement(header) })
}
pub(super) fn status(header: &Header) -> Message {
    Message::Status(Status {
        epoch: Epoch(0),
        view: header.view,
        asked: header.view,
        committed: (header.height, header.digest()),
        stable: Height(0),
        last_vote: (header.view, header.height),
        base: Height(0),
        is_recovering: false,
        start: 7,
        clock: Time(5),
        echo: Some(Echo { start: 7, clock: Time(1), held: 0 }),
        seen: None,
    })
}

/// The traitor, with its honest machine kept out of the way.
pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) byzantine: Byzantine,
    pub(super) status: ReplicaStatus,
    pub(super) now: Time,
}

impl Stage {
    pub(super) fn new(n: u8, adversary: impl Into<Box<dyn Adversary>>, seed: u64) -> Self {
        Self::on(Cluster::new(n), adversary, seed)
    }
    /// For whole plays: signatures that cost next to nothing.
    pub(super) fn simulated(n: u8, adversary: impl Into<Box<dyn Adversary>>, seed: u64) -> Self {
        Self::on(Cluster::with_scheme(n, Scheme::Simulated), adversary, seed)
    }
    fn on(cluster: Cluster, adversary: impl Into<Box<dyn Adversary>>, seed: u64) -> Self {
        let config = cluster.config(R0);
        let byzantine = Byzantine::new(adversary.into(), &config, Vec::new(), seed);
        Self { cluster, byzantine, status: ReplicaStatus::default(), now: Time(0) }
    }

    /// There is none: the test acts in its place.
    pub(super) const fn machine(&self) -> Machine<'static> {
        Machine { status: self.status, due: None, replica: None }
    }

    pub(super) fn broadcast(&mut self, message: Message) -> Vec<(ReplicaId, Message)> {
        self.pass(Action::Send(Recipients::All, message))
    }
    pub(super) fn send(&mut self, to: ReplicaId, message: Message) -> Vec<(ReplicaId, Message)> {
        self.pass(Action::Send(Recipients::One(to), message))
    }
    fn pass(&mut self, action: Action) -> Vec<(ReplicaId, Message)> {
        let mut out = VecDeque::new();
        self.byzantine.pass(self.now, self.machine(), &mut out, action);
        self.sent(out)
    }
    pub(super) fn reply(&mut self, message: ReplicaMessage) -> Vec<ReplicaMessage> {
        let mut out = VecDeque::new();
        let action = Action::Reply(PublicKey([1; 32]), message);
        self.byzantine.pass(self.now, self.machine(), &mut out, action);
        let told =
            |action| if let Action::Reply(_, message) = action { message } else { panic!("{action:?}") };
        out.into_iter().map(told).collect()
    }
    /// Whether the machine gets the message, and what the adversary sends because of it.
    pub(super) fn receive(&mut self, from: ReplicaId, message: Message) -> (bool, Vec<(ReplicaId, Message)>) {
        self.input(Input::Message(Authenticated::from_channel(from, message)))
    }
    pub(super) fn timeout(&mut self, now: Time) -> Vec<(ReplicaId, Message)> {
        self.now = now;
        self.input(Input::Timeout).1
    }
    fn input(&mut self, input: Input) -> (bool, Vec<(ReplicaId, Message)>) {
        let mut out = VecDeque::new();
        let is_given = self.byzantine.take(self.now, self.machine(), &mut out, &input);
        (is_given, self.sent(out))
    }
    fn sent(&self, out: VecDeque<Action>) -> Vec<(ReplicaId, Message)> {
        let mut sent = Vec::new();
        for action in out {
            match action {
                Action::Send(Recipients::One(to), message) => sent.push((to, message)),
                Action::Send(Recipients::All, message) => {
                    let others = self.cluster.membership.replicas().filter(|to| *to != R0);
                    sent.extend(others.map(|to| (to, message.clone())));
                }
                other => panic!("{other:?}"),
            }
        }
        sent
    }
}

pub(super) fn replica(config: &Config) -> Replica {
    Replica::new(Time(0), config.clone(), quorate_consensus::Recovered::fresh())
}

pub(super) fn participant(cluster: &Cluster, adversary: impl Into<Box<dyn Adversary>>) -> Participant {
    let config = cluster.config(R0);
    Participant::byzantine(replica(&config), adversary, &config, Vec::new(), 1)
}
