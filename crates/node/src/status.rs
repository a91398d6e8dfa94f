//! How is a replica doing? A snapshot for operators and tests.

use quorate_consensus::{CommitRule, Event, Peer, ReplicaStatus};
use quorate_transport::{Counters, Reason};
use quorate_types::{Digest, Height, Rejection, ReplicaId, View};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a replica says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which replica.
    pub replica: ReplicaId,
    /// Whether its threads run. What follows is then what it said last.
    pub is_running: bool,
    /// Why it stopped serving, in one sentence.
    pub halted: Option<String>,
    /// Whether it is still writing down, for its operator, the state that made it halt.
    #[serde(default)]
    pub is_dumping: bool,
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
    /// The height of its stable checkpoint.
    pub stable: Height,
    /// The root of the state at that checkpoint, equal at all replicas; `None` before the first.
    pub stable_root: Option<Digest>,
    /// Whether it lost its disk and waits until it may take part again.
    pub is_recovering: bool,
    /// Whether enough others have told it that its disk is whole, so that it takes part.
    pub is_awake: bool,
    /// Height and root of the last state that it vouched for.
    pub state: (Height, Digest),
    /// Bytes of a state that it fetches from others: gathered, and in all.
    pub transfer: Option<(u64, u64)>,
    /// The replicas that it is connected to.
    pub connected: Vec<ReplicaId>,
    /// Client keys that are connected.
    pub clients: usize,
    /// Since it started: how often it asked for a view.
    pub view_changes: u64,
    /// Since it started: blocks that it committed after the first round of votes.
    pub commits_fast: u64,
    /// Since it started: blocks that it committed by other rules.
    pub commits_slow: u64,
    /// Since it started: what it refused, by source and reason, as in `replica/bad-signature`,
    /// `client/oversized`, `peer-socket/unknown-key` or `client-socket/payload-too-large`.
    pub rejections: BTreeMap<String, u64>,
    /// Since it started: frames that it did not send because a receiver was slow, gone or cut off.
    pub frames_dropped: u64,
    /// What it wrote to its log.
    pub log: LogStatus,
    /// Its newest snapshot.
    pub snapshot: SnapshotStatus,
    /// Pieces of evidence that it reported since it started.
    pub evidence: u64,
    /// The replicas against which it reported them, in the order of their numbers.
    #[serde(default)]
    pub accused: BTreeSet<ReplicaId>,
    /// The attack that it runs, in a test cluster.
    pub attack: Option<String>,
    /// How often that attack really deviated from the protocol.
    pub attack_fired: u64,
}

/// What a replica wrote to its log, since it started where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Syncs. Records over syncs is what one sync carries.
    pub syncs: u64,
    /// Records that were made durable.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// Microseconds that all syncs took.
    pub sync_us_total: u64,
    /// Microseconds that the longest sync took.
    pub sync_us_max: u64,
    /// Bytes of all records that the log holds now.
    pub bytes_held: u64,
}

/// What a replica's newest snapshot took, all zero before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotStatus {
    /// Snapshots that it wrote since it started.
    pub snapshots: u64,
    /// The height of the newest.
    pub height: Height,
    /// Bytes of its state.
    pub bytes: u64,
    /// Chunks of its state.
    pub chunks: u64,
    /// Chunks that were not held before.
    pub chunks_new: u64,
    /// Bytes of these.
    pub bytes_new: u64,
    /// Microseconds for which the state machine stood still.
    pub pause_us: u64,
    /// The longest such pause since the replica started.
    pub pause_us_max: u64,
    /// Microseconds until it was durable.
    pub write_us: u64,
    /// Bytes that all snapshots take on the disk.
    pub bytes_held: u64,
    /// Bytes of chunks that came from other replicas since it started.
    pub bytes_fetched: u64,
}

impl Status {
    /// How often it refused something for this reason, whatever the source.
    #[must_use]
    pub fn rejected(&self, reason: &str) -> u64 {
        let of_reason = |name: &str| name.rsplit_once('/').is_some_and(|(_, last)| last == reason);
        self.rejections.iter().filter(|(name, _)| of_reason(name)).map(|(_, count)| count).sum()
    }
}

