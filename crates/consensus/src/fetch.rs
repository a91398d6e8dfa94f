//! How missing blocks, headers and proofs are fetched, and how others are served (V4, V7, X2).

use quorate_types::limited::Limited;
use quorate_types::message::{Data, FETCH_BLOCKS_MAX, Fetch, Message, ViewProof};
use quorate_types::{Height, Rejection, ReplicaId, Time, Unverified};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::io::{CommitRule, Peer, Recipients};
use crate::peers::Known;
use crate::replica::Replica;
use crate::select::BlockId;
use crate::timer::Timer;

/// Most blocks that are wanted at a time.
const WANTED_MAX: usize = 512;
/// Most headers that are wanted because of votes.
const HEADERS_MAX: usize = 256;
/// What nobody asked for again within so many timeouts is no longer wanted.
const WANTED_TIMEOUTS: u32 = 8;
/// A block is asked of the next peer after a timeout, or after so many while the peer delivers others: large ones take their
/// time one after the other, and asking for all of them again makes it longer.
const DELIVERING_TIMEOUTS: u32 = 5;
/// Something missing is first asked for after this part of the timeout: it may be on its way.
const FIRST_WAIT_DIVISOR: u32 = 8;

/// A block that is missing.
#[derive(Clone, Debug)]
struct Want {
    wanted: Time,
    /// Whom it was last asked of, and when.
    asked: Option<(ReplicaId, Time)>,
    tries: usize,
    /// Who has it for certain if honest.
    holder: Option<ReplicaId>,
}

/// Everything that was asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetches {
    blocks: BTreeMap<BlockId, Want>,
    headers: BTreeMap<BlockId, Time>,
    certificate_tries: usize,
    /// When a block that was asked for last came from each peer.
    delivered: BTreeMap<ReplicaId, Time>,
}

impl Fetches {
    fn is_wanted(&self, id: &BlockId) -> bool {
        self.blocks.contains_key(id)
    }

    /// Something came; says whether it was asked for.
    pub(crate) fn arrived(&mut self, id: &BlockId) -> bool {
        let was_block = self.blocks.remove(id).is_some();
        self.headers.remove(id).is_some() || was_block
    }

    /// A header came alone; says whether it was asked for.
    pub(crate) fn header_arrived(&mut self, id: &BlockId) -> bool {
        self.headers.remove(id).is_some()
    }

    /// Nothing up to this height is needed any more.
    pub(crate) fn forget_to(&mut self, height: Height) {
        self.blocks.retain(|id, _| id.0 > height);
    }

    /// Whether nobody is expected to send a block soon.
    fn is_due(&self, want: &Want, timeout: Duration, now: Time) -> bool {
        want.asked.is_none_or(|(peer, at)| {
            let last = self.delivered.get(&peer).map_or(at, |delivered| at.max(*delivered));
            last.min(at.after(timeout * (DELIVERING_TIMEOUTS - 1))).after(timeout) <= now
        })
    }

    /// How many blocks and headers are wanted.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.blocks.len(), self.headers.len())
    }

    fn want(&mut self, now: Time, id: BlockId, holder: Option<ReplicaId>) {
        if self.blocks.len() >= WANTED_MAX && !self.is_wanted(&id) {
            return;
        }
        let want = self.blocks.entry(id).or_insert(Want { wanted: now, asked: None, tries: 0, holder });
        want.wanted = now;
    }
}

impl Replica {
    /// Something on the way to a vote or commit is missing: look for it soon.
    pub(crate) fn want_missing(&mut self) {
        let wait = self.config.timing.fetch_timeout / FIRST_WAIT_DIVISOR;
        self.timers.set_if_unset(Timer::Fetch, self.now.after(wait));
    }

    /// A vote names a block that may still be on its way: look for it when it had time to come.
    pub(crate) fn want_later(&mut self) {
        self.timers.set_if_unset(Timer::Fetch, self.now.after(self.config.timing.fetch_timeout));
    }

    pub(crate) fn want_block(&mut self, id: BlockId, holder: Option<ReplicaId>) {
        self.fetches.want(self.now, id, holder);
        self.want_missing();
    }

