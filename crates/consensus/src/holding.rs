//! The cut waits while a peer fetches a state (rules K1, K3). Under load a state that changes much takes longer to travel
//! than two checkpoints are apart: without this its chunks, or the blocks above it, would be gone before it has arrived.
//!
//! Nobody is waited for without end: what is held meanwhile is bounded in bytes of blocks and in snapshots, and whoever held
//! up a cut does not hold up the next one.

use quorate_types::message::CHAIN_MAX;
use quorate_types::{Height, Quorums, ReplicaId, Time};

use crate::replica::Replica;

/// Who asked for nothing for so many fetch timeouts is not waited for: it takes this long to install what it has.
const SILENT_TIMEOUTS: u32 = 300;
/// Most own snapshots above the one that a peer fetches.
const SNAPSHOTS_ABOVE_MAX: usize = 4;
/// So many cuts wait for nobody who held one up: the one that it held up, and the next.
const CUTS_BETWEEN: u32 = 2;

/// For whom the cut waits.
#[derive(Clone, Debug)]
pub(crate) struct Holds(Vec<Hold>);

#[derive(Clone, Debug, Default)]
struct Hold {
    fetched: Option<Fetched>,
    /// So many cuts do not wait for this peer.
    barred: u32,
}

/// A state that a peer fetches.
#[derive(Clone, Copy, Debug)]
struct Fetched {
    height: Height,
    /// When the peer asked last, for the state or for blocks.
    asked: Time,
    /// It had committed less. Otherwise its state is wrong (K2), and what it commits does not show that it has it.
    is_behind: bool,
    /// A cut would have gone further.
    holds_up: bool,
}

impl Holds {
    pub(crate) fn new(quorums: Quorums) -> Self {
        Self(vec![Hold::default(); quorums.n()])
    }

    /// A peer asked for something.
    pub(crate) fn note_asked(&mut self, peer: ReplicaId, now: Time) {
        if let Some(fetched) = &mut self.0[peer.index()].fetched {
            fetched.asked = now;
        }
    }

    /// A cut was made.
    pub(crate) fn note_cut(&mut self) {
        for hold in &mut self.0 {
            hold.barred = hold.barred.saturating_sub(1);
        }
    }

    fn lowest(&self) -> Option<Height> {
        self.0.iter().filter_map(|hold| hold.fetched).map(|fetched| fetched.height).min()
    }

    /// Waits no longer for those.
    fn end(&mut self, is_over: impl Fn(ReplicaId, &Fetched) -> bool) {
        for (peer, hold) in (0..).map(ReplicaId).zip(&mut self.0) {
            if let Some(fetched) = hold.fetched.take_if(|fetched| is_over(peer, fetched))
                && fetched.holds_up
            {
                hold.barred = CUTS_BETWEEN;
            }
        }
    }
}

impl Replica {
    /// A peer asks for the head of a state: what is above it stays, as far as it is still there. Whoever asks for another
    /// one meanwhile is served both, as the lower one keeps what is above.
    pub(crate) fn hold_for(&mut self, peer: ReplicaId, height: Height) {
        let is_behind = self.peers.get(peer).status.is_none_or(|(status, _)| status.committed.0 < height);
        let hold = &mut self.holds.0[peer.index()];
        if hold.fetched.is_none() && hold.barred == 0 && height >= self.truncation.last() {
            hold.fetched = Some(Fetched { height, asked: self.now, is_behind, holds_up: false });
        }
    }

    /// The height beyond which the cut may not go that would go to `next`.
    pub(crate) fn cut_held_at(&mut self, next: Height) -> Height {
        let silent = self.now.before(self.config.timing.fetch_timeout * SILENT_TIMEOUTS);
        let (peers, checkpoints) = (&self.peers, &self.checkpoints);
        // Where only the next cut is reached, the one after it would overtake the peer again.
        let goal = next.max(self.blocks.tip().0.minus(CHAIN_MAX as u64));
        self.holds.end(|peer, fetched| {
            let has_arrived = fetched.is_behind
                && peers.get(peer).status.is_some_and(|(status, _)| status.committed.0 >= goal);
            let is_full = checkpoints.heads_between(fetched.height, next) > SNAPSHOTS_ABOVE_MAX;
            has_arrived || fetched.asked <= silent || is_full
        });
        if self.blocks.committed_bytes() > self.config.limits.held_bytes_max {
            let lowest = self.holds.lowest().filter(|lowest| *lowest < next);
            self.holds.end(|_, fetched| Some(fetched.height) == lowest);
        }
        for fetched in self.holds.0.iter_mut().filter_map(|hold| hold.fetched.as_mut()) {
            fetched.holds_up |= fetched.height < next;
        }
        self.holds.lowest().map_or(next, |lowest| lowest.min(next))
    }
}
