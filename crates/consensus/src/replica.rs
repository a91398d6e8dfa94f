//! The replica's machine: its state, its four methods, and the fixed point after each input.
//!
//! Handlers check, record and return; [`Replica::advance`] then runs one function per protocol
//! rule until nothing changes. So the order of messages does not matter, and every way of
//! learning something re-evaluates every rule.

use quorate_types::message::{Message, ReplicaMessage, Vote};
use quorate_types::{
    Checked, Digest, Evidence, Height, Rejection, ReplicaId, Time, Unverified, Verified, Verifier, View,
};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blocks::Blocks;
use crate::catch_up::CatchUp;
use crate::chain::Chain;
use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::execution::Executor;
use crate::fetch::Fetches;
use crate::holding::Holds;
use crate::io::{Action, Event, Halt, Input, Peer, Recipients};
use crate::normal::Proposer;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::pool::Pool;
use crate::record::Recovered;
use crate::recovering::Recovering;
use crate::safety::Safety;
use crate::serving::Serving;
use crate::state_transfer::Transfer;
use crate::timer::{Timer, Timers};
use crate::truncation::Truncation;
use crate::view_change::ViewState;
use crate::votes::Tally;
use crate::waking::Waking;

/// One replica's protocol machine. Pure: it owns no clock, socket, disk, thread or randomness.
///
/// Give it inputs with [`Replica::handle`], then call [`Replica::poll_action`] until it gives
/// `None` and perform the actions in order; when the time of [`Replica::poll_timeout`] comes, give
/// [`Input::Timeout`].
///
/// A clone is a second machine with the same key: what only attackers and explorations make.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) config: Config,
    pub(crate) now: Time,
    pub(crate) outbox: Outbox,
    pub(crate) timers: Timers,
    pub(crate) view: ViewState,
    pub(crate) safety: Safety,
    pub(crate) blocks: Blocks,
    pub(crate) chain: Chain,
    pub(crate) tally: Tally,
    pub(crate) proposer: Option<Proposer>,
    pub(crate) pool: Pool,
    pub(crate) executor: Executor,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) peers: Peers,
    pub(crate) fetches: Fetches,
    pub(crate) catch_up: CatchUp,
    pub(crate) recovering: Option<Recovering>,
    pub(crate) waking: Waking,
    pub(crate) truncation: Truncation,
    pub(crate) holds: Holds,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) serving: Serving,
    pub(crate) halted: Option<Halt>,
    /// The evidence that was found or received, by replica.
    pub(crate) evidence: BTreeMap<ReplicaId, Vec<Arc<Evidence>>>,
}

/// What a replica says of itself to its operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReplicaStatus {
    /// The view that it entered.
    pub view: View,
    /// The primary of that view.
    pub primary: ReplicaId,
    /// The highest view that it asked for.
    pub asked: View,
    /// The height up to which it committed.
    pub committed: Height,
    /// The height up to which it executed.
    pub executed: Height,
    /// The height of the stable checkpoint.
    pub stable: Height,
    /// Whether it lost its disk and waits (rule D3).
    pub is_recovering: bool,
    /// Whether it has heard from enough others to know that its disk is whole.
    pub is_awake: bool,
    /// The root of its own last checkpoint, with its height.
    pub state: (Height, Digest),
    /// Bytes of a state that it fetches from others: gathered, and in all.
    pub transfer: Option<(u64, u64)>,
    /// Whether it halted.
    pub is_halted: bool,
}

impl Replica {
    /// A machine that goes on from what its log holds.
    #[must_use]
    pub fn new(now: Time, config: Config, recovered: Recovered) -> Self {
        let quorums = config.membership.quorums();
        let genesis = config.membership.genesis_block();
        let mut replica = Self {
            now,
            outbox: Outbox::default(),
            timers: Timers::default(),
            view: ViewState::new(quorums),
            safety: Safety::new(Verified::genesis(&config.membership)),
            blocks: Blocks::new(genesis),
            chain: Chain::at_genesis(genesis),
            tally: Tally::new(quorums, View(0)),
            proposer: None,
            pool: Pool::new(config.limits.clone()),
            executor: Executor::new(&config.parameters),
            checkpoints: Checkpoints::new(quorums),
            peers: Peers::new(quorums, config.limits.verifications_per_peer_max),
            fetches: Fetches::default(),
            catch_up: CatchUp::new(quorums),
            recovering: None,
            waking: Waking::new(quorums),
            truncation: Truncation::default(),
            holds: Holds::new(quorums),
            transfer: None,
            serving: Serving::new(quorums),
            halted: None,
            evidence: BTreeMap::new(),
            config,
        };
        replica.recover(recovered);
        replica.timers.set(Timer::Status, now);
        replica.advance();
        replica
    }