    /// [V7] Fetches the header of the block for which a peer voted, one at a time per peer.
    pub(crate) fn fetch_header(&mut self, voter: ReplicaId, id: BlockId) {
        let (now, timeout) = (self.now, self.config.timing.fetch_timeout);
        let known = self.peers.get_mut(voter);
        if known.header_asked.is_some_and(|asked| asked.after(timeout) > now) {
            return;
        }
        known.header_asked = Some(now);
        self.fetches.headers.retain(|_, asked| asked.after(timeout * WANTED_TIMEOUTS) > now);
        if self.fetches.headers.len() < HEADERS_MAX {
            self.fetches.headers.insert(id, now);
            self.send_to(voter, Message::Fetch(Fetch::Header(id.0, id.1)));
        }
    }

    pub(crate) fn on_fetch_timeout(&mut self) {
        for (id, holder) in self.missing() {
            self.fetches.want(self.now, id, holder);
        }
        let timeout = self.config.timing.fetch_timeout;
        self.ask_for_wanted(timeout);
        let is_asking = self.ask_for_certificate();
        if is_asking || !self.fetches.blocks.is_empty() {
            self.timers.set_if_unset(Timer::Fetch, self.now.after(timeout / 2));
        }
    }

    /// Asks one holder after the other for a certificate of the present view.
    fn ask_for_certificate(&mut self) -> bool {
        let holders: Vec<ReplicaId> = self.certificate_holders().collect();
        let Some(holder) = holders.get(self.fetches.certificate_tries % holders.len().max(1)) else {
            return false;
        };
        self.fetches.certificate_tries = self.fetches.certificate_tries.wrapping_add(1);
        self.send_to(*holder, Message::Fetch(Fetch::View(self.view.entered.minus(1))));
        true
    }

    /// What is missing on the way to the proven commit, on the chain of the view, and of the
    /// blocks that others voted for.
    fn missing(&self) -> Vec<(BlockId, Option<ReplicaId>)> {
        let tip = self.blocks.tip();
        let mut missing = Vec::new();
        if let Some((target, rule)) = self.catch_up.target() {
            self.add_missing(tip, target, &mut missing);
            if rule == CommitRule::Proof {
                self.spread(&mut missing);
            }
        }
        self.add_missing(tip, self.chain.top(), &mut missing);
        if let Some(unlinked) = self.chain.lowest_unlinked() {
            self.add_missing(self.chain.top(), unlinked, &mut missing);
        }
        for (voter, vote) in self.tally.highest() {
            let id = (vote.vote.height, vote.vote.digest);
            let is_new = id.0 > self.chain.top().0 && id.0 > tip.0 && !self.blocks.is_known(id);
            if is_new && self.chain.candidate(id.0).is_none() {
                missing.push((id, Some(voter)));
            }
        }
        missing
    }

    /// [C5] What is proven to be committed is asked of all who say that they hold it, in turn.
    fn spread(&self, missing: &mut [(BlockId, Option<ReplicaId>)]) {
        for (id, holder) in missing {
            let holds = |known: &Known| {
                known.status.is_some_and(|(status, _)| status.base < id.0 && status.committed.0 >= id.0)
            };
            let holders: Vec<_> = self.peers.iter().filter(|(_, known)| holds(known)).collect();
            let turn = usize::try_from(id.0.0).unwrap_or(0) % holders.len().max(1);
            *holder = holders.get(turn).map(|(peer, _)| *peer);
        }
    }

    fn add_missing(&self, from: BlockId, to: BlockId, missing: &mut Vec<(BlockId, Option<ReplicaId>)>) {
        if to.0 <= from.0 {
            return;
        }
        match self.blocks.path(from, to) {
            Ok(path) => {
                let empty =
                    path.iter().filter(|block| matches!(block.contents, crate::blocks::Contents::Missing));
                missing.extend(empty.map(|block| (block.id(), None)));
            }
            Err(Some(id)) => missing.push((id, None)),
            Err(None) => {}
        }
    }

    /// Asks the holder first, then the primary, then one after the other.
    fn ask_for_wanted(&mut self, timeout: Duration) {
        let (now, own, primary) = (self.now, self.config.id, self.primary());
        let n = self.quorums().n();
        self.fetches.blocks.retain(|_, want| want.wanted.after(timeout * WANTED_TIMEOUTS) > now);
        let mut questions: BTreeMap<ReplicaId, Vec<BlockId>> = BTreeMap::new();
        let wants = self.fetches.blocks.iter();
        let due = wants.filter(|(_, want)| self.fetches.is_due(want, timeout, now)).map(|(id, _)| *id);
        for id in due.collect::<Vec<_>>() {
            let Some(want) = self.fetches.blocks.get_mut(&id) else { continue };
            let first = want.holder.unwrap_or(primary);
            let mut peer = (first.index() + want.tries) % n;
            if peer == own.index() {
                want.tries += 1;
                peer = (peer + 1) % n;
            }
            want.tries += 1;
            let peer = ReplicaId(u16::try_from(peer).unwrap_or(0));
            want.asked = Some((peer, now));
            questions.entry(peer).or_default().push(id);
        }
        for (peer, ids) in questions {
            for part in ids.chunks(FETCH_BLOCKS_MAX) {
                let blocks = Limited::take(part.iter().copied());
                self.send_to(peer, Message::Fetch(Fetch::Blocks(blocks)));
            }
        }
    }

