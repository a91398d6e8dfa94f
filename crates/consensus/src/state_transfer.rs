//! How a replica that is far behind, or whose state is wrong, gets the state that the others certified
//! (rule K3).
//!
//! A checkpoint certificate fixes the root, the root fixes the head, the head its pages, and pages their
//! chunks, so a peer can be slow or silent but not lie. Chunks come from several peers at a time: who answers
//! faster is asked for more, who sends anything else is not asked again for a while.

use bytes::Bytes;
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::limited::Limited;
use quorate_types::message::{Fetch, Message};
use quorate_types::state::CHUNK_BYTES_MAX;
use quorate_types::{
    ChunkId, Digest, Height, Quorums, Rejection, ReplicaId, StateHead, Time, Unverified, Verified,
};
use std::sync::Arc;

use crate::gathering::{Gathering, Source, Taken};
use crate::io::{Action, Event, Halt, Peer};
use crate::mutation::{self, Mutation};
use crate::replica::Replica;
use crate::session::SessionTable;
use crate::timer::Timer;

/// The next page is looked into when fewer chunks are known to be missing.
const WANTED_MIN: usize = 256;
/// A chunk is asked of another peer after so many fetch timeouts.
const CHUNK_TIMEOUTS: u32 = 5;
/// Who lied is not asked for so many fetch timeouts.
const LIAR_TIMEOUTS: u32 = 600;
/// Who had nothing, or was slow, is not asked for so many fetch timeouts.
const IDLE_TIMEOUTS: u32 = 4;

/// The state that is being fetched.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    certificate: Verified<Arc<CheckpointCertificate>>,
    stage: Stage,
    sources: Vec<Source>,
    next_source: usize,
    /// Who was told which state this is, so that it keeps it and the blocks above.
    told: Vec<bool>,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The head is asked for, one peer after the other.
    Head { asked: Option<Time>, tries: usize, of: Vec<ReplicaId> },
    /// Chunks come in.
    Chunks(Gathering),
    /// The driver installs it.
    Installing(Verified<SignedHeader>),
}

impl Transfer {
    fn new(quorums: Quorums, certificate: Verified<Arc<CheckpointCertificate>>, first: usize) -> Self {
        let stage = Stage::Head { asked: None, tries: 0, of: Vec::new() };
        let n = quorums.n();
        let (sources, told) = (vec![Source::default(); n], vec![false; n]);
        Self { certificate, stage, sources, next_source: first, told }
    }

    /// What is known of the peers. They may still send what they were asked for, and who had nothing of this
    /// state, and so pauses no longer than that, may have all of the next.
    fn into_sources(self, idle: Time) -> Vec<Source> {
        let mut sources = self.sources;
        if let Stage::Chunks(gathering) = self.stage {
            gathering.forget(&mut sources);
        }
        for source in sources.iter_mut().filter(|source| source.pause <= idle) {
            source.pause = Time(0);
        }
        sources
    }

    /// Bytes that are there, and in all.
    pub(crate) fn progress(&self) -> (u64, u64) {
        match &self.stage {
            Stage::Head { .. } => (0, 0),
            Stage::Chunks(gathering) => gathering.progress(),
            Stage::Installing(_) => (1, 1),
        }
    }

    /// How many chunks a peer may still send.
    pub(crate) fn held_of(&self, peer: ReplicaId) -> usize {
        self.sources[peer.index()].held()
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
        let mut transfer = Transfer::new(self.quorums(), certificate, first);
        if let Some(before) = self.transfer.take() {
            // Silent sources of a head are not asked first every time.
            transfer.next_source = before.next_source;
            transfer.sources =
                before.into_sources(self.now.after(self.config.timing.fetch_timeout * IDLE_TIMEOUTS));
        }
        self.transfer = Some(transfer);
        self.timers.set(Timer::Transfer, self.now);
    }

