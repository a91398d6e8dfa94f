//! How committed blocks reach the state machine, and replies the clients (rules C4, K1, R1).

use quorate_types::limited::Limited;
use quorate_types::message::{Outcome, REPLY_RESULTS_MAX, ReplicaMessage, Reply};
use quorate_types::wire::canonical_into;
use quorate_types::{
    Bundle, Digest, DigestBuilder, Height, ProtocolParameters, PublicKey, RequestNumber, SessionId, Time,
    View,
};
use std::collections::{BTreeMap, VecDeque};

use crate::io::{Action, Command, Execution};
use crate::mutation::{self, Mutation};
use crate::replica::Replica;
use crate::session::{Admission, Outlook, SessionImage, SessionTable};

/// Most blocks at the state machine at a time.
const IN_EXECUTION_MAX: usize = 64;
/// Most bytes of outcomes in one reply, so that its frame stays within limits.
const REPLY_FRAME_BYTES_MAX: usize = 1 << 20;

/// A block that the state machine works on.
#[derive(Clone, Debug)]
struct Running {
    height: Height,
    requests: Vec<(SessionId, RequestNumber)>,
    is_checkpoint: bool,
}

/// Session table, and how far blocks were handed out and came back.
#[derive(Clone, Debug)]
pub(crate) struct Executor {
    sessions: SessionTable,
    dispatched: Height,
    executed: Height,
    result_root: Digest,
    running: VecDeque<Running>,
    /// Blocks and bytes since the last checkpoint, from which the next one is computed (K1).
    blocks_since: u64,
    bytes_since: u64,
    /// A checkpoint needs the session table as it is after its block: nothing is handed out
    /// until that block came back.
    is_held: bool,
    /// Nothing is handed out while another state is being installed, or has to be (K2, K3).
    is_suspended: bool,
    parameters: ProtocolParameters,
}

impl Executor {
    pub(crate) fn new(parameters: &ProtocolParameters) -> Self {
        Self {
            sessions: SessionTable::new(parameters),
            dispatched: Height(0),
            executed: Height(0),
            result_root: Digest::default(),
            running: VecDeque::new(),
            blocks_since: 0,
            bytes_since: 0,
            is_held: false,
            is_suspended: false,
            parameters: parameters.clone(),
        }
    }

    pub(crate) const fn executed(&self) -> Height {
        self.executed
    }
    pub(crate) const fn dispatched(&self) -> Height {
        self.dispatched
    }
    pub(crate) const fn sessions(&self) -> &SessionTable {
        &self.sessions
    }
    pub(crate) const fn last_result(&self) -> (Height, Digest) {
        (self.executed, self.result_root)
    }
    pub(crate) fn session_image(&self) -> SessionImage {
        self.sessions.image()
    }

    /// Hands nothing out any more, and takes nothing back.
    pub(crate) fn suspend(&mut self) {
        self.is_suspended = true;
        self.running.clear();
    }

    /// Goes on from the state after a block.
    pub(crate) fn restart(&mut self, height: Height, result_root: Digest, sessions: SessionTable) {
        self.sessions = sessions;
        (self.dispatched, self.executed, self.result_root) = (height, height, result_root);
        self.running.clear();
        (self.blocks_since, self.bytes_since) = (0, 0);
        (self.is_held, self.is_suspended) = (false, false);
    }

    /// Whether a block with this time would run at least one of the bundle's requests.
    pub(crate) fn would_execute(&self, time: Time, bundle: &Bundle) -> bool {
        let outlook = |number| self.sessions.outlook(time, bundle.session(), number);
        bundle.requests().iter().any(|request| matches!(outlook(request.number), Outlook::Executes))
    }

    /// [K1] Whether a checkpoint follows a block of so many bytes; a function of the chain alone.
    const fn is_checkpoint_due(&self, bytes: usize) -> bool {
        self.blocks_since + 1 >= self.parameters.checkpoint_interval
            || self.bytes_since + bytes as u64 >= self.parameters.checkpoint_bytes
    }

    const fn count_towards_checkpoint(&mut self, bytes: usize) -> bool {
        let is_due = self.is_checkpoint_due(bytes);
        (self.blocks_since, self.bytes_since) =
            if is_due { (0, 0) } else { (self.blocks_since + 1, self.bytes_since + bytes as u64) };
        is_due
    }
}

/// Results on their way to clients, per session.
#[derive(Default)]
struct Replies(BTreeMap<SessionId, Vec<(RequestNumber, Height, Outcome)>>);

impl Replies {
    fn add(&mut self, session: SessionId, number: RequestNumber, height: Height, outcome: Outcome) {
        self.0.entry(session).or_default().push((number, height, outcome));
    }

    /// The messages, none larger than a frame may be.
    fn into_messages(self, view: View) -> impl Iterator<Item = (PublicKey, ReplicaMessage)> {
        self.0.into_iter().flat_map(move |(session, results)| {
            split_by_bytes(results).into_iter().map(move |results| {
                let results = Limited::take(results);
                let reply = Reply { birth: session.birth, nonce: session.nonce, view, results };
                (session.client, ReplicaMessage::Reply(reply))
            })
        })
    }
}

