//! What is in flight: requests with the replies so far, and the signed bundles that carry them.

use bytes::Bytes;
use quorate_types::message::Outcome;
use quorate_types::{Digest, Height, Rejection, ReplicaId, RequestNumber, SessionId, Time};
use std::collections::BTreeMap;

use super::Ticket;

/// Something that a driver submitted and that was not sent yet.
#[derive(Clone, Debug)]
pub(super) struct Submission {
    pub(super) ticket: Ticket,
    pub(super) deadline: Time,
    pub(super) command: Bytes,
}

/// A request that was sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) bundle: Digest,
    pub(super) command: Bytes,
    /// Who waits for it, and until when. Empty once everybody gave up.
    pub(super) tickets: Vec<(Ticket, Time)>,
    /// Whether it was sent to ask again for an earlier request; then it is outside the window.
    pub(super) is_retry: bool,
    /// Whether somebody knows its id, so that it may not go on under another one.
    pub(super) is_named: bool,
    /// The latest reply of each replica: a liar that changes its mind takes no more memory.
    replies: Vec<(ReplicaId, Height, Outcome)>,
}

impl Request {
    pub(super) fn new(bundle: Digest, submission: Submission, is_retry: bool) -> Self {
        let Submission { ticket, deadline, command } = submission;
        let tickets = vec![(ticket, deadline)];
        Self { bundle, command, tickets, is_retry, is_named: is_retry, replies: Vec::new() }
    }

    /// Records a reply; gives the number of replicas whose latest reply is the same.
    pub(super) fn on_reply(&mut self, replica: ReplicaId, height: Height, outcome: Outcome) -> usize {
        let position = self.replies.iter().position(|(other, ..)| *other == replica);
        let position = position.unwrap_or(self.replies.len());
        if position == self.replies.len() {
            self.replies.push((replica, height, outcome));
        } else {
            self.replies[position] = (replica, height, outcome);
        }
        let (_, height, outcome) = &self.replies[position];
        self.replies.iter().filter(|(_, other, said)| other == height && said == outcome).count()
    }

    /// The outcome that this replica gave last.
    pub(super) fn outcome_of(&self, replica: ReplicaId) -> Option<&Outcome> {
        self.replies.iter().find(|(other, ..)| *other == replica).map(|(.., outcome)| outcome)
    }

    /// Takes what this replica gave last.
    pub(super) fn take_reply(&mut self, replica: ReplicaId) -> Option<(Height, Outcome)> {
        let position = self.replies.iter().position(|(other, ..)| *other == replica)?;
        let (_, height, outcome) = self.replies.swap_remove(position);
        Some((height, outcome))
    }

    /// When the first of those who wait gives up.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.tickets.iter().map(|(_, deadline)| *deadline).min()
    }
}

/// A signed bundle that has requests in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// The bundle, signed once.
    pub(super) raw: Bytes,
    pub(super) session: SessionId,
    pub(super) numbers: Vec<RequestNumber>,
    /// How many of its requests are in flight.
    pub(super) open: usize,
    pub(super) sent_at: Time,
    /// Whether its round trip was measured.
    pub(super) is_measured: bool,
    pub(super) resends: u32,
    pub(super) resend_at: Time,
    /// Its place among the timers: the next retransmission or deadline.
    pub(super) timer: Time,
    /// Who refused it since it was last sent, and whether for good.
    pub(super) refusals: BTreeMap<ReplicaId, bool>,
}

/// Whether a replica that gives this reason will not change its mind about the bundle.
pub(super) const fn is_final(why: Rejection) -> bool {
    matches!(
        why,
        Rejection::SessionExpired
            | Rejection::NumberOutOfWindow
            | Rejection::BadSignature
            | Rejection::WeakKey
            | Rejection::WrongSender
            | Rejection::Oversized
            | Rejection::Malformed
    )
}
