//! Which chunks of a state are missing, and who owes which (rule K3)?

use quorate_types::certificate::SignedHeader;
use quorate_types::message::FETCH_CHUNKS_MAX;
use quorate_types::{ChunkId, Digest, ReplicaId, StateHead, Time, Verified};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Bytes that a peer may owe at first, and at most.
const ROOM_MIN: u64 = 256 << 10;
const ROOM_MAX: u64 = 4 << 20;
/// Most chunks that a peer may owe. More than one question asks for, so that it is never without work.
const OWED_MAX: usize = 128;
/// A peer is asked again when it may owe so many more, so that a question asks for many.
const ROOM_TO_ASK: usize = 32;
/// Most chunks that a peer may still send although nobody waits for it.
const LATE_MAX: usize = 4 * OWED_MAX;
/// How often one peer may send what is there already before that is no accident.
const REPEATS_MAX: usize = 1024;

/// What is there and what is missing of a state.
#[derive(Clone, Debug)]
pub(crate) struct Gathering {
    pub(crate) head: Arc<StateHead>,
    pub(crate) header: Verified<SignedHeader>,
    /// Pages that were not looked into.
    pub(crate) pages: VecDeque<ChunkId>,
    /// The page that the driver looks into, or that is being fetched itself.
    pub(crate) page: Option<ChunkId>,
    /// Missing chunks that nobody was asked for.
    pub(crate) wanted: VecDeque<ChunkId>,
    asked: BTreeMap<Digest, Asked>,
    /// Who lacked chunks since the last one came.
    absent: BTreeSet<ReplicaId>,
    /// Bytes of all chunks that are known to be there.
    held: u64,
}

#[derive(Clone, Debug)]
struct Asked {
    chunk: ChunkId,
    of: Vec<(ReplicaId, Time)>,
}

/// A peer as a source of chunks.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Bytes that it may owe: grows with what it delivers, so that it follows the peer's speed.
    room: u64,
    owed: u64,
    count: usize,
    /// Chunks that it may still send: others delivered them sooner, it was too slow, or they come twice.
    late: VecDeque<Digest>,
    repeats: usize,
    /// It is not asked before this time.
    pub(crate) pause: Time,
}

/// What became of a chunk that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was missing.
    New,
    /// It was asked of this peer, and came before.
    Late,
    /// Nobody asked this peer for it.
    Wrong,
}

impl Gathering {
    pub(crate) fn new(head: Arc<StateHead>, header: Verified<SignedHeader>) -> Self {
        Self {
            pages: head.pages().copied().collect(),
            page: None,
            wanted: VecDeque::new(),
            asked: BTreeMap::new(),
            absent: BTreeSet::new(),
            held: 0,
            head,
            header,
        }
    }