/// What the driver counts of one replica.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rejections: BTreeMap<(&'static str, Rejection), u64>,
    evidence: u64,
    accused: BTreeSet<ReplicaId>,
    view_changes: u64,
    commits_fast: u64,
    commits_slow: u64,
    stable_root: Option<Digest>,
    halted: Option<String>,
    dump: Dump,
}

/// Whether a state that differs was written down.
#[derive(Debug, Default)]
enum Dump {
    #[default]
    Nothing,
    Writing(PathBuf),
    Written(PathBuf),
    Failed(String),
}

impl Tally {
    pub(crate) fn on_rejected(&mut self, peer: Peer, why: Rejection) {
        let source = match peer {
            Peer::Replica(_) => "replica",
            Peer::Client(_) => "client",
        };
        tracing::debug!(?peer, %why, "rejected a message");
        *self.rejections.entry((source, why)).or_default() += 1;
    }

    pub(crate) fn on_evidence(&mut self, against: ReplicaId) {
        self.evidence += 1;
        self.accused.insert(against);
    }

    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::Committed { rule: CommitRule::Fast, .. } => self.commits_fast += 1,
            Event::Committed { .. } => self.commits_slow += 1,
            Event::ViewChange { view, cause } => {
                self.view_changes += 1;
                tracing::info!(%view, ?cause, "asks for a view");
            }
            Event::Entered(view) => tracing::info!(%view, "entered a view"),
            Event::Recovering => {
                tracing::warn!("the disk was lost or rolled back: waits until it may take part again")
            }
            Event::Recovered(view) => tracing::info!(%view, "takes part again"),
            Event::Fetching(height) => tracing::info!(%height, "fetches the state of the others"),
            Event::Installed(height, root) => {
                tracing::info!(%height, %root, "goes on from the state of the others");
            }
            Event::Stable(_, root) => self.stable_root = Some(*root),
            Event::Certified { .. } => tracing::trace!(?event),
        }
    }

    /// Keeps the first reason; later ones follow from it.
    pub(crate) fn on_halt(&mut self, why: String) {
        if self.halted.is_none() {
            tracing::error!("halted: {why}");
            self.halted = Some(why);
        }
    }

    /// The state that made it halt is being written down.
    pub(crate) fn on_dump(&mut self, path: PathBuf) {
        self.dump = Dump::Writing(path);
    }

    /// It was written down, or why not. Later reasons follow from the first.
    pub(crate) fn on_dumped(&mut self, written: Result<(), String>) {
        self.dump = match (std::mem::take(&mut self.dump), written) {
            (Dump::Nothing, Err(why)) => Dump::Failed(why),
            (Dump::Writing(path), Ok(())) => Dump::Written(path),
            (Dump::Writing(path), Err(why)) => Dump::Failed(format!("{}: {why}", path.display())),
            (settled, _) => settled,
        };
        match &self.dump {
            Dump::Written(path) => tracing::error!("its state was written to {}", path.display()),
            Dump::Failed(why) => tracing::error!("its state was not written down: {why}"),
            Dump::Nothing | Dump::Writing(_) => {}
        }
    }

    /// Why it halted, and where its state lies.
    fn halted(&self) -> Option<String> {
        let why = self.halted.as_ref()?;
        Some(match &self.dump {
            Dump::Nothing => why.clone(),
            Dump::Writing(path) => format!("{why}; its state is being written to {}", path.display()),
            Dump::Written(path) => format!("{why}; its state lies in {}", path.display()),
            Dump::Failed(reason) => format!("{why}; its state was not written down ({reason})"),
        })
    }

    pub(crate) const fn is_dumping(&self) -> bool {
        matches!(self.dump, Dump::Writing(_))
    }

    pub(crate) const fn is_halted(&self) -> bool {
        self.halted.is_some()
    }

    pub(crate) fn status(&self, replica: ReplicaId, machine: ReplicaStatus) -> Status {
        let named = |(&(source, why), &count): (&(&str, Rejection), &u64)| (format!("{source}/{why}"), count);
        Status {
            replica,
            is_running: true,
            halted: self.halted(),
            is_dumping: self.is_dumping(),
            view: machine.view,
            primary: machine.primary,
            asked: machine.asked,
            committed: machine.committed,
            executed: machine.executed,
            stable: machine.stable,
            stable_root: self.stable_root,
            is_recovering: machine.is_recovering,
            is_awake: machine.is_awake,
            state: machine.state,
            transfer: machine.transfer,
            view_changes: self.view_changes,
            commits_fast: self.commits_fast,
            commits_slow: self.commits_slow,
            rejections: self.rejections.iter().map(named).collect(),
            evidence: self.evidence,
            accused: self.accused.clone(),
            ..Status::default()
        }
    }
}

