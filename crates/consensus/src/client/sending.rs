//! How do submissions become numbered, signed and sent, and for how long? Rules R1 (sessions,
//! numbers, bundles) and R2 (the primary first, then all).

use bytes::Bytes;
use quorate_types::message::ClientMessage;
use quorate_types::{
    BUNDLE_OVERHEAD_MAX, BUNDLE_REQUESTS_MAX, Bundle, Digest, ReplicaId, RequestNumber, SessionId, Time,
};
use std::collections::BTreeMap;

use super::request::{Flight, Request, Submission};
use super::{
    Client, ClientAction, ClientConfig, ClientError, FORMER_SESSIONS_MAX, RETRIES_IN_FLIGHT_MAX, RequestId,
    Session,
};
use crate::session::SESSION_WINDOW;

/// Bytes that number and length of one command take in a bundle at most.
const REQUEST_BYTES_MAX: usize = 16;
/// Bytes that session and signature take in a bundle at most.
const BUNDLE_BYTES_MAX: usize = BUNDLE_OVERHEAD_MAX - BUNDLE_REQUESTS_MAX * REQUEST_BYTES_MAX;

/// Sending what is queued.
impl Client {
    /// Whether a bundle with this command alone is within the cluster's limits.
    pub(super) fn is_within(&self, command: &Bytes) -> bool {
        command.len() <= self.config.parameters.command_bytes_max as usize
            && Packing::new(&self.config).has_room_for(command)
    }

    /// Sends submissions as far as the window allows.
    pub(super) fn try_send(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        if self.is_session_idle() || self.is_session_stuck() {
            self.retire_session();
        }
        let Some(session) = self.session() else {
            self.hello_at.get_or_insert(self.now.after(self.pace.timeout()));
            return;
        };
        while self.contacts.connected().next().is_some() {
            let bundle = self.take_submissions();
            if bundle.is_empty() {
                return;
            }
            self.launch(session, bundle, false);
        }
    }

    /// Gives numbers to the submissions of one bundle.
    fn take_submissions(&mut self) -> Vec<(RequestNumber, Submission)> {
        let mut packing = Packing::new(&self.config);
        let window = self.config.window.clamp(1, SESSION_WINDOW as usize);
        let Some(session) = &mut self.session else { return Vec::new() };
        while let Some(submission) = self.queue.front()
            && session.has_window(window)
            && packing.has_room_for(&submission.command)
        {
            let Some(submission) = self.queue.pop_front() else { break };
            packing.push(session.next, submission);
            session.next = session.next.next();
            session.in_flight += 1;
        }
        packing.requests
    }

    /// Sends retries, those of one session that wait side by side in one bundle.
    pub(super) fn try_send_retries(&mut self) {
        while let Some((RequestId { session, .. }, _)) = self.retries.front()
            && self.retries_in_flight < RETRIES_IN_FLIGHT_MAX
            && self.contacts.connected().next().is_some()
        {
            let session = *session;
            let bundle = self.take_retries(session);
            if !bundle.is_empty() {
                self.launch(session, bundle, true);
            }
        }
    }

    fn take_retries(&mut self, session: SessionId) -> Vec<(RequestNumber, Submission)> {
        let mut packing = Packing::new(&self.config);
        while let Some((id, submission)) = self.retries.front()
            && id.session == session
            && self.retries_in_flight < RETRIES_IN_FLIGHT_MAX
            && packing.has_room_for(&submission.command)
            && !packing.requests.iter().any(|(number, _)| *number == id.number)
        {
            let Some((id, submission)) = self.retries.pop_front() else { break };
            if self.requests.contains_key(&id) {
                self.join(id, &submission);
            } else {
                self.retries_in_flight += 1;
                packing.push(id.number, submission);
            }
        }
        packing.requests
    }

    /// [R1] Signs once and sends: [R2] to the primary hint, or to all if that is not connected.
    fn launch(&mut self, session: SessionId, requests: Vec<(RequestNumber, Submission)>, is_retry: bool) {
        let listed: Vec<(RequestNumber, Bytes)> =
            requests.iter().map(|(number, submission)| (*number, submission.command.clone())).collect();
        let bundle = Bundle::sign(&self.config.cluster, &self.config.key, session, &listed);
        let resend_at = self.now.after(self.pace.timeout());
        let flight = Flight {
            raw: bundle.raw().clone(),
            session,
            numbers: listed.iter().map(|(number, _)| *number).collect(),
            open: listed.len(),
            sent_at: self.now,
            is_measured: false,
            resends: 0,
            resend_at,
            timer: resend_at,
            refusals: BTreeMap::new(),
        };
        for (number, submission) in requests {
            let id = RequestId { session, number };
            self.ids.insert(submission.ticket, id);
            self.requests.insert(id, Request::new(bundle.id(), submission, is_retry));
        }
        self.timers.insert((flight.timer, bundle.id()));
        self.bundles.insert(bundle.id(), flight);
        self.set_timer(bundle.id());
        match self.contacts.primary() {
            Some(primary) => self.send(primary, ClientMessage::Request(bundle.raw().clone())),
            None => self.send_to_all(&ClientMessage::Request(bundle.raw().clone())),
        }
    }

