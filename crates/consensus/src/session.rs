//! Which requests run, and how often? The session table inside the replicated state (rule R1).
//!
//! Every replica asks [`SessionTable::admit`] about the requests of committed blocks in their
//! order, so all of them admit the same requests and hold the same table. What a request may
//! hear, and what its client may conclude:
//!
//! | outcome | the request |
//! |---|---|
//! | `SessionExpired` | never ran and never will: its session was never opened and cannot be any more |
//! | `Forgotten` | may have run: its session was evicted, or its number lies below the window |
//! | `SessionsFull` | did not run now; it may later, if it is ordered again while its session may be opened |
//!
//! The first two are told apart by one number: the youngest birth among all evicted sessions.
//! Whoever is younger was never evicted, so if the table does not have it, it was never opened.

use quorate_types::message::Outcome;
use quorate_types::wire::canonical;
use quorate_types::{
    Digest, DigestBuilder, Height, ProtocolParameters, Rejection, RequestNumber, SessionId, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A request runs if its number is greater than the highest executed one of its session minus
/// this; a session caches at most this many outcomes.
pub const SESSION_WINDOW: u64 = 64;

/// The open sessions, what each executed, and the outcomes that a repeat gets.
///
/// [`Self::admit`] is called when a committed block is handed to the state machine, in block
/// order, and [`Self::complete`] when the state machine is done with the request. Admissions never
/// depend on completions, so replicas may execute at their own pace.
#[derive(Clone, Debug)]
pub struct SessionTable {
    open_max: Duration,
    clock_bound: Duration,
    sessions_max: usize,
    /// The greatest agreed time seen. Blocks' times never run back (V5).
    time: Time,
    /// The youngest birth among evicted sessions.
    evicted_birth_max: Option<Time>,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions by birth that were too young to evict when the table last looked.
    protected: BTreeSet<(Time, SessionId)>,
    /// The others by the height of their last execution, as it was when the entry was made. An
    /// entry may lag behind its session, never run ahead of it; [`Self::evict`] corrects it.
    evictable: BTreeSet<(Height, SessionId)>,
}

/// What becomes of a request in a committed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It runs, now and never again.
    Execute,
    /// It was admitted before: the height and outcome of that, or `None` while it is still
    /// running, as then the reply comes by itself.
    Repeat(Option<(Height, Outcome)>),
    /// It does not run, for the reason that the client is told.
    Rejected(Outcome),
    /// It does not run, because the agreed time is too long before its session's birth. The client
    /// is told nothing: the same request may run in a later block.
    Early,
}

/// What [`SessionTable::admit`] would say, in terms of what a replica does with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It would run.
    Executes,
    /// It was admitted; its outcome is not known yet.
    Running,
    /// It was executed at this height with this outcome.
    Executed(Height, Outcome),
    /// It would not run.
    Refused(Rejection),
}

impl SessionTable {
    /// The table before the first block. `parameters` are those of genesis, equal everywhere.
    #[must_use]
    pub fn new(parameters: &ProtocolParameters) -> Self {
        Self {
            open_max: parameters.session_open_max(),
            clock_bound: parameters.clock_bound(),
            sessions_max: parameters.sessions_max as usize,
            time: Time::default(),
            evicted_birth_max: None,
            sessions: BTreeMap::new(),
            protected: BTreeSet::new(),
            evictable: BTreeSet::new(),
        }
    }

    /// Decides about one request of the committed block at `height` with the agreed time
    /// `block_time`. Called for the requests of all blocks in their order; a request that stands in
    /// one block twice runs once. Every number is valid, 0 and the greatest one too.
    pub fn admit(
        &mut self,
        block_time: Time,
        height: Height,
        session: &SessionId,
        number: RequestNumber,
    ) -> Admission {
        self.time = self.time.max(block_time);
        if let Some(known) = self.sessions.get_mut(session) {
            return known.admit(number, height);
        }
        match self.opening(self.time, session) {
            Opening::Allowed => {}
            Opening::Early => return Admission::Early,
            Opening::Expired => return Admission::Rejected(Outcome::SessionExpired),
            Opening::Forgotten => return Admission::Rejected(Outcome::Forgotten),
            Opening::Full => return Admission::Rejected(Outcome::SessionsFull),
        }
        if self.sessions.len() >= self.sessions_max {
            self.evict();
        }
        self.protected.insert((session.birth, *session));
        self.sessions.entry(*session).or_default().admit(number, height)
    }

    /// The state machine executed a request that was admitted at `height`. Its outcome is kept for
    /// repeats as long as the number is in its session's window; it is dropped if the session was
    /// evicted or moved on in the meantime.
    ///
    /// # Panics
    /// If the request was admitted at another height or completed before: the caller mixed up its
    /// executions.
    pub fn complete(&mut self, session: &SessionId, number: RequestNumber, height: Height, outcome: Outcome) {
        let Some(known) = self.sessions.get_mut(session) else { return };
        let Some(entry) = known.entries.get_mut(&number) else { return };
        assert!(entry.height == height, "a request completes at the height at which it was admitted");
        assert!(entry.outcome.is_none(), "a request completes once");
        entry.outcome = Some(outcome);
    }

    /// What [`Self::admit`] would say to a request in the next block if that had this time, or the
    /// last block's time if that is later. Changes nothing.
    #[must_use]
    pub fn outlook(&self, time: Time, session: &SessionId, number: RequestNumber) -> Outlook {
        if let Some(known) = self.sessions.get(session) {
            return known.outlook(number);
        }
        match self.opening(time.max(self.time), session) {
            Opening::Allowed => Outlook::Executes,
            Opening::Early | Opening::Expired | Opening::Forgotten => {
                Outlook::Refused(Rejection::SessionExpired)
            }
            Opening::Full => Outlook::Refused(Rejection::SessionsFull),
        }
    }

