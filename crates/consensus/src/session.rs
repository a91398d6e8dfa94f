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
use quorate_types::wire::{canonical, from_canonical};
use quorate_types::{Height, ProtocolParameters, Rejection, RequestNumber, SessionId, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::mutation::{self, Mutation};

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
    /// Shared with images, so that a checkpoint copies none of them.
    sessions: BTreeMap<SessionId, Arc<Session>>,
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
            return Arc::make_mut(known).admit(number, height);
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
        Arc::make_mut(self.sessions.entry(*session).or_default()).admit(number, height)
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
        let Some(entry) = Arc::make_mut(known).entries.get_mut(&number) else { return };
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

    /// The table as it is now, to be written from another thread.
    ///
    /// # Panics
    /// When it is written, if an admitted request was still running: replicas would disagree by their pace.
    #[must_use]
    pub fn image(&self) -> SessionImage {
        SessionImage {
            time: self.time,
            evicted_birth_max: self.evicted_birth_max,
            sessions: self.sessions.clone(),
        }
    }

    /// The table that an image wrote.
    ///
    /// # Errors
    /// A decoding error.
    pub fn restore(parameters: &ProtocolParameters, bytes: &[u8]) -> Result<Self, Rejection> {
        let mut table = Self::new(parameters);
        let mut pieces = Pieces(bytes);
        let head = pieces.next().ok_or(Rejection::Truncated)??;
        (table.time, table.evicted_birth_max) = from_canonical(head)?;
        for piece in pieces {
            let (id, mut session): (SessionId, Session) = from_canonical(piece?)?;
            if mutation::is(Mutation::OutcomesForgotten) {
                session.entries.values_mut().for_each(|entry| entry.outcome = None);
            }
            table.protected.insert((id.birth, id));
            table.sessions.insert(id, Arc::new(session));
        }
        Ok(table)
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Session {
    executed_last: Height,
    /// The admitted requests whose numbers are in the window, so the highest one is always there.
    entries: BTreeMap<RequestNumber, Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    height: Height,
    /// `None` while the request is running.
    outcome: Option<Outcome>,
}

/// A session table as it was at one moment.
#[derive(Clone, Debug)]
pub struct SessionImage {
    time: Time,
    evicted_birth_max: Option<Time>,
    sessions: BTreeMap<SessionId, Arc<Session>>,
}

impl SessionImage {
    /// Writes everything that decides about later requests: a piece for the table, then one for each
    /// session in the order of their ids, each behind its length. Equal tables write equal bytes.
    ///
    /// # Errors
    /// Those of the sink.
    ///
    /// # Panics
    /// If an admitted request was still running: replicas would disagree by their pace.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write_piece(out, &canonical(&(self.time, self.evicted_birth_max)))?;
        for (id, session) in &self.sessions {
            let is_complete = session.entries.values().all(|entry| entry.outcome.is_some());
            assert!(is_complete, "an image is taken once every admitted request was completed");
            write_piece(out, &canonical(&(id, &**session)))?;
        }
        Ok(())
    }
}

fn write_piece(out: &mut dyn io::Write, piece: &[u8]) -> io::Result<()> {
    out.write_all(&(piece.len() as u64).to_le_bytes())?;
    out.write_all(piece)
}

/// The pieces that an image wrote.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<&'a [u8], Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let piece = self.0.split_first_chunk::<8>().and_then(|(length, rest)| {
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((piece, rest)) = piece else {
            self.0 = &[];
            return Some(Err(Rejection::Truncated));
        };
        self.0 = rest;
        Some(Ok(piece))
    }
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
        self.entries.insert(number, Entry { height, outcome: None });
        let lowest = self.lowest();
        while self.entries.first_key_value().is_some_and(|(number, _)| *number < lowest) {
            self.entries.pop_first();
        }
        Admission::Execute
    }

    fn outlook(&self, number: RequestNumber) -> Outlook {
        match self.entries.get(&number) {
            Some(_) if mutation::is(Mutation::RepeatGetsLatest) => {
                let latest = self.entries.values().next_back();
                let outcome = latest.and_then(|entry| Some((entry.height, entry.outcome.clone()?)));
                outcome.map_or(Outlook::Running, |(height, outcome)| Outlook::Executed(height, outcome))
            }
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
}

#[cfg(test)]
mod tests;