    fn send(&mut self, replica: ReplicaId, message: ClientMessage) {
        self.actions.push_back(ClientAction::Send(replica, message));
    }

    fn send_to_all(&mut self, message: &ClientMessage) {
        let sends = self.contacts.connected().map(|replica| ClientAction::Send(replica, message.clone()));
        self.actions.extend(sends);
    }
}

/// Sessions: born from clocks, retired when they were idle, stuck or lost.
impl Client {
    /// [R1] The first Q clocks make the birth of the next session.
    pub(super) fn on_clock(&mut self, replica: ReplicaId, clock: Time) {
        if self.session.is_some() {
            return;
        }
        self.contacts.on_clock(self.now, replica, clock);
        if let Some((birth, used_at)) = self.contacts.take_birth() {
            let id = SessionId { client: self.config.key.public(), birth, nonce: self.nonce };
            let (next, lowest) = (RequestNumber::default(), RequestNumber::default());
            self.session = Some(Session { id, next, lowest, in_flight: 0, used_at });
            self.nonce = self.nonce.wrapping_add(1);
            self.hello_at = None;
        }
    }

    /// A session that was born or used long ago may no longer be opened, or may be evicted by now:
    /// its next request would be lost. So an idle one is replaced in good time.
    fn is_session_idle(&self) -> bool {
        let idle_max = self.config.parameters.session_open_max() / 2;
        self.session
            .as_ref()
            .is_some_and(|session| session.in_flight == 0 && self.now.since(session.used_at) > idle_max)
    }

    /// Whether the window is closed by a request that everybody gave up.
    fn is_session_stuck(&self) -> bool {
        let window = self.config.window.clamp(1, SESSION_WINDOW as usize);
        let Some(session) = self.session.as_ref().filter(|session| !session.has_window(window)) else {
            return false;
        };
        let lowest = RequestId { session: session.id, number: session.lowest };
        let Some(request) = self.requests.get(&lowest).filter(|request| request.tickets.is_empty()) else {
            return false;
        };
        let flight = &self.bundles[&request.bundle];
        self.now >= flight.sent_at.after(self.config.deadline)
    }

    /// New requests get a new session. Those in flight go on under the old one while somebody waits;
    /// their timers drop the others.
    pub(super) fn retire_session(&mut self) {
        let Some(Session { id: session, .. }) = self.session.take() else { return };
        self.remember(session);
        self.send_to_all(&ClientMessage::Hello);
        self.hello_at = Some(self.now.after(self.pace.timeout()));
    }

    pub(super) fn remember(&mut self, session: SessionId) {
        if !self.former.contains(&session) {
            self.former.truncate(FORMER_SESSIONS_MAX - 1);
            self.former.push_front(session);
        }
    }

    /// Takes a request out of flight.
    pub(super) fn close(&mut self, id: &RequestId) -> Option<Request> {
        let request = self.requests.remove(id)?;
        if let Some(flight) = self.bundles.get_mut(&request.bundle) {
            flight.open -= 1;
            if flight.open == 0 {
                self.timers.remove(&(flight.timer, request.bundle));
                self.bundles.remove(&request.bundle);
            }
        }
        if request.is_retry {
            self.retries_in_flight -= 1;
            self.remember_unless_present(id.session);
        } else if let Some(session) = &mut self.session
            && session.id == id.session
        {
            session.in_flight -= 1;
            session.used_at = self.now;
            let is_in_flight = |number| {
                let request = self.requests.get(&RequestId { session: id.session, number });
                request.is_some_and(|request| !request.is_retry)
            };
            while session.lowest < session.next && !is_in_flight(session.lowest) {
                session.lowest = session.lowest.next();
            }
        }
        Some(request)
    }

    fn remember_unless_present(&mut self, session: SessionId) {
        if self.session() != Some(session) {
            self.remember(session);
        }
    }

    /// Stops asking for a request that nobody waits for, unless the window depends on it.
    pub(super) fn drop_if_useless(&mut self, id: RequestId) {
        let present = self.session();
        let is_useless = |request: &Request| {
            request.tickets.is_empty() && (request.is_retry || present != Some(id.session))
        };
        if self.requests.get(&id).is_some_and(is_useless) {
            self.close(&id);
        }
    }
}

