//! What do the replicas' answers mean together? Rules R3 (W matching replies from distinct
//! replicas) and R5 (nothing waits for more).

use quorate_types::message::{Outcome, Reply};
use quorate_types::{Digest, Height, Rejection, ReplicaId, SessionId};

use super::request::{Request, Submission, is_final};
use super::{Client, ClientError, Completed, RequestId, Why};
use crate::mutation::{self, Mutation};

impl Client {
    pub(super) fn on_reply(&mut self, sender: ReplicaId, reply: Reply) {
        self.contacts.on_view(sender, reply.view);
        let session = SessionId { client: self.config.key.public(), birth: reply.birth, nonce: reply.nonce };
        let mut refused = None;
        for (number, height, outcome) in reply.results.into_vec() {
            let id = RequestId { session, number };
            let Some(request) = self.requests.get_mut(&id) else {
                refused = refused.or(self.refuse_reply(&id));
                continue;
            };
            let same = request.on_reply(sender, height, outcome);
            // [R3] One of W that say the same is honest.
            if self.contacts.is_weak_quorum(same) || mutation::is(Mutation::ClientBelievesOne) {
                self.settle(id, sender);
            }
        }
        if let Some(why) = refused {
            self.reject(sender, why);
        }
    }

    /// Replies that come after W others are normal, and so are those to former sessions.
    fn refuse_reply(&self, id: &RequestId) -> Option<Rejection> {
        match &self.session {
            Some(session) if session.id == id.session => {
                (id.number >= session.next).then_some(Rejection::NumberOutOfWindow)
            }
            _ => (!self.former.contains(&id.session)).then_some(Rejection::Unrequested),
        }
    }

    /// W replicas give the outcome that this one gave last.
    fn settle(&mut self, id: RequestId, replica: ReplicaId) {
        let outcome = self.requests.get(&id).and_then(|request| request.outcome_of(replica));
        if outcome.is_none_or(|outcome| *outcome == Outcome::SessionsFull) {
            // Whoever holds the bundle can have it ordered again, and then there may be room. So this
            // is not an outcome: the client asks again until its deadline.
            return;
        }
        self.measure(&id);
        let Some(mut request) = self.close(&id) else { return };
        let Some((height, outcome)) = request.take_reply(replica) else { return };
        if outcome == Outcome::SessionExpired {
            // [R1] Certain: no request of this session ever ran or will.
            self.retire_if_present(id.session);
            if !request.is_named {
                return self.requeue(request);
            }
        }
        let result = conclude(id, height, outcome);
        let mut tickets = request.tickets.into_iter();
        let last = tickets.next_back();
        for (ticket, _) in tickets {
            self.end(ticket, result.clone());
        }
        if let Some((ticket, _)) = last {
            self.end(ticket, result);
        }
    }

    /// The first outcome of a bundle tells how long the cluster takes.
    fn measure(&mut self, id: &RequestId) {
        let Some(request) = self.requests.get(id) else { return };
        if let Some(flight) = self.bundles.get_mut(&request.bundle)
            && !flight.is_measured
        {
            flight.is_measured = true;
            self.pace.measure(self.now.since(flight.sent_at));
        }
    }

    fn retire_if_present(&mut self, session: SessionId) {
        if self.session() == Some(session) {
            self.retire_session();
        }
    }

    /// Back into the queue for the next session, before those who came later.
    fn requeue(&mut self, request: Request) {
        for (ticket, deadline) in request.tickets {
            self.ids.remove(&ticket);
            let position = self.queue.partition_point(|other| other.deadline <= deadline);
            self.queue.insert(position, Submission { ticket, deadline, command: request.command.clone() });
        }
    }

    /// A replica does not take a bundle. A few that say so mean nothing, as they may lie. [R2]
    /// Refused by W, it waits longer before it is sent again. Refused for good by Q, it will hardly
    /// get a reply, and its callers learn so at once.
    pub(super) fn on_refused(&mut self, sender: ReplicaId, bundle: Digest, why: Rejection) {
        let Some(flight) = self.bundles.get_mut(&bundle) else { return };
        flight.refusals.insert(sender, is_final(why));
        let finals = flight.refusals.values().filter(|is_final| **is_final).count();
        if self.contacts.is_quorum(finals) {
            return self.give_up(bundle);
        }
        if self.contacts.is_weak_quorum(flight.refusals.len() - finals) {
            flight.refusals.retain(|_, is_final| *is_final);
            flight.resends = flight.resends.saturating_add(1);
            let resend_at = self.now.after(self.pace.backoff(flight.resends));
            flight.resend_at = flight.resend_at.max(resend_at);
            self.set_timer(bundle);
        }
    }

    fn give_up(&mut self, bundle: Digest) {
        let Some(flight) = self.bundles.get(&bundle) else { return };
        let session = flight.session;
        for number in flight.numbers.clone() {
            let id = RequestId { session, number };
            if self.requests.get(&id).is_some_and(|request| request.bundle == bundle) {
                let tickets = self.close(&id).map(|request| request.tickets).unwrap_or_default();
                for (ticket, _) in tickets {
                    self.end(ticket, Err(ClientError::Unknown(id)));
                }
            }
        }
        self.retire_if_present(session);
    }
}

/// What the caller is told. Only what certainly had and will have no effect is called rejected.
fn conclude(id: RequestId, height: Height, outcome: Outcome) -> Result<Completed, ClientError> {
    match outcome {
        Outcome::Executed(reply) => Ok(Completed { id, height, reply }),
        Outcome::Malformed | Outcome::Panicked | Outcome::SessionExpired => {
            Err(ClientError::Rejected(Why::Outcome(outcome)))
        }
        Outcome::Forgotten | Outcome::ReplyTooLarge | Outcome::SessionsFull => Err(ClientError::Unknown(id)),
    }
}