    /// Bytes that are there, and in all.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.held.min(self.head.bytes()), self.head.bytes())
    }

    /// A peer lacks a chunk.
    pub(crate) fn note_absent(&mut self, peer: ReplicaId) {
        self.absent.insert(peer);
    }

    /// How many lacked chunks since the last one came.
    pub(crate) fn absent(&self) -> usize {
        self.absent.len()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.pages.is_empty() && self.page.is_none() && self.wanted.is_empty() && self.asked.is_empty()
    }

    /// These chunks of the page are missing, or the page itself.
    pub(crate) fn looked_into(&mut self, page: ChunkId, missing: Option<Vec<ChunkId>>) {
        let Some(missing) = missing else { return self.wanted.push_front(page) };
        self.page = None;
        self.wanted.extend(missing.iter().filter(|chunk| chunk.bytes > 0));
        if self.pages.is_empty() {
            let asked = self.asked.values().map(|asked| &asked.chunk);
            let rest: u64 = self.wanted.iter().chain(asked).map(|chunk| u64::from(chunk.bytes)).sum();
            self.held = self.head.bytes().saturating_sub(rest);
        }
    }

    /// A chunk that this peer was asked for.
    pub(crate) fn first_owed_by(&self, peer: ReplicaId) -> Option<ChunkId> {
        let is_owed = |asked: &&Asked| asked.of.iter().any(|(other, _)| *other == peer);
        self.asked.values().find(is_owed).map(|asked| asked.chunk)
    }

    /// A chunk came from this peer.
    pub(crate) fn take(&mut self, sources: &mut [Source], from: ReplicaId, id: ChunkId) -> Taken {
        let asked = self.asked.get(&id.digest).filter(|asked| asked.chunk == id);
        let is_asked = asked.is_some_and(|asked| asked.of.iter().any(|(peer, _)| *peer == from));
        if !is_asked && !sources[from.index()].late.contains(&id.digest) {
            return Taken::Wrong;
        }
        if let Some(asked) = self.asked.remove(&id.digest) {
            for (peer, _) in asked.of {
                sources[peer.index()].settle(&id);
                if peer != from {
                    sources[peer.index()].is_late_with(id.digest);
                }
            }
        } else {
            let Some(place) = self.wanted.iter().position(|chunk| *chunk == id) else {
                return sources[from.index()].repeats_itself();
            };
            self.wanted.remove(place);
        }
        let source = &mut sources[from.index()];
        // The network may bring it twice.
        source.is_late_with(id.digest);
        source.room = (source.room + u64::from(id.bytes)).min(ROOM_MAX);
        self.held += u64::from(id.bytes);
        self.absent.remove(&from);
        Taken::New
    }

    /// A peer does not have these.
    pub(crate) fn is_absent(&mut self, sources: &mut [Source], from: ReplicaId, digests: &[Digest]) {
        for digest in digests {
            self.withdraw(sources, from, digest);
        }
    }

    /// Nothing is expected of this peer any more.
    pub(crate) fn release(&mut self, sources: &mut [Source], from: ReplicaId) {
        let all: Vec<Digest> = self.asked.keys().copied().collect();
        self.is_absent(sources, from, &all);
        sources[from.index()].late.clear();
    }

    /// Takes a chunk back from a peer; says whether it had been asked for it.
    fn withdraw(&mut self, sources: &mut [Source], from: ReplicaId, digest: &Digest) -> bool {
        let Some(asked) = self.asked.get_mut(digest) else { return false };
        let before = asked.of.len();
        asked.of.retain(|(peer, _)| *peer != from);
        if asked.of.len() == before {
            return false;
        }
        let chunk = asked.chunk;
        sources[from.index()].settle(&chunk);
        if asked.of.is_empty() {
            self.asked.remove(digest);
            self.wanted.push_front(chunk);
        }
        true
    }

    /// Takes back what was asked for before this time; gives those who owed it.
    pub(crate) fn give_up(&mut self, sources: &mut [Source], before: Time) -> Vec<ReplicaId> {
        let is_due = |(_, at): &&(ReplicaId, Time)| *at <= before;
        let of = |asked: &Asked| {
            let digest = asked.chunk.digest;
            asked.of.iter().filter(is_due).map(move |(peer, _)| (*peer, digest)).collect::<Vec<_>>()
        };
        let due: Vec<(ReplicaId, Digest)> = self.asked.values().flat_map(of).collect();
        let mut slow: Vec<ReplicaId> = due.iter().map(|(peer, _)| *peer).collect();
        for (peer, digest) in due {
            self.withdraw(sources, peer, &digest);
            sources[peer.index()].is_late_with(digest);
        }
        slow.sort_unstable();
        slow.dedup();
        for peer in &slow {
            let source = &mut sources[peer.index()];
            source.room = (source.room / 2).max(ROOM_MIN / 4);
        }
        slow
    }

    /// Another state is wanted. What was asked for may still come.
    pub(crate) fn forget(self, sources: &mut [Source]) {
        for (digest, asked) in self.asked {
            for (peer, _) in asked.of {
                sources[peer.index()].settle(&asked.chunk);
                sources[peer.index()].is_late_with(digest);
            }
        }
    }

    /// Gives a peer as much to deliver as it has room for.
    pub(crate) fn ask(&mut self, sources: &mut [Source], peer: ReplicaId, now: Time) -> Vec<Digest> {
        let source = &mut sources[peer.index()];
        let mut digests = Vec::new();
        if source.count + ROOM_TO_ASK > OWED_MAX {
            return digests;
        }
        while source.has_room()
            && digests.len() < FETCH_CHUNKS_MAX
            && let Some(chunk) = self.next_for(peer)
        {
            source.owe(&chunk);
            let asked = self.asked.entry(chunk.digest).or_insert(Asked { chunk, of: Vec::new() });
            asked.of.push((peer, now));
            digests.push(chunk.digest);
        }
        digests
    }

    /// What to ask this peer for next. Near the end, what others owe is asked of a second peer too.
    fn next_for(&mut self, peer: ReplicaId) -> Option<ChunkId> {
        while let Some(chunk) = self.wanted.pop_front() {
            // Two equal chunks of a state are one.
            if !self.asked.contains_key(&chunk.digest) {
                return Some(chunk);
            }
        }
        let is_end = self.pages.is_empty() && self.page.is_none();
        let mut owed = self.asked.values().filter(|asked| asked.of.len() == 1 && asked.of[0].0 != peer);
        is_end.then(|| owed.next().map(|asked| asked.chunk)).flatten()
    }
}

impl Default for Source {
    fn default() -> Self {
        Self { room: ROOM_MIN, owed: 0, count: 0, late: VecDeque::new(), repeats: 0, pause: Time(0) }
    }
}

impl Source {
    /// Whether anything is expected of it.
    pub(crate) fn owes(&self) -> bool {
        self.count > 0 || !self.late.is_empty()
    }
    /// How many chunks it was asked for or may send too late.
    pub(crate) fn held(&self) -> usize {
        self.count + self.late.len()
    }
    pub(crate) const fn room(&self) -> u64 {
        self.room
    }
    fn has_room(&self) -> bool {
        self.count < OWED_MAX && (self.owed < self.room || self.count == 0)
    }
    fn owe(&mut self, chunk: &ChunkId) {
        self.owed += u64::from(chunk.bytes);
        self.count += 1;
    }
    fn settle(&mut self, chunk: &ChunkId) {
        self.owed = self.owed.saturating_sub(u64::from(chunk.bytes));
        self.count = self.count.saturating_sub(1);
    }
    fn is_late_with(&mut self, digest: Digest) {
        if self.late.contains(&digest) {
            return;
        }
        if self.late.len() == LATE_MAX {
            self.late.pop_front();
        }
        self.late.push_back(digest);
    }
    fn repeats_itself(&mut self) -> Taken {
        self.repeats += 1;
        if self.repeats > REPEATS_MAX { Taken::Wrong } else { Taken::Late }
    }
}