    /// Asks for what is missing, looks into the next page, or installs what is complete.
    pub(crate) fn try_gather(&mut self) -> bool {
        let Some(transfer) = &mut self.transfer else { return false };
        let is_overtaken = transfer.height() <= self.blocks.tip().0;
        if self.checkpoints.diverged.is_none() && is_overtaken && !mutation::is(Mutation::InstalledBelow) {
            // Blocks came sooner.
            if !matches!(transfer.stage, Stage::Installing(_)) {
                self.abandon_transfer();
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
        if gathering.is_complete() {
            self.install();
            return true;
        }
        self.ask_for_chunks();
        false
    }

    fn abandon_transfer(&mut self) {
        // Also without chunks in this one: it may have taken the place of another.
        if self.transfer.take().is_some() {
            self.outbox.push(Action::AbandonTransfer);
        }
        self.timers.stop(Timer::Transfer);
    }

    /// [K3] Above the executed height only, but for a state that is known to be wrong (K2).
    fn install(&mut self) {
        let Some(transfer) = &mut self.transfer else { return };
        let Stage::Chunks(gathering) = &transfer.stage else { return };
        let (head, header) = (Arc::clone(&gathering.head), gathering.header);
        let is_behind = head.height > self.executor.executed() || mutation::is(Mutation::InstalledBelow);
        if !is_behind && self.checkpoints.diverged.is_none() {
            return self.abandon_transfer();
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
        self.compare_with_certified(head.height);
        self.vote_for_checkpoint(head.height);
        self.cut_at(head.height, head.height);
        // What is above it is asked for at once.
        self.check_behind();
        self.check_behind();
    }

    /// A peer that may have started anew does not know what is fetched.
    pub(crate) fn tell_again(&mut self, peer: ReplicaId) {
        if let Some(transfer) = &mut self.transfer {
            transfer.told[peer.index()] = false;
        }
    }

    /// A peer's answer to [`Fetch::State`].
    pub(crate) fn on_state(
        &mut self,
        from: ReplicaId,
        header: SignedHeader,
        head: Arc<StateHead>,
    ) -> Result<(), Rejection> {
        let Some(transfer) = &mut self.transfer else { return Err(Rejection::Unrequested) };
        let Stage::Head { of, .. } = &mut transfer.stage else { return Ok(()) };
        let Some(place) = of.iter().position(|peer| *peer == from) else {
            return Err(Rejection::Unrequested);
        };
        of.swap_remove(place);
        if header.header.height != transfer.height() {
            // An answer to an earlier question, perhaps.
            return Err(Rejection::Unrequested);
        }
        if header.header.digest() != transfer.certificate.checkpoint.block {
            self.distrust(from);
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
                self.distrust(from);
            }
            return Err(Rejection::WrongState);
        }
        self.outbox.push(Action::BeginTransfer(Arc::clone(&head), *header));
        transfer.stage = Stage::Chunks(Gathering::new(head, header));
        Ok(())
    }

    /// The driver looked into a page.
    pub(crate) fn on_looked(&mut self, page: ChunkId, missing: Option<Vec<ChunkId>>) {
        let Some(Transfer { stage: Stage::Chunks(gathering), .. }) = &mut self.transfer else { return };
        if gathering.page != Some(page) {
            return;
        }
        gathering.looked_into(page, missing);
    }

    /// A chunk arrived; it is worth a digest only from who owes one.
    pub(crate) fn on_chunk(&mut self, from: ReplicaId, bytes: Bytes) -> Result<(), Rejection> {
        let is_owed = self.transfer.as_ref().is_some_and(|transfer| transfer.sources[from.index()].owes());
        if !is_owed {
            return Err(Rejection::Unrequested);
        }
        if bytes.is_empty() || bytes.len() > CHUNK_BYTES_MAX {
            self.distrust(from);
            return Err(Rejection::Oversized);
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
        let Some(Transfer { stage: Stage::Chunks(gathering), sources, .. }) = &mut self.transfer else {
            return Ok(());
        };
        let id = if mutation::is(Mutation::ChunkUnchecked) {
            gathering.first_owed_by(from).unwrap_or(id)
        } else {
            id
        };
        match gathering.take(sources, from, id) {
            Taken::Wrong => {
                self.distrust(from);
                return Err(Rejection::WrongState);
            }
            Taken::Late => return Ok(()),
            Taken::New => {}
        }
        let is_page = gathering.page == Some(id);
        self.outbox.push(Action::StoreChunk(id, bytes));
        if is_page {
            self.outbox.push(Action::LookInto(id));
        }
        Ok(())
    }

    /// A peer does not have these chunks (any more).
    pub(crate) fn on_absent(&mut self, from: ReplicaId, digests: &[Digest]) -> Result<(), Rejection> {
        let Some(Transfer { stage: Stage::Chunks(gathering), sources, .. }) = &mut self.transfer else {
            return Ok(());
        };
        gathering.is_absent(sources, from, digests);
        gathering.note_absent(from);
        self.pause_source(from, IDLE_TIMEOUTS);
        self.move_on();
        Ok(())
    }

    /// Who lied is not asked for a while, and what it owes is asked of others at once.
    fn distrust(&mut self, liar: ReplicaId) {
        self.pause_source(liar, LIAR_TIMEOUTS);
        if let Some(Transfer { stage: Stage::Chunks(gathering), sources, .. }) = &mut self.transfer {
            gathering.release(sources, liar);
        }
    }

    /// Nobody has this state any more, as W peers say, but a newer one is certified: what was gathered of it serves the
    /// newer. Who is merely slow still has it.
    fn move_on(&mut self) {
        let Some(stable) = self.checkpoints.stable().cloned() else { return };
        let Some(transfer) = &self.transfer else { return };
        let is_newer = stable.checkpoint.height > transfer.height();
        let Stage::Chunks(gathering) = &transfer.stage else { return };
        if is_newer && gathering.absent() >= self.quorums().weak() {
            self.restart_transfer(stable);
        }
    }

    pub(crate) fn on_transfer_timeout(&mut self) {
        let timeout = self.config.timing.fetch_timeout;
        let Some(transfer) = &mut self.transfer else { return };
        self.timers.set(Timer::Transfer, self.now.after(timeout));
        match &mut transfer.stage {
            Stage::Head { asked, tries, .. } => {
                if asked.is_none_or(|at| at.after(timeout) <= self.now) {
                    *asked = Some(self.now);
                    *tries += 1;
                    self.ask_for_head();
                    self.begin_transfer();
                }
            }
            Stage::Chunks(_) => self.give_up_slow(),
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
                if let Stage::Head { of, .. } = &mut transfer.stage
                    && !of.contains(&peer)
                {
                    of.push(peer);
                }
                transfer.told[index] = true;
                return self.send_to(peer, Message::Fetch(Fetch::State(height)));
            }
        }
    }

    /// Chunks that a peer owes for too long are asked of others.
    fn give_up_slow(&mut self) {
        let timeout = self.config.timing.fetch_timeout;
        let Some(Transfer { stage: Stage::Chunks(gathering), sources, .. }) = &mut self.transfer else {
            return;
        };
        let slow = gathering.give_up(sources, self.now.before(timeout * CHUNK_TIMEOUTS));
        for peer in slow {
            self.pause_source(peer, IDLE_TIMEOUTS);
        }
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
        peers.sort_by_key(|peer| std::cmp::Reverse(transfer.sources[peer.index()].room()));
        let mut questions = Vec::new();
        for peer in peers {
            let digests = gathering.ask(&mut transfer.sources, peer, now);
            if !digests.is_empty() {
                if !std::mem::replace(&mut transfer.told[peer.index()], true) {
                    questions.push((peer, Fetch::State(height)));
                }
                questions.push((peer, Fetch::Chunks(Limited::take(digests))));
            }
        }
        for (peer, question) in questions {
            self.send_to(peer, Message::Fetch(question));
        }
    }
}