impl Status {
    /// Adds what a socket counted: refusals by this end, and frames that were not sent.
    pub(crate) fn add_socket(&mut self, socket: &str, counters: &Counters) {
        for (reason, count) in counters.ended.iter().filter(|(reason, _)| is_refusal(**reason)) {
            *self.rejections.entry(format!("{socket}/{reason}")).or_default() += count;
        }
        self.frames_dropped += counters.dropped.values().sum::<u64>();
    }
}

/// Whether a connection that ended for this reason was refused, and did not just end.
const fn is_refusal(reason: Reason) -> bool {
    !matches!(reason, Reason::Shutdown | Reason::IdleTimeout | Reason::Replaced | Reason::Cut | Reason::Reset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_types::PublicKey;

    #[test]
    fn rejections_are_counted_by_source_and_summed_by_reason() {
        let mut tally = Tally::default();
        tally.on_rejected(Peer::Replica(ReplicaId(1)), Rejection::BadSignature);
        tally.on_rejected(Peer::Client(PublicKey::default()), Rejection::BadSignature);
        tally.on_rejected(Peer::Client(PublicKey::default()), Rejection::BadSignature);
        let status = tally.status(ReplicaId(0), ReplicaStatus::default());
        assert_eq!(status.rejections["client/bad-signature"], 2);
        assert_eq!(status.rejections["replica/bad-signature"], 1);
        assert_eq!(status.rejected("bad-signature"), 3);
        assert_eq!(status.rejected("signature"), 0);
    }

    #[test]
    fn endings_that_refuse_nobody_are_no_rejections() {
        let ended = [(Reason::Shutdown, 5), (Reason::UnknownKey, 2)];
        let counters = Counters { ended: ended.into(), ..Counters::default() };
        let mut status = Status::default();
        status.add_socket("peer-socket", &counters);
        assert_eq!(status.rejections.len(), 1);
        assert_eq!(status.rejections["peer-socket/unknown-key"], 2);
    }

    #[test]
    fn a_halt_says_where_the_state_lies_or_why_it_does_not() {
        let halted = |tally: &Tally| {
            let status = tally.status(ReplicaId(0), ReplicaStatus::default());
            (status.halted.expect("it halted"), status.is_dumping)
        };
        let mut tally = Tally::default();
        tally.on_halt("it differs".into());
        tally.on_dump("there".into());
        assert_eq!(halted(&tally), ("it differs; its state is being written to there".into(), true));
        tally.on_dumped(Ok(()));
        // What fails afterwards is no news.
        tally.on_dumped(Err("closed".into()));
        assert_eq!(halted(&tally), ("it differs; its state lies in there".into(), false));
        let mut tally = Tally::default();
        tally.on_halt("it differs".into());
        tally.on_dump("there".into());
        tally.on_dumped(Err("the disk is full".into()));
        let sentence = "it differs; its state was not written down (there: the disk is full)";
        assert_eq!(halted(&tally), (sentence.into(), false));
    }

    #[test]
    fn the_first_reason_to_halt_is_kept() {
        let mut tally = Tally::default();
        tally.on_halt("one".into());
        tally.on_halt("other".into());
        assert_eq!(tally.status(ReplicaId(0), ReplicaStatus::default()).halted.as_deref(), Some("one"));
    }
}