    /// The digest of everything that decides about later requests. Only what changed since the last
    /// call is hashed again; the rest costs one leaf digest for each session.
    ///
    /// # Panics
    /// If an admitted request is still running: replicas would disagree by their pace.
    pub fn root(&mut self) -> Digest {
        let mut root = DigestBuilder::new("quorate session table");
        root.part(&canonical(&self.evicted_birth_max));
        for (id, session) in &mut self.sessions {
            root.part(&session.leaf(id).0);
        }
        root.finish()
    }

    /// Number of open sessions, at most `sessions_max`.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.len()
    }

    /// [R1] Whether a session that is not in the table may be opened at this agreed time.
    fn opening(&self, time: Time, session: &SessionId) -> Opening {
        if time < session.birth.before(self.clock_bound) {
            Opening::Early
        } else if self.has_ended(time, session.birth) {
            if self.evicted_birth_max >= Some(session.birth) { Opening::Forgotten } else { Opening::Expired }
        } else if self.sessions.len() < self.sessions_max || self.has_evictable(time) {
            Opening::Allowed
        } else {
            Opening::Full
        }
    }

    /// Whether a session of this birth may no longer be opened, so that evicting it cannot let
    /// anything run twice.
    fn has_ended(&self, time: Time, birth: Time) -> bool {
        time > birth.after(self.open_max)
    }

    fn has_evictable(&self, time: Time) -> bool {
        let oldest = self.protected.first();
        !self.evictable.is_empty() || oldest.is_some_and(|(birth, _)| self.has_ended(time, *birth))
    }

    /// [R1] Evicts the session whose last execution is the longest ago, ties by id, among those that
    /// may no longer be opened. Every correction of a lagging entry is paid for by an execution, so
    /// the cost is logarithmic on average.
    fn evict(&mut self) {
        while let Some((birth, id)) = self.protected.first().copied()
            && self.has_ended(self.time, birth)
        {
            self.protected.remove(&(birth, id));
            self.evictable.insert((self.sessions[&id].executed_last, id));
        }
        while let Some((height, id)) = self.evictable.pop_first() {
            let executed_last = self.sessions[&id].executed_last;
            if executed_last == height {
                self.sessions.remove(&id);
                self.evicted_birth_max = self.evicted_birth_max.max(Some(id.birth));
                return;
            }
            self.evictable.insert((executed_last, id));
        }
    }
}

/// Whether an unknown session may be opened.
enum Opening {
    Allowed,
    Early,
    Expired,
    Forgotten,
    Full,
}

/// One open session.
#[derive(Clone, Debug, Default)]
struct Session {
    executed_last: Height,
    /// The admitted requests whose numbers are in the window, so the highest one is always there.
    entries: BTreeMap<RequestNumber, Entry>,
    /// The session's digest; cleared by an admission, and not computed again before that completed.
    leaf: Option<Digest>,
}

#[derive(Clone, Debug)]
struct Entry {
    height: Height,
    /// `None` while the request is running.
    outcome: Option<Outcome>,
    digest: Option<Digest>,
}

impl Session {
    fn admit(&mut self, number: RequestNumber, height: Height) -> Admission {
        if let Some(entry) = self.entries.get(&number) {
            return Admission::Repeat(entry.outcome.clone().map(|outcome| (entry.height, outcome)));
        }
        if number < self.lowest() {
            return Admission::Rejected(Outcome::Forgotten);
        }
        self.executed_last = height;
        self.entries.insert(number, Entry { height, outcome: None, digest: None });
        let lowest = self.lowest();
        while self.entries.first_key_value().is_some_and(|(number, _)| *number < lowest) {
            self.entries.pop_first();
        }
        self.leaf = None;
        Admission::Execute
    }

    fn outlook(&self, number: RequestNumber) -> Outlook {
        match self.entries.get(&number) {
            Some(Entry { height, outcome: Some(outcome), .. }) => Outlook::Executed(*height, outcome.clone()),
            Some(_) => Outlook::Running,
            None if number < self.lowest() => Outlook::Refused(Rejection::NumberOutOfWindow),
            None => Outlook::Executes,
        }
    }

    /// [R1] The lowest number that may still run.
    fn lowest(&self) -> RequestNumber {
        let highest = self.entries.last_key_value().map(|(number, _)| *number);
        highest.unwrap_or_default().minus(SESSION_WINDOW - 1)
    }

    fn leaf(&mut self, id: &SessionId) -> Digest {
        if let Some(leaf) = self.leaf {
            return leaf;
        }
        let mut leaf = DigestBuilder::new("quorate session");
        leaf.part(&canonical(&(id, self.executed_last)));
        for (number, entry) in &mut self.entries {
            leaf.part(&entry.digest(*number).0);
        }
        let leaf = leaf.finish();
        self.leaf = Some(leaf);
        leaf
    }
}

impl Entry {
    fn digest(&mut self, number: RequestNumber) -> Digest {
        if let Some(digest) = self.digest {
            return digest;
        }
        let outcome = self.outcome.as_ref();
        let outcome = outcome.expect("the root is asked for once every admitted request was completed");
        let digest =
            Digest::of_parts("quorate session entry", &[&canonical(&(number, self.height, outcome))]);
        self.digest = Some(digest);
        digest
    }
}

#[cfg(test)]
mod tests;