    /// A peer lacks something.
    pub(crate) fn on_fetch(&mut self, from: ReplicaId, fetch: Fetch) -> Result<(), Rejection> {
        self.holds.note_asked(from, self.now);
        match fetch {
            Fetch::Header(height, digest) => {
                if let Some(header) = self.blocks.get((height, digest)).map(|block| *block.signed) {
                    self.serve(from, Data::Header(header));
                }
            }
            Fetch::Blocks(ids) => {
                for id in ids.iter() {
                    let Some(block) = self.blocks.get(*id) else { continue };
                    let Some(batch) = block.batch() else { continue };
                    let data = Data::Block { header: *block.signed, batch: batch.raw().clone() };
                    self.serve(from, data);
                }
            }
            Fetch::Chain(above) => self.serve_chain(from, above),
            Fetch::View(view) if view < self.view.entered => self.send_view_proof(from),
            Fetch::View(_) => {}
            Fetch::Status => self.send_status(from),
            Fetch::State(height) => return self.serve_state(from, height),
            Fetch::Chunks(digests) => return self.on_fetch_chunks(from, &digests),
        }
        Ok(())
    }

    /// Whether a proof opens a view, or is the first certificate of the present one.
    fn is_proof_of_use(&self, proof: &ViewProof) -> bool {
        let own = &self.safety.high_qc().vote;
        // [K3] One below the base, as after a state was installed, leads to no vote either.
        let lacks_certificate = own.view < self.view.entered || own.height < self.blocks.base().0;
        let is_certificate = matches!(proof, ViewProof::Quorum(_));
        proof.view() > self.view.entered
            || (is_certificate && lacks_certificate && proof.view() == self.view.entered)
    }

    /// [D1] A block may be an own proposal that is not durable yet.
    fn serve(&mut self, to: ReplicaId, data: Data) {
        // What is dropped is asked for again.
        if !self.outbox.has_room(to) {
            return self.reject(Peer::Replica(to), Rejection::TooManyPending);
        }
        self.outbox.send_durable(Recipients::One(to), Message::Data(data));
    }

    /// An answer arrived; what nobody asked for is refused before it costs a verification.
    pub(crate) fn on_data(&mut self, from: ReplicaId, data: Data) -> Result<(), Rejection> {
        let peer = Peer::Replica(from);
        match data {
            Data::Header(signed) => {
                let id = (signed.header.height, signed.header.digest());
                if !self.fetches.headers.contains_key(&id) {
                    return Err(Rejection::Unrequested);
                }
                self.verify(peer, Unverified::Headers(vec![signed]));
            }
            Data::Block { header, batch } => {
                let id = (header.header.height, header.header.digest());
                if self.blocks.get(id).is_some_and(|block| block.batch().is_some())
                    || id.0 <= self.blocks.tip().0
                {
                    // Asked for twice, as an answer was slow.
                    return Ok(());
                }
                if !self.fetches.is_wanted(&id) {
                    return Err(Rejection::Unrequested);
                }
                self.fetches.delivered.insert(from, self.now);
                self.verify(peer, Unverified::Block(header, batch));
            }
            Data::Chain(headers) => return self.on_chain(from, headers.into_vec()),
            Data::View(proof) if self.is_proof_of_use(&proof) => self.verify(peer, Unverified::View(proof)),
            Data::View(_) => {}
            Data::State { header, head } => return self.on_state(from, header, head),
            Data::Chunk(bytes) => return self.on_chunk(from, bytes),
            Data::Absent(digests) => return self.on_absent(from, &digests),
            Data::Checkpoint(certificate) => {
                if certificate.checkpoint.height > self.checkpoints.stable_height() {
                    self.verify(peer, Unverified::Checkpoint(certificate));
                }
            }
        }
        Ok(())
    }
}
