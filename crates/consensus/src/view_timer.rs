//! How long a primary gets, and what counts as a reason to replace it (rule X1): the view timer and
//! the fairness clock.

use quorate_types::{Time, View};
use std::time::Duration;

use crate::io::Cause;
use crate::mutation::{self, Mutation};
use crate::replica::Replica;
use crate::timer::Timer;

/// Most doublings of the view timer; the cap on the timer itself is lower.
const FAILURES_MAX: u32 = 16;
/// [X1] After so many blocks the timer halves.
const BLOCKS_TO_HALVE: u64 = 100;
/// The view timer is at least so many round trips.
const ROUND_TRIPS_PER_VIEW: u32 = 10;

/// What the view timer's length and the fairness clock depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
    blocks_since: u64,
    /// Since when every block's time lags behind the own clock.
    pub(crate) lags_since: Option<Time>,
}

impl Patience {
    /// [X1] After 100 blocks the timer halves.
    pub(crate) fn note_progress(&mut self, blocks: u64) {
        self.blocks_since += blocks;
        if self.blocks_since >= BLOCKS_TO_HALVE {
            self.blocks_since = 0;
            self.failures = self.failures.saturating_sub(1);
        }
    }
}

impl Replica {
    /// [X1] [X2] The timer runs only while known work is uncommitted, and for a view that was not
    /// entered only once Q replicas asked for it or higher ones.
    pub(crate) fn update_view_timer(&mut self) {
        let is_running = self.has_quorum_asked() && self.has_known_work();
        if !is_running {
            self.timers.stop(Timer::View);
        } else if !self.timers.is_set(Timer::View) {
            self.timers.set(Timer::View, self.now.after(self.view_timeout()));
        }
    }

    fn has_quorum_asked(&self) -> bool {
        if self.view.asked == self.view.entered || mutation::is(Mutation::OnlyLatestViewChange) {
            return true;
        }
        let own = self.config.id;
        let others =
            self.peers.iter().filter(|(replica, known)| *replica != own && known.asked >= self.view.asked);
        others.count() + 1 >= self.quorums().quorum()
    }

    /// [X1] In a view v > 0 its first block, the blocks of the present view, requests that would
    /// execute, and wishes.
    fn has_known_work(&mut self) -> bool {
        if self.is_mute() {
            return false;
        }
        let tip = self.blocks.tip().0;
        if self.view.asked > View(0) && self.view.asked > self.view.entered {
            return true;
        }
        if self.is_waiting_for_itself() {
            return false;
        }
        let is_first_open = self.view.entered > View(0) && self.chain.first.is_none_or(|first| first > tip);
        let is_view_open = is_first_open && !self.is_tip_of_view();
        if is_view_open || self.chain.top().0 > tip || self.has_wish() {
            return true;
        }
        let (executor, now) = (&self.executor, self.now);
        self.pool.has_work(|bundle| executor.would_execute(now, bundle))
    }

    /// Whether its own state machine or disk is what it waits for: then it blames nobody. Requests in committed blocks
    /// that wait for a snapshot would execute, so without this they would count as work that the primary neglects.
    pub(crate) fn is_waiting_for_itself(&self) -> bool {
        let tip = self.blocks.tip().0;
        let is_held = self.checkpoints.is_writing_many() && tip > self.executor.dispatched();
        is_held || tip > self.executor.executed().plus(self.config.parameters.window / 2)
    }

    /// Whether a block of the present view is committed, which commits its first block too.
    fn is_tip_of_view(&self) -> bool {
        self.blocks.tip_header().is_some_and(|header| header.view == self.view.entered)
    }

    /// Doubles with every failed view up to the cap; follows measured round trips.
    fn view_timeout(&self) -> Duration {
        let timing = &self.config.timing;
        let measured = self.peers.quorum_round_trip(self.quorums()) * ROUND_TRIPS_PER_VIEW;
        let base = timing.view_timeout_min.max(measured + timing.batch_delay);
        base.saturating_mul(1 << self.view.patience.failures.min(FAILURES_MAX)).min(timing.view_timeout_max)
    }

    pub(crate) fn on_view_timeout(&mut self) {
        // At the cap it does not double, so that 100 blocks halve it from there.
        if self.view_timeout() < self.config.timing.view_timeout_max {
            self.view.patience.failures = (self.view.patience.failures + 1).min(FAILURES_MAX);
        }
        self.view.patience.blocks_since = 0;
        self.ask_for_view(self.view.asked.next(), Cause::Timer);
    }

    /// [X1] Asks for the view after the present one, unless it did already.
    pub(crate) fn depose_primary(&mut self, cause: Cause) {
        if self.view.asked == self.view.entered {
            self.ask_for_view(self.view.entered.next(), cause);
        }
    }

    /// [X1] The fairness clock also runs while every block's time lags behind the own clock.
    pub(crate) fn note_agreed_time(&mut self, time: Time) {
        let is_late = time.after(self.config.parameters.clock_bound()) < self.now;
        let is_lagging = is_late && !self.is_waiting_for_itself();
        if is_lagging {
            // It is new blocks that count: while there are none, nothing lags.
            let since = *self.view.patience.lags_since.get_or_insert(self.now);
            if since.after(self.config.timing.fairness_timeout) <= self.now && !self.is_primary() {
                self.depose_primary(Cause::Fairness);
            }
        } else {
            self.view.patience.lags_since = None;
        }
    }

    fn fairness_deadline(&mut self) -> Option<Time> {
        let oldest = self.pool.oldest_waiting()?;
        let since = oldest.passed_over?.max(oldest.arrived);
        Some(since.after(self.config.timing.fairness_timeout))
    }

    pub(crate) fn arm_fairness(&mut self) {
        if self.is_primary() {
            return;
        }
        match self.fairness_deadline() {
            Some(deadline) => self.timers.set(Timer::Fairness, deadline),
            None => self.timers.stop(Timer::Fairness),
        }
    }

    pub(crate) fn on_fairness_timeout(&mut self) {
        // What would no longer execute is no reason to blame anybody.
        let (executor, now) = (&self.executor, self.now);
        self.pool.drop_waiting_unless(|bundle| executor.would_execute(now, bundle));
        if self.is_waiting_for_itself() {
            return self.timers.set(Timer::Fairness, now.after(self.config.timing.fairness_timeout));
        }
        match self.fairness_deadline() {
            Some(deadline) if deadline <= self.now => self.depose_primary(Cause::Fairness),
            Some(deadline) => self.timers.set(Timer::Fairness, deadline),
            None => {}
        }
    }
}