    /// Takes one input. Infallible: a peer cannot make it fail.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        if self.halted.is_some() {
            return;
        }
        match input {
            Input::Message(message) => {
                let (from, message) = message.into_parts();
                self.on_message(from, message);
            }
            Input::Request(client, bundle) => self.verify(Peer::Client(client), Unverified::Bundle(bundle)),
            Input::Connected(peer) => self.on_connected(peer),
            Input::Disconnected(_) => {}
            Input::Looked(page, missing) => self.on_looked(page, missing),
            Input::Installed(head, sessions) => self.on_installed(&head, &sessions),
            Input::Chunk(to, chunk) => self.on_chunk_read(to, chunk),
            Input::Persisted(sequence) => self.outbox.persisted(sequence),
            Input::Verified(peer, result) => self.on_verified(peer, result),
            Input::Executed(height, outcomes) => self.on_executed(height, outcomes),
            Input::Snapshot(head) => self.on_snapshot(head),
            Input::Timeout => self.on_timeout(),
        }
        self.advance();
    }

    /// The next thing to do; call until it gives `None` after every input.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.outbox.pop()
    }

    /// When to give [`Input::Timeout`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.halted.is_some() { None } else { self.timers.next() }
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus {
            view: self.view.entered,
            primary: self.primary(),
            asked: self.view.asked,
            committed: self.blocks.tip().0,
            executed: self.executor.executed(),
            stable: self.checkpoints.stable_height(),
            is_recovering: self.recovering.is_some(),
            is_awake: self.waking.is_awake(),
            state: self.checkpoints.last_own(),
            transfer: self.transfer.as_ref().map(Transfer::progress),
            is_halted: self.halted.is_some(),
        }
    }

    /// A verifier for this replica's cluster, for its driver.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier::new(Arc::clone(&self.config.membership), self.config.parameters.clone())
    }

    /// How much this replica holds for others, for bounds on memory: pending blocks.
    #[must_use]
    pub fn pending_blocks(&self) -> usize {
        self.blocks.pending_count()
    }

    /// How many blocks it holds in all, for bounds on memory.
    #[must_use]
    pub fn held_blocks(&self) -> usize {
        self.blocks.count()
    }

    /// Runs every rule until nothing changes.
    pub(crate) fn advance(&mut self) {
        while self.halted.is_none() {
            let progress = self.try_release()
                | self.try_give_up()
                | self.try_join_view()
                | self.try_enter_view()
                | self.try_new_view()
                | self.try_link()
                | self.try_vote()
                | self.try_certify()
                | self.try_commit()
                | self.try_execute()
                | self.try_truncate()
                | self.try_gather()
                | self.try_propose();
            if !progress {
                break;
            }
        }
        if self.halted.is_none() {
            self.update_view_timer();
        }
    }

    /// Lets messages leave that have become durable. What a replica sends to all counts for
    /// itself from this moment on.
    fn try_release(&mut self) -> bool {
        let mut progress = false;
        while let Some((to, message)) = self.outbox.release() {
            progress = true;
            if to != Recipients::All {
                continue;
            }
            match message {
                Message::Vote(vote) => self.count_vote(self.config.id, vote),
                Message::Commit(commit) => drop(self.tally.on_commit(self.config.id, commit.vote)),
                Message::ViewChange(change) => self.on_own_view_change(change),
                _ => {}
            }
        }
        progress
    }

    fn on_connected(&mut self, peer: Peer) {
        match peer {
            Peer::Client(client) => {
                let epoch = self.config.membership.epoch();
                let welcome = ReplicaMessage::Welcome { epoch, clock: self.now, view: self.view.entered };
                self.outbox.push(Action::Reply(client, welcome));
            }
            Peer::Replica(replica) => {
                self.peers.get_mut(replica).told = None;
                self.tell_again(replica);
                self.send_status(replica);
            }
        }
    }

    fn on_message(&mut self, from: ReplicaId, message: Message) {
        if from == self.config.id || self.config.membership.public_key(from).is_none() {
            return self.reject(Peer::Replica(from), Rejection::UnknownSigner);
        }
        let result = match message {
            Message::Propose(propose) => self.on_propose(from, propose),
            Message::Vote(vote) => self.on_vote(from, vote),
            Message::Commit(commit) => self.on_commit(from, commit),
            Message::ViewChange(change) => self.on_view_change(from, change),
            Message::CheckpointVote(vote) => self.on_checkpoint_vote(from, vote),
            Message::Status(status) => self.on_status(from, status),
            Message::Wish(wish) => self.on_wish(from, wish),
            Message::Evidence(evidence) => self.on_evidence(from, evidence),
            Message::Fetch(fetch) => self.on_fetch(from, fetch),
            Message::Data(data) => self.on_data(from, data),
            Message::Request(bundle) => {
                self.verify(Peer::Replica(from), Unverified::Bundle(bundle));
                Ok(())
            }
        };
        if let Err(reason) = result {
            self.reject(Peer::Replica(from), reason);
        }
    }

    /// Hands something to the verifier, unless the peer has too much there already.
    pub(crate) fn verify(&mut self, peer: Peer, work: Unverified) {
        match self.peers.begin_verification(peer) {
            Ok(()) => self.outbox.push(Action::Verify(peer, work)),
            Err(reason) => self.reject(peer, reason),
        }
    }

    /// Hands something to the verifier that this replica put together itself.
    pub(crate) fn verify_own(&mut self, work: Unverified) {
        self.outbox.push(Action::Verify(Peer::Replica(self.config.id), work));
    }

    fn on_verified(&mut self, peer: Peer, result: Result<Checked, Rejection>) {
        self.peers.end_verification(peer);
        let checked = match result {
            Ok(checked) => checked,
            Err(reason) => {
                return self.reject(peer, reason);
            }
        };
        let result = match checked {
            Checked::Proposal(header, justification, batch) => self.on_proposal(header, justification, batch),
            Checked::Block(header, batch) => self.on_block(header, batch),
            Checked::Headers(headers) => self.on_headers(peer, headers),
            Checked::Votes(vote, certificate, bad) => self.on_certified(vote, certificate, bad),
            Checked::ViewChange(change) => self.on_verified_view_change(change),
            Checked::View(proof) => self.on_view_proof(proof),
            Checked::CheckpointVote(vote) => self.on_verified_checkpoint_vote(vote),
            Checked::Checkpoint(certificate) => self.on_stable(certificate),
            Checked::Evidence(evidence) => self.on_verified_evidence(evidence),
            Checked::Wish(wish) => self.on_verified_wish(wish),
            Checked::Bundle(bundle) => self.on_bundle(peer, bundle),
            Checked::State(header, head, root) => self.on_checked_state(peer, header, head, root),
            Checked::Chunk(id, bytes) => self.on_checked_chunk(peer, id, bytes),
        };
        if let Err(reason) = result {
            self.reject(peer, reason);
        }
    }

    fn on_timeout(&mut self) {
        for timer in Timer::ALL {
            if !self.timers.take_due(timer, self.now) {
                continue;
            }
            match timer {
                Timer::View => self.on_view_timeout(),
                Timer::Batch => self.on_batch_timeout(),
                Timer::Grace => self.chain.is_grace_over = true,
                Timer::Status => self.on_status_timeout(),
                Timer::Fetch => self.on_fetch_timeout(),
                Timer::Fairness => self.on_fairness_timeout(),
                // The block whose time was too far ahead is looked at again by `try_vote`.
                Timer::Clock => {}
                Timer::Transfer => self.on_transfer_timeout(),
                Timer::Serve => self.read_chunks(),
            }
        }
    }

    /// The primary of the view that was entered.
    pub(crate) fn primary(&self) -> ReplicaId {
        self.config.membership.primary(self.view.entered)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.primary() == self.config.id
    }

    /// [V1] [D3] Whether it may propose and vote in the view that it entered.
    pub(crate) fn is_active(&self) -> bool {
        let is_recovering =
            self.recovering.is_some() && !crate::mutation::is(crate::mutation::Mutation::RecoveringVotes);
        self.halted.is_none()
            && !is_recovering
            && self.waking.is_awake()
            && self.view.asked == self.view.entered
    }

    /// [D3] Whether it may promise nothing: it lost its disk, or has not heard yet whether it did.
    pub(crate) const fn is_mute(&self) -> bool {
        self.recovering.is_some() || !self.waking.is_awake()
    }

    pub(crate) fn reject(&mut self, peer: Peer, reason: Rejection) {
        self.outbox.push(Action::Reject(peer, reason));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.push(Action::Event(event));
    }

    pub(crate) fn halt(&mut self, why: Halt) {
        if self.halted.is_none() {
            self.halted = Some(why);
            self.outbox.clear();
            self.outbox.push(Action::Halt(why));
        }
    }

    pub(crate) fn send_to(&mut self, to: ReplicaId, message: Message) {
        self.outbox.send(Recipients::One(to), message);
    }

    pub(crate) fn send_to_all(&mut self, message: Message) {
        self.outbox.send(Recipients::All, message);
    }

    /// Counts a vote whose sender the channel, or this replica itself, vouches for.
    pub(crate) fn count_vote(&mut self, voter: ReplicaId, vote: Vote) {
        use crate::votes::Taken;
        match self.tally.on_vote(voter, vote) {
            Taken::New if vote.vote.view == self.view.entered => {
                if self.chain.contains(vote.vote.height, &vote.vote.digest) {
                    self.tally.acknowledge(voter, vote.vote.height);
                } else if voter != self.config.id {
                    self.note_unknown_vote(voter, vote);
                }
            }
            Taken::Conflict(earlier) => self.on_conflicting_votes(voter, earlier, vote),
            Taken::New | Taken::Known => {}
        }
    }
}