type Results = Vec<(RequestNumber, Height, Outcome)>;

fn split_by_bytes(results: Results) -> Vec<Results> {
    let mut parts: Vec<Results> = Vec::new();
    let mut bytes = usize::MAX;
    for result in results {
        let size = if let Outcome::Executed(reply) = &result.2 { reply.len() } else { 0 };
        let is_full = parts.last().is_none_or(|part| part.len() >= REPLY_RESULTS_MAX);
        if is_full || bytes.saturating_add(size) > REPLY_FRAME_BYTES_MAX {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(result);
        }
    }
    parts
}

impl Replica {
    /// Hands committed blocks to the state machine, in height order.
    pub(crate) fn try_execute(&mut self) -> bool {
        let mut progress = false;
        while !self.executor.is_held
            && !self.executor.is_suspended
            && self.executor.running.len() < IN_EXECUTION_MAX
            && let Some(block) = self.blocks.committed_at(self.executor.dispatched.next())
            && let Some(batch) = block.batch().cloned()
            && !(self.checkpoints.is_writing_many() && self.executor.is_checkpoint_due(batch.raw().len()))
        {
            let (height, digest, time) = (block.header().height, block.digest, block.header().time);
            self.executor.dispatched = height;
            let is_checkpoint = self.executor.count_towards_checkpoint(batch.raw().len());
            self.executor.is_held = is_checkpoint;
            let commands = self.admit(height, time, batch.bundles());
            let requests = commands.iter().map(|command| (command.session, command.number)).collect();
            self.executor.running.push_back(Running { height, requests, is_checkpoint });
            let execution = Execution { height, block: digest, time, commands };
            self.outbox.push(Action::Execute(execution));
            progress = true;
        }
        progress
    }

    /// [R1] The commands that the session table lets run; the others are answered at once.
    fn admit(&mut self, height: Height, time: Time, bundles: &[Bundle]) -> Vec<Command> {
        let mut commands = Vec::with_capacity(bundles.iter().map(|bundle| bundle.requests().len()).sum());
        let mut replies = Replies::default();
        for bundle in bundles {
            let session = *bundle.session();
            for request in bundle.requests() {
                let admission = self.executor.sessions.admit(time, height, &session, request.number);
                let is_forced =
                    mutation::is(Mutation::RepeatsExecute) && matches!(admission, Admission::Repeat(_));
                match admission {
                    Admission::Execute => {}
                    Admission::Repeat(_) if is_forced => {}
                    Admission::Repeat(None) | Admission::Early => continue,
                    Admission::Repeat(Some((height, outcome))) => {
                        replies.add(session, request.number, height, outcome);
                        continue;
                    }
                    Admission::Rejected(outcome) => {
                        replies.add(session, request.number, height, outcome);
                        continue;
                    }
                }
                let command = request.command.clone();
                commands.push(Command { session, number: request.number, command });
            }
            self.pool.remove(&bundle.id());
        }
        self.reply(replies);
        commands
    }

    /// The state machine is done with a block.
    pub(crate) fn on_executed(&mut self, height: Height, outcomes: Vec<Outcome>) {
        // What was handed out before a state was installed comes back for nobody.
        if self.executor.is_suspended {
            return;
        }
        let Some(running) = self.executor.running.pop_front() else { return };
        assert_eq!(running.height, height, "blocks come back in the order in which they were handed out");
        assert_eq!(running.requests.len(), outcomes.len(), "every command has an outcome");
        let mut replies = Replies::default();
        // [K2] It covers the results of all blocks before, so that whoever missed one still sees a difference.
        let mut root = DigestBuilder::new("quorate results");
        root.part(&self.executor.result_root.0);
        root.part(&height.0.to_le_bytes());
        let mut bytes = Vec::new();
        for ((session, number), outcome) in running.requests.into_iter().zip(outcomes) {
            bytes.clear();
            canonical_into(&(number, &outcome), &mut bytes);
            root.part(&bytes);
            if !mutation::is(Mutation::RepeatsExecute) {
                self.executor.sessions.complete(&session, number, height, outcome.clone());
            }
            replies.add(session, number, height, outcome);
        }
        self.executor.executed = height;
        self.executor.result_root = root.finish();
        self.note_own_result(height, self.executor.result_root);
        self.reply(replies);
        if running.is_checkpoint {
            self.executor.is_held = false;
            self.begin_checkpoint(height);
        }
    }

    fn reply(&mut self, replies: Replies) {
        for (client, message) in replies.into_messages(self.view.entered) {
            self.outbox.push(Action::Reply(client, message));
        }
    }

    /// A client asked again for something that was executed: it gets the cached outcome.
    pub(crate) fn reply_again(
        &mut self,
        session: &SessionId,
        number: RequestNumber,
        height: Height,
        outcome: Outcome,
    ) {
        let mut replies = Replies::default();
        replies.add(*session, number, height, outcome);
        self.reply(replies);
    }
}
