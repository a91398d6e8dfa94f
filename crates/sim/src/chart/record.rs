//! What of a run is drawn? What replicas propose, vote for and commit, which views they ask for and enter, who stops and
//! starts, what faults strike, where traitors deviate, and what clients ask for and get.

use quorate_consensus::{Cause, CommitRule, Event, Recipients};
use quorate_types::message::Message;
use quorate_types::statement::VoteStatement;
use quorate_types::{Header, ReplicaId};
use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{BlockId, Chart, Lane, Note, To};
use crate::faults::{Fault, Operation};
use crate::world::World;

pub(super) const PROPOSE: &str = "propose";
pub(crate) const DOWN: &str = "down";
pub(crate) const UP: &str = "up";
/// What a traitor does that deviates by what it does not send.
const WITHHOLD: &str = "withholds";

/// Most notes that are kept: the last ones matter.
const NOTES_MAX: usize = 20_000;

/// Takes notes.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    notes: Vec<Note>,
    /// What was said of a block before, to one or to all: it is said again when somebody lags.
    said: BTreeSet<(Lane, &'static str, BlockId, Option<u16>)>,
    /// Who sent last what deviates, and when.
    deviated: Option<(Lane, u64)>,
}

impl Recorder {
    fn push(&mut self, note: Note) {
        if self.notes.len() >= NOTES_MAX {
            self.notes.drain(..NOTES_MAX / 2);
        }
        let recent = self.notes.iter_mut().rev().take_while(|other| other.at == note.at);
        for other in recent.filter(|other| other.lane == note.lane && other.block.is_some()) {
            if other.words == note.words && other.is_deviation == note.is_deviation {
                match (&mut other.to, &note.to) {
                    // The same is told to several one by one.
                    (To::Only(to), To::Only(more)) if other.block == note.block => {
                        to.extend_from_slice(more);
                        to.sort_unstable();
                        return;
                    }
                    // Who commits a block commits all below it.
                    (To::Nobody, To::Nobody) if other.block < note.block => {
                        other.block = note.block;
                        return;
                    }
                    _ => {}
                }
            }
        }
        self.notes.push(note);
    }
}

impl World {
    /// Begins to take notes.
    pub(crate) fn record(&mut self) {
        self.recorder.get_or_insert_default();
    }

    /// What was recorded.
    pub(crate) fn chart(&self) -> Chart {
        let attack = |host: &crate::host::Host| Some((host.id.0, host.attack_text()?));
        Chart {
            replicas: u16::try_from(self.hosts.len()).unwrap_or(u16::MAX),
            clients: self.clients.len(),
            traitors: self.hosts.iter().filter_map(attack).collect(),
            notes: self.recorder.as_ref().map(|recorder| recorder.notes.clone()).unwrap_or_default(),
        }
    }

    /// Notes something that happens in one lane.
    pub(crate) fn note_of(&mut self, replica: ReplicaId, words: impl FnOnce() -> Cow<'static, str>) {
        self.note(Lane::Replica(replica.0), words);
    }

    /// Notes something that happens to everybody.
    pub(crate) fn note_everywhere(&mut self, words: impl FnOnce() -> Cow<'static, str>) {
        self.note(Lane::Everywhere, words);
    }

    /// Notes something that happens to a client.
    pub(crate) fn note_of_client(&mut self, client: usize, words: impl FnOnce() -> Cow<'static, str>) {
        self.note(Lane::Client(client), words);
    }

    fn note(&mut self, lane: Lane, words: impl FnOnce() -> Cow<'static, str>) {
        let at = self.now;
        if let Some(recorder) = self.recorder() {
            let (block, to, is_deviation) = (None, To::Nobody, false);
            recorder.push(Note { at, lane, words: words(), block, to, is_deviation });
        }
    }

    /// Who takes notes: nobody, if nobody asked for it or the run is decided.
    fn recorder(&mut self) -> Option<&mut Recorder> {
        if self.violation.is_some() { None } else { self.recorder.as_mut() }
    }

    /// Notes what a replica sends. Of honest ones what they send to all, once; of traitors where they deviate.
    pub(crate) fn note_sent(&mut self, from: ReplicaId, to: Recipients, message: &Message) {
        let is_deviation = self.hosts[from.index()].is_deviation();
        let (at, lane) = (self.now, Lane::Replica(from.0));
        let Some(recorder) = self.recorder() else { return };
        if is_deviation {
            recorder.deviated = Some((lane, at));
        }
        let (words, block) = match message {
            Message::Propose(propose) => (PROPOSE, Some(block_of(&propose.header.header))),
            Message::Vote(vote) => ("vote", Some(voted(&vote.vote))),
            Message::Commit(commit) => ("commit vote", Some(voted(&commit.vote))),
            other => (Message::KINDS[other.kind()], None),
        };
        let one = if let Recipients::One(to) = to { Some(to.0) } else { None };
        let is_news = block.is_none_or(|block| recorder.said.insert((lane, words, block, one)));
        if !is_news || !is_deviation && (block.is_none() || one.is_some()) {
            return;
        }
        let words = match message {
            Message::ViewChange(view_change) => format!("view change v{}", view_change.new_view.0).into(),
            _ => words.into(),
        };
        let to = one.map_or(To::All, |to| To::Only(vec![to]));
        recorder.push(Note { at, lane, words, block, to, is_deviation });
    }