/// Timers: deadlines, retransmissions, and asking for clocks.
impl Client {
    /// Ends what was never sent in time.
    pub(super) fn expire_queues(&mut self) {
        while let Some(submission) = self.queue.pop_front_if(|front| front.deadline <= self.now) {
            let error = self.contacts.no_quorum();
            self.end(submission.ticket, Err(error));
        }
        while let Some((id, submission)) = self.retries.pop_front_if(|(_, front)| front.deadline <= self.now)
        {
            // The earlier request under this id may have run.
            self.end(submission.ticket, Err(ClientError::Unknown(id)));
        }
    }

    /// Asks again for the clocks that the next session needs, as long as something waits for it.
    pub(super) fn expire_hello(&mut self) {
        if self.hello_at.is_none_or(|time| time > self.now) {
            return;
        }
        self.hello_at = None;
        if self.session.is_none() && !self.queue.is_empty() {
            let asked: Vec<ReplicaId> = self.contacts.without_clock().collect();
            asked.into_iter().for_each(|replica| self.send(replica, ClientMessage::Hello));
            self.hello_at = Some(self.now.after(self.pace.timeout()));
        }
    }

    pub(super) fn expire_bundles(&mut self) {
        while let Some((time, bundle)) = self.timers.first().copied()
            && time <= self.now
        {
            self.expire_deadlines(bundle);
            self.try_resend(bundle);
            self.set_timer(bundle);
        }
    }

    /// Tells those who waited long enough that the outcome is unknown. The number stays in flight.
    fn expire_deadlines(&mut self, bundle: Digest) {
        let Some(flight) = self.bundles.get(&bundle) else { return };
        let session = flight.session;
        for number in flight.numbers.clone() {
            let id = RequestId { session, number };
            let Some(request) = self.requests.get_mut(&id).filter(|request| request.bundle == bundle) else {
                continue;
            };
            let now = self.now;
            let expired: Vec<_> = request.tickets.extract_if(.., |(_, deadline)| *deadline <= now).collect();
            for (ticket, _) in expired {
                self.end(ticket, Err(ClientError::Unknown(id)));
            }
            self.drop_if_useless(id);
        }
    }

    /// [R2] After the timeout to all, then again and again, ever more rarely.
    fn try_resend(&mut self, bundle: Digest) {
        let Some(flight) = self.bundles.get_mut(&bundle).filter(|flight| flight.resend_at <= self.now) else {
            return;
        };
        if self.contacts.connected().next().is_some() {
            flight.resends = flight.resends.saturating_add(1);
            flight.refusals.retain(|_, is_final| *is_final);
        }
        flight.resend_at = self.now.after(self.pace.backoff(flight.resends));
        let message = ClientMessage::Request(flight.raw.clone());
        self.send_to_all(&message);
    }

    /// Puts a bundle in its place among the timers.
    pub(super) fn set_timer(&mut self, bundle: Digest) {
        let Some(flight) = self.bundles.get_mut(&bundle) else { return };
        let requests = flight
            .numbers
            .iter()
            .filter_map(|number| self.requests.get(&RequestId { session: flight.session, number: *number }));
        let carried = requests.filter(|request| request.bundle == bundle);
        let deadline = carried.filter_map(Request::deadline).min();
        self.timers.remove(&(flight.timer, bundle));
        flight.timer = deadline.map_or(flight.resend_at, |deadline| deadline.min(flight.resend_at));
        self.timers.insert((flight.timer, bundle));
    }
}

impl Session {
    /// [R1] Replicas forget numbers that lie 64 below the highest one, so none may be sent that far
    /// above one that is still in flight.
    fn has_window(&self, in_flight_max: usize) -> bool {
        self.in_flight < in_flight_max && self.next < self.lowest.plus(SESSION_WINDOW)
    }
}

/// The requests of one bundle within its limits.
struct Packing {
    requests: Vec<(RequestNumber, Submission)>,
    requests_max: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Packing {
    fn new(config: &ClientConfig) -> Self {
        Self {
            requests: Vec::new(),
            requests_max: config.bundle_max.clamp(1, BUNDLE_REQUESTS_MAX),
            bytes: BUNDLE_BYTES_MAX,
            bytes_max: config.parameters.batch_bytes_max as usize,
        }
    }

    fn has_room_for(&self, command: &Bytes) -> bool {
        self.requests.len() < self.requests_max
            && self.bytes + command.len() + REQUEST_BYTES_MAX <= self.bytes_max
    }

    fn push(&mut self, number: RequestNumber, submission: Submission) {
        self.bytes += submission.command.len() + REQUEST_BYTES_MAX;
        self.requests.push((number, submission));
    }
}
