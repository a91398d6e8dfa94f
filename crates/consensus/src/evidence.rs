//! Proof against replicas: found, checked, passed on once, and what it triggers (V7, X1).

use quorate_types::message::Message;
use quorate_types::{Evidence, Rejection, ReplicaId, Signature, Statement, Unverified, Verified};
use std::sync::Arc;

use crate::io::{Action, Cause, Peer};
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::replica::Replica;

impl Replica {
    /// Two contradicting statements of one signer were seen. Their signatures may not have been
    /// checked yet; the cost of that is the signer's.
    pub(crate) fn report(
        &mut self,
        replica: ReplicaId,
        first: (Statement, Signature),
        second: (Statement, Signature),
    ) {
        let evidence = Evidence { replica, first, second };
        if !self.is_news(&evidence) {
            return self.act_on(&evidence);
        }
        self.verify(Peer::Replica(replica), Unverified::Evidence(Arc::new(evidence)));
    }

    pub(crate) fn on_evidence(&mut self, from: ReplicaId, evidence: Arc<Evidence>) -> Result<(), Rejection> {
        if self.is_news(&evidence) {
            self.verify(Peer::Replica(from), Unverified::Evidence(evidence));
        }
        Ok(())
    }

    pub(crate) fn on_verified_evidence(
        &mut self,
        evidence: Verified<Arc<Evidence>>,
    ) -> Result<(), Rejection> {
        if self.is_news(&evidence) {
            self.keep_evidence(Arc::clone(&evidence));
            self.outbox.persist(Record::Evidence(Arc::clone(&evidence)));
            self.outbox.push(Action::Report(evidence.clone()));
            self.send_to_all(Message::Evidence(Arc::clone(&evidence)));
        }
        self.note_own_offence(&evidence);
        self.act_on(&evidence);
        Ok(())
    }

    /// [X1] A primary that was convicted before its view was entered is replaced at once.
    pub(crate) fn depose_convicted(&mut self) {
        let found = self
            .evidence
            .get(&self.primary())
            .and_then(|all| all.iter().find(|evidence| evidence.view() == Some(self.view.entered)).cloned());
        if let Some(evidence) = found {
            self.act_on(&evidence);
        }
    }

    /// [X1] An equivocating primary is replaced.
    fn act_on(&mut self, evidence: &Evidence) {
        let is_of_primary = matches!(evidence.first.0, Statement::Block(_))
            && evidence.view() == Some(self.view.entered)
            && self.is_known(evidence);
        if is_of_primary {
            self.depose_primary(Cause::Equivocation);
        }
    }

    /// One piece per kind and view, and not more than the limit for views that are over: nobody
    /// is convicted better by more.
    fn is_news(&self, evidence: &Evidence) -> bool {
        if self.config.membership.public_key(evidence.replica).is_none() {
            return true;
        }
        let kept = self.evidence.get(&evidence.replica).map_or(0, Vec::len);
        let is_present = evidence.view() == Some(self.view.entered);
        let has_room = kept < self.config.limits.evidence_per_replica_max;
        (has_room || is_present) && !self.is_known(evidence)
    }

    /// Whether there is a piece of this kind and view.
    fn is_known(&self, evidence: &Evidence) -> bool {
        let offence = |evidence: &Evidence| (evidence.first.0.offence(), evidence.view());
        let kept = self.evidence.get(&evidence.replica);
        kept.is_some_and(|kept| kept.iter().any(|known| offence(known) == offence(evidence)))
    }

    /// Keeps a piece. Where there is no room, the oldest of a view that is over makes some: a replica that goes on
    /// and on, view after view, fills no memory.
    pub(crate) fn keep_evidence(&mut self, evidence: Arc<Evidence>) {
        let present = Some(self.view.entered);
        let kept = self.evidence.entry(evidence.replica).or_default();
        if kept.len() >= self.config.limits.evidence_per_replica_max
            && !mutation::is(Mutation::EvidenceUnbounded)
            && let Some(place) = kept.iter().position(|old| old.view() != present)
        {
            kept.remove(place);
        }
        kept.push(evidence);
    }
}