    /// Notes that a traitor deviated, if what it sent does not show it.
    pub(crate) fn note_deviation(&mut self, replica: ReplicaId) {
        let (at, lane) = (self.now, Lane::Replica(replica.0));
        let Some(recorder) = self.recorder() else { return };
        if recorder.deviated != Some((lane, at)) {
            let (words, block, to) = (WITHHOLD.into(), None, To::Nobody);
            recorder.push(Note { at, lane, words, block, to, is_deviation: true });
        }
    }

    /// Notes what a traitor tells a client, if it deviates.
    pub(crate) fn note_reply(&mut self, from: ReplicaId, client: usize) {
        let is_deviation = self.hosts[from.index()].is_deviation();
        let (at, lane) = (self.now, Lane::Replica(from.0));
        if let Some(recorder) = self.recorder().filter(|_| is_deviation) {
            recorder.deviated = Some((lane, at));
            let (words, block, to) = (format!("lies to C{client}").into(), None, To::Nobody);
            recorder.push(Note { at, lane, words, block, to, is_deviation });
        }
    }

    /// Notes what a replica says that happened to it.
    pub(crate) fn note_event(&mut self, replica: ReplicaId, event: &Event) {
        let (at, lane) = (self.now, Lane::Replica(replica.0));
        let Some(recorder) = self.recorder() else { return };
        let mut block = None;
        let words: Cow<'static, str> = match event {
            Event::Committed { height, digest, view, rule } => {
                block = Some(BlockId { height: *height, view: *view, digest: *digest });
                committed(*rule).into()
            }
            Event::ViewChange { view, cause } => format!("ask v{} ({})", view.0, reason(*cause)).into(),
            Event::Entered(view) => format!("enter v{}", view.0).into(),
            Event::Stable(height, _) => format!("stable {}", height.0).into(),
            Event::Recovering => "memory lost".into(),
            Event::Recovered(view) => format!("recovered v{}", view.0).into(),
            Event::Fetching(height) => format!("fetch state {}", height.0).into(),
            Event::Installed(height, _) => format!("install state {}", height.0).into(),
            Event::Certified { .. } => return,
        };
        recorder.push(Note { at, lane, words, block, to: To::Nobody, is_deviation: false });
    }

    /// Notes a fault.
    pub(crate) fn note_fault(&mut self, fault: &Fault) {
        self.note_everywhere(|| describe(fault).into());
    }
}

fn block_of(header: &Header) -> BlockId {
    BlockId { height: header.height, view: header.view, digest: header.digest() }
}

const fn voted(vote: &VoteStatement) -> BlockId {
    BlockId { height: vote.height, view: vote.view, digest: vote.digest }
}

const fn committed(rule: CommitRule) -> &'static str {
    match rule {
        CommitRule::Fast => "COMMIT",
        CommitRule::Slow => "COMMIT (slow)",
        CommitRule::Proof => "COMMIT (proof)",
        CommitRule::Log => "COMMIT (log)",
    }
}

const fn reason(cause: Cause) -> &'static str {
    match cause {
        Cause::Timer => "timer",
        Cause::Equivocation => "lie",
        Cause::Fairness => "fairness",
        Cause::Others => "others",
        Cause::Wish => "wish",
    }
}

/// A fault in words.
pub(crate) fn describe(fault: &Fault) -> String {
    let list = |group: &Vec<u16>| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match fault {
        Fault::Cut { from, to } => format!("the link from {from} to {to} is cut"),
        Fault::Partition { groups } => {
            format!("partition: {}", groups.iter().map(list).collect::<Vec<_>>().join(" | "))
        }
        Fault::Bridge { bridge, left, right } => {
            format!("partition: {} | {}, only {bridge} hears both", list(left), list(right))
        }
        Fault::Restore => "all links carry messages again".to_owned(),
        Fault::Crash(replica) => format!("replica {replica} loses power"),
        Fault::Kill(replica) => format!("replica {replica}'s process is killed"),
        Fault::Restart(replica) => format!("replica {replica} is started, unless it runs"),
        Fault::Wipe { replica, with_mark: false } => {
            format!("replica {replica} gets an empty disk, and knows it")
        }
        Fault::Wipe { replica, .. } => {
            format!("replica {replica} gets a new disk, as if it were a new replica")
        }
        Fault::Disk { replica, part, after, operation } => {
            let what = match operation {
                Operation::PowerLoss => "power is lost at",
                Operation::Failure => "the disk fails at",
                Operation::Full => "the disk is full at",
                Operation::Lost => "the disk drops",
                Operation::Misdirected { .. } => "the disk misplaces",
            };
            format!("replica {replica}: {what} operation {after} from now ({part:?})")
        }
        Fault::Flip { replica, part, .. } => format!("replica {replica}: a bit of its disk flips ({part:?})"),
        Fault::FillDisk { replica, room } => {
            format!("replica {replica}: its disk has room for {room} bytes more")
        }
        Fault::FreeDisk(replica) => format!("replica {replica}: its disk has room again"),
        Fault::SlowDisk { replica, slowness } => {
            format!("replica {replica}: its disk takes {slowness} times as long")
        }
        Fault::TakeImage(replica) => format!("an image of replica {replica}'s disk is taken"),
        Fault::RollBack(replica) => format!("replica {replica} goes back to the image of its disk"),
        Fault::Heal => "everything heals; traitors stay".to_owned(),
    }
}
