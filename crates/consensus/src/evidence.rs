//! Proof against replicas: found, checked, passed on once, and what it triggers (V7, X1).

use quorate_types::message::Message;
use quorate_types::{Evidence, Rejection, ReplicaId, Signature, Statement, Unverified, Verified};
use std::sync::Arc;

use crate::io::{Action, Cause, Peer};
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
            let offence = (evidence.first.0.offence(), evidence.view());
            self.peers.get_mut(evidence.replica).offences.push(offence);
            self.evidence.entry(evidence.replica).or_default().push(Arc::clone(&evidence));
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
            && self
                .peers
                .get(evidence.replica)
                .offences
                .contains(&(evidence.first.0.offence(), evidence.view()));
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
        let offences = &self.peers.get(evidence.replica).offences;
        let is_present = evidence.view() == Some(self.view.entered);
        let has_room = offences.len() < self.config.limits.evidence_per_replica_max;
        (has_room || is_present) && !offences.contains(&(evidence.first.0.offence(), evidence.view()))
    }
}
