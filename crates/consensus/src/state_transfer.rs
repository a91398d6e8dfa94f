//! How a replica that is far behind, or whose state is wrong, gets the state that the others certified
//! (rule K3).
//!
//! A checkpoint certificate fixes the root, the root fixes the head, the head its pages, and pages their
//! chunks, so a peer can be slow or silent but not lie. Chunks come from several peers at a time: who answers
//! faster is asked for more, who sends anything else is not asked again for a while.

use bytes::Bytes;
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::limited::Limited;
use quorate_types::message::{FETCH_CHUNKS_MAX, Fetch, Message};
use quorate_types::{
    ChunkId, Digest, Height, Quorums, Rejection, ReplicaId, StateHead, Time, Unverified, Verified,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::io::{Action, Event, Halt, Peer};
use crate::mutation::{self, Mutation};
use crate::replica::Replica;
use crate::session::SessionTable;
use crate::timer::Timer;

/// The next page is looked into when fewer chunks are known to be missing.
const WANTED_MIN: usize = 256;
/// Bytes that a peer may owe at first, and at most.
const ROOM_MIN: u64 = 256 << 10;
const ROOM_MAX: u64 = 4 << 20;
/// A chunk is asked of another peer after so many fetch timeouts.
const CHUNK_TIMEOUTS: u32 = 5;
/// Who lied is not asked for so many fetch timeouts.
const LIAR_TIMEOUTS: u32 = 600;
/// Who had nothing, or was slow, is not asked for so many fetch timeouts.
const IDLE_TIMEOUTS: u32 = 4;

/// The state that is being fetched.
#[derive(Debug)]
pub(crate) struct Transfer {
    certificate: Verified<Arc<CheckpointCertificate>>,
    stage: Stage,
    sources: Vec<Source>,
    next_source: usize,
}

#[derive(Debug)]
enum Stage {
    /// The head is asked for, one peer after the other.
    Head { asked: Option<Time>, tries: usize },
    /// Chunks come in.
    Chunks(Gathering),
    /// The driver installs it.
    Installing(Verified<SignedHeader>),
}

/// What is there and what is missing of a state.
#[derive(Debug)]
struct Gathering {
    head: Arc<StateHead>,
    header: Verified<SignedHeader>,
    /// Pages that were not looked into.
    pages: VecDeque<ChunkId>,
    /// The page that the driver looks into, or that is being fetched itself.
    page: Option<ChunkId>,
    /// Missing chunks that nobody was asked for.
    wanted: VecDeque<ChunkId>,
    asked: BTreeMap<Digest, Asked>,
    /// Bytes of all chunks that are known to be there.
    held: u64,
}

#[derive(Debug)]
struct Asked {
    chunk: ChunkId,
    of: Vec<(ReplicaId, Time)>,
}

/// A peer as a source of chunks.
#[derive(Clone, Debug)]
struct Source {
    /// Bytes that it may owe: grows with what it delivers, so that it follows the peer's speed.
    room: u64,
    owed: u64,
    count: usize,
    /// It is not asked before this time.
    pause: Time,
}

impl Transfer {
    fn new(quorums: Quorums, certificate: Verified<Arc<CheckpointCertificate>>, first: usize) -> Self {
        let source = Source { room: ROOM_MIN, owed: 0, count: 0, pause: Time(0) };
        let stage = Stage::Head { asked: None, tries: 0 };
        Self { certificate, stage, sources: vec![source; quorums.n()], next_source: first }
    }

    /// Bytes that are there, and in all.
    pub(crate) fn progress(&self) -> (u64, u64) {
        match &self.stage {
            Stage::Head { .. } => (0, 0),
            Stage::Chunks(gathering) => (gathering.held.min(gathering.head.bytes()), gathering.head.bytes()),
            Stage::Installing(_) => (1, 1),
        }
    }

    fn height(&self) -> Height {
        self.certificate.checkpoint.height
    }
}

impl Replica {
    /// [K3] Begins to fetch the newest certified state, if it is of any use, and goes on to a newer one if the
    /// old one cannot be had.
    pub(crate) fn begin_transfer(&mut self) {
        let Some(stable) = self.checkpoints.stable().cloned() else { return };
        let height = stable.checkpoint.height;
        let is_repair = self.checkpoints.diverged.is_some_and(|diverged| height >= diverged);
        let is_ahead = height > self.blocks.tip().0 && self.checkpoints.diverged.is_none();
        if !is_repair && !is_ahead {
            return;
        }
        let is_stuck = |transfer: &Transfer| {
            let n = self.quorums().n();
            matches!(transfer.stage, Stage::Head { tries, .. } if tries > n) && transfer.height() < height
        };
        if self.transfer.as_ref().is_none_or(is_stuck) {
            self.restart_transfer(stable);
        }
    }

    fn restart_transfer(&mut self, certificate: Verified<Arc<CheckpointCertificate>>) {
        self.event(Event::Fetching(certificate.checkpoint.height));
        let first = self.config.id.index() + 1;
        self.transfer = Some(Transfer::new(self.quorums(), certificate, first));
        self.timers.set(Timer::Transfer, self.now);
    }

    /// Asks for what is missing, looks into the next page, or installs what is complete.
    pub(crate) fn try_gather(&mut self) -> bool {
        let Some(transfer) = &mut self.transfer else { return false };
        if self.checkpoints.diverged.is_none() && transfer.height() <= self.blocks.tip().0 {
            // Blocks came sooner.
            if !matches!(transfer.stage, Stage::Installing(_)) {
                self.transfer = None;
                self.timers.stop(Timer::Transfer);
            }
            return false;
        }
        let Stage::Chunks(gathering) = &mut transfer.stage else { return false };
        if gathering.page.is_none()
            && gathering.wanted.len() < WANTED_MIN
            && let Some(page) = gathering.pages.pop_front()
        {
            gathering.page = Some(page);
            self.outbox.push(Action::LookInto(page));
        }
        let is_complete =
            gathering.page.is_none() && gathering.wanted.is_empty() && gathering.asked.is_empty();
        if is_complete {
            self.install();
            return true;
        }
        self.ask_for_chunks();
        false
    }

    /// [K3] Above the executed height only, but for a state that is known to be wrong (K2).
    fn install(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Chunks(gathering) = &transfer.stage else { return };
        let (head, header) = (Arc::clone(&gathering.head), gathering.header);
        let is_behind = head.height > self.executor.executed() || mutation::is(Mutation::InstalledBelow);
        if !is_behind && self.checkpoints.diverged.is_none() {
            self.transfer = None;
            return;
        }
        transfer.stage = Stage::Installing(header);
        self.timers.stop(Timer::Transfer);
        self.executor.suspend();
        self.outbox.push(Action::Install(head));
    }

    /// [K3] The state is there. Every guard is evaluated again by the caller.
    pub(crate) fn on_installed(&mut self, head: &Arc<StateHead>, sessions: &[u8]) {
        let Some(transfer) = self.transfer.take() else { return };
        let Stage::Installing(header) = transfer.stage else { return };
        let Ok(sessions) = SessionTable::restore(&self.config.parameters, sessions) else {
            return self.halt(Halt::BadSnapshot(head.height));
        };
        self.executor.restart(head.height, head.result_root, sessions);
        self.checkpoints.restart_on(header, head);
        if head.height > self.blocks.tip().0 {
            self.settle_vote();
            self.blocks.restart_on(header);
            self.fetches.forget_to(head.height);
            self.catch_up.restart();
            self.restart_chain_on_tip();
        }
        self.event(Event::Installed(head.height, head.root()));
        self.vote_for_checkpoint(head.height);
        self.cut_at(head.height, head.height);
        // What is above it is asked for at once.
        self.check_behind();
        self.check_behind();
    }

    /// A peer's answer to [`Fetch::State`].
    pub(crate) fn on_state(
        &mut self,
        from: ReplicaId,
        header: SignedHeader,
        head: Arc<StateHead>,
    ) -> Result<(), Rejection> {
        let Some(transfer) = &self.transfer else { return Err(Rejection::Unrequested) };
        if !matches!(transfer.stage, Stage::Head { .. }) {
            return Ok(());
        }
        if header.header.digest() != transfer.certificate.checkpoint.block {
            return Err(Rejection::WrongState);
        }
        self.verify(Peer::Replica(from), Unverified::State(header, head));
        Ok(())
    }

    /// [K3] The head must be the certified one, and the header its block's.
    pub(crate) fn on_checked_state(
        &mut self,
        peer: Peer,
        header: Verified<SignedHeader>,
        head: Arc<StateHead>,
        root: Digest,
    ) -> Result<(), Rejection> {
        let Some(transfer) = &mut self.transfer else { return Ok(()) };
        let Stage::Head { .. } = transfer.stage else { return Ok(()) };
        let certified = &transfer.certificate.checkpoint;
        let is_certified = root == certified.state_root
            && head.height == certified.height
            && header.header.digest() == certified.block;
        if !is_certified && !mutation::is(Mutation::StateUnchecked) {
            if let Peer::Replica(from) = peer {
                self.pause_source(from, LIAR_TIMEOUTS);
            }
            return Err(Rejection::WrongState);
        }
        self.outbox.push(Action::BeginTransfer(Arc::clone(&head), *header));
        transfer.stage = Stage::Chunks(Gathering {
            pages: head.pages().copied().collect(),
            page: None,
            wanted: VecDeque::new(),
            asked: BTreeMap::new(),
            held: 0,
            head,
            header,
        });
        Ok(())
    }

    /// The driver looked into a page.
    pub(crate) fn on_looked(&mut self, page: ChunkId, missing: Option<Vec<ChunkId>>) {
        let Some(Transfer { stage: Stage::Chunks(gathering), .. }) = &mut self.transfer else { return };
        if gathering.page != Some(page) {
            return;
        }
        match missing {
            None => gathering.wanted.push_front(page),
            Some(missing) => {
                gathering.page = None;
                gathering.wanted.extend(missing.iter().filter(|chunk| chunk.bytes > 0));
                let rest: u64 = gathering.wanted.iter().map(|chunk| u64::from(chunk.bytes)).sum();
                if gathering.pages.is_empty() {
                    let asked: u64 = gathering.asked.values().map(|asked| u64::from(asked.chunk.bytes)).sum();
                    gathering.held = gathering.head.bytes().saturating_sub(rest + asked);
                }
            }
        }
    }

    /// A chunk arrived; it is worth a digest only from who owes one.
    pub(crate) fn on_chunk(&mut self, from: ReplicaId, bytes: Bytes) -> Result<(), Rejection> {
        let is_owed = self.transfer.as_ref().is_some_and(|transfer| transfer.sources[from.index()].count > 0);
        if !is_owed {
            return Err(Rejection::Unrequested);
        }
        self.verify(Peer::Replica(from), Unverified::Chunk(bytes));
        Ok(())
    }

    /// [K3] A chunk's digest is known: it is kept if it was asked of this peer.
    pub(crate) fn on_checked_chunk(
        &mut self,
        peer: Peer,
        id: ChunkId,
        bytes: Bytes,
    ) -> Result<(), Rejection> {
        let Peer::Replica(from) = peer else { return Err(Rejection::Unrequested) };
        let Some(transfer) = &mut self.transfer else { return Ok(()) };
        let Stage::Chunks(gathering) = &mut transfer.stage else { return Ok(()) };
        let of = |asked: &Asked| asked.chunk == id && asked.of.iter().any(|(peer, _)| *peer == from);
        let is_asked = gathering.asked.get(&id.digest).is_some_and(of);
        if !is_asked && !mutation::is(Mutation::ChunkUnchecked) {
            // It may have come after its time, when another peer had delivered it already.
            let is_late = transfer.sources[from.index()].pause > self.now;
            self.pause_source(from, LIAR_TIMEOUTS);
            return if is_late { Ok(()) } else { Err(Rejection::WrongState) };
        }
        if let Some(asked) = gathering.asked.remove(&id.digest) {
            for (peer, _) in &asked.of {
                transfer.sources[peer.index()].settle(&asked.chunk);
            }
        }
        let source = &mut transfer.sources[from.index()];
        source.room = (source.room + u64::from(id.bytes)).min(ROOM_MAX);
        gathering.held += u64::from(id.bytes);
        self.outbox.push(Action::StoreChunk(id, bytes));
        if gathering.page == Some(id) {
            self.outbox.push(Action::LookInto(id));
        }
        Ok(())
    }

    /// A peer does not have these chunks (any more).
    pub(crate) fn on_absent(&mut self, from: ReplicaId, digests: &[Digest]) -> Result<(), Rejection> {
        let Some(transfer) = &mut self.transfer else { return Ok(()) };
        let Stage::Chunks(gathering) = &mut transfer.stage else { return Ok(()) };
        for digest in digests {
            let Some(asked) = gathering.asked.get_mut(digest) else { continue };
            let before = asked.of.len();
            asked.of.retain(|(peer, _)| *peer != from);
            if asked.of.len() < before {
                transfer.sources[from.index()].settle(&asked.chunk);
            }
            if asked.of.is_empty()
                && let Some(asked) = gathering.asked.remove(digest)
            {
                gathering.wanted.push_front(asked.chunk);
            }
        }
        self.pause_source(from, IDLE_TIMEOUTS);
        self.move_on();
        Ok(())
    }

    /// Nobody has this state any more, but a newer one is certified: what was gathered of it serves the newer.
    fn move_on(&mut self) {
        let Some(stable) = self.checkpoints.stable().cloned() else { return };
        let Some(transfer) = &self.transfer else { return };
        let is_newer = stable.checkpoint.height > transfer.height();
        let is_installing = matches!(transfer.stage, Stage::Installing(_));
        let paused = transfer.sources.iter().filter(|source| source.pause > self.now).count();
        if is_newer && !is_installing && paused >= self.quorums().weak() {
            self.restart_transfer(stable);
        }
    }

    pub(crate) fn on_transfer_timeout(&mut self) {
        let timeout = self.config.timing.fetch_timeout;
        let Some(transfer) = &mut self.transfer else { return };
        self.timers.set(Timer::Transfer, self.now.after(timeout));
        match &mut transfer.stage {
            Stage::Head { asked, tries } => {
                if asked.is_none_or(|at| at.after(timeout) <= self.now) {
                    *asked = Some(self.now);
                    *tries += 1;
                    self.ask_for_head();
                    self.begin_transfer();
                }
            }
            Stage::Chunks(_) => self.give_up_slow(timeout * CHUNK_TIMEOUTS),
            Stage::Installing(_) => {}
        }
    }

    /// One peer after the other that says to have this checkpoint.
    fn ask_for_head(&mut self) {
        let n = self.quorums().n();
        let Some(transfer) = &mut self.transfer else { return };
        let height = transfer.height();
        for _ in 0..n {
            let index = transfer.next_source % n;
            transfer.next_source = index + 1;
            let peer = ReplicaId(u16::try_from(index).unwrap_or(0));
            let has_it = self.peers.get(peer).status.is_some_and(|(status, _)| status.stable >= height);
            if peer != self.config.id && has_it && transfer.sources[index].pause <= self.now {
                return self.send_to(peer, Message::Fetch(Fetch::State(height)));
            }
        }
    }

    /// Chunks that a peer owes for too long are asked of others.
    fn give_up_slow(&mut self, patience: Duration) {
        let now = self.now;
        let pause = now.after(self.config.timing.fetch_timeout * IDLE_TIMEOUTS);
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Chunks(gathering) = &mut transfer.stage else { return };
        let mut slow: Vec<ReplicaId> = Vec::new();
        let mut free = Vec::new();
        for (digest, asked) in &mut gathering.asked {
            let chunk = asked.chunk;
            asked.of.retain(|(peer, at)| {
                let is_due = at.after(patience) <= now;
                if is_due {
                    transfer.sources[peer.index()].settle(&chunk);
                    slow.push(*peer);
                }
                !is_due
            });
            if asked.of.is_empty() {
                free.push(*digest);
            }
        }
        for digest in free {
            gathering.wanted.extend(gathering.asked.remove(&digest).map(|asked| asked.chunk));
        }
        slow.sort_unstable();
        slow.dedup();
        for peer in slow {
            let source = &mut transfer.sources[peer.index()];
            source.room = (source.room / 2).max(ROOM_MIN / 4);
            source.pause = source.pause.max(pause);
        }
        self.move_on();
        self.ask_for_chunks();
    }

    fn pause_source(&mut self, peer: ReplicaId, timeouts: u32) {
        let until = self.now.after(self.config.timing.fetch_timeout * timeouts);
        if let Some(transfer) = &mut self.transfer {
            let source = &mut transfer.sources[peer.index()];
            source.pause = source.pause.max(until);
        }
    }

    /// Hands missing chunks out to the peers that have room, the fastest first. Near the end, what slower ones
    /// owe is asked of a second peer too.
    fn ask_for_chunks(&mut self) {
        let (now, own) = (self.now, self.config.id);
        let Some(transfer) = &mut self.transfer else { return };
        let height = transfer.height();
        let Stage::Chunks(gathering) = &mut transfer.stage else { return };
        let mut peers: Vec<ReplicaId> = self
            .peers
            .iter()
            .filter(|(peer, known)| {
                let has_it = known.status.is_some_and(|(status, _)| status.stable >= height);
                *peer != own && has_it && transfer.sources[peer.index()].pause <= now
            })
            .map(|(peer, _)| peer)
            .collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(transfer.sources[peer.index()].room));
        let mut questions = Vec::new();
        for peer in peers {
            let source = &mut transfer.sources[peer.index()];
            let mut digests = Vec::new();
            while source.has_room()
                && digests.len() < FETCH_CHUNKS_MAX
                && let Some(chunk) = gathering.next_for(peer)
            {
                source.owe(&chunk);
                gathering
                    .asked
                    .entry(chunk.digest)
                    .or_insert(Asked { chunk, of: Vec::new() })
                    .of
                    .push((peer, now));
                digests.push(chunk.digest);
            }
            if !digests.is_empty() {
                questions.push((peer, digests));
            }
        }
        for (peer, digests) in questions {
            self.send_to(peer, Message::Fetch(Fetch::Chunks(Limited::take(digests))));
        }
    }
}

impl Gathering {
    /// What to ask this peer for next.
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

impl Source {
    fn has_room(&self) -> bool {
        self.count < FETCH_CHUNKS_MAX && (self.owed < self.room || self.count == 0)
    }
    fn owe(&mut self, chunk: &ChunkId) {
        self.owed += u64::from(chunk.bytes);
        self.count += 1;
    }
    fn settle(&mut self, chunk: &ChunkId) {
        self.owed = self.owed.saturating_sub(u64::from(chunk.bytes));
        self.count = self.count.saturating_sub(1);
    }
}
