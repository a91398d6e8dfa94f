//! A replica whose disk is gone (rule D3): it says nothing that counts until a quorum certificate
//! shows that every view in which it may have spoken is over.

use quorate_types::certificate::QuorumCertificate;
use quorate_types::message::{Fetch, Message, Status, Wish};
use quorate_types::{Quorums, Rejection, ReplicaId, Statement, Unverified, Verified, View};
use std::sync::Arc;

use crate::io::{Cause, Event, Peer, Recipients};
use crate::record::Record;
use crate::replica::Replica;

/// What a replica without its disk has heard since it started.
#[derive(Clone, Debug)]
pub(crate) struct Recovering {
    /// Per peer the highest view that it entered or asked for, when it first told.
    reports: Vec<Option<View>>,
    /// The view above all that some Q others reported, once that many did: the lowest of these.
    wanted: Option<View>,
}

impl Recovering {
    pub(crate) fn new(quorums: Quorums) -> Self {
        Self { reports: vec![None; quorums.n()], wanted: None }
    }

    /// The wish of an earlier start, from the log.
    pub(crate) fn wished(&mut self, view: View) {
        self.wanted = Some(view);
    }

    /// The view that it wishes for.
    pub(crate) const fn wanted(&self) -> Option<View> {
        self.wanted
    }

    /// The view above all that those Q others reported who named the lowest.
    fn above_reports(&self, quorums: Quorums) -> Option<View> {
        let mut reports: Vec<View> = self.reports.iter().flatten().copied().collect();
        reports.sort_unstable();
        reports.get(quorums.quorum() - 1).map(|view| view.next())
    }
}

impl Replica {
    /// A status is a report, unless its sender lost its disk too.
    pub(crate) fn note_report(&mut self, from: ReplicaId, status: &Status) {
        let quorums = self.quorums();
        let Some(recovering) = &mut self.recovering else { return };
        if !status.is_recovering {
            recovering.reports[from.index()].get_or_insert(status.view.max(status.asked));
        }
        let Some(view) = recovering.above_reports(quorums) else { return };
        // Any Q will do: one liar among the first may have named a view that never comes.
        if recovering.wanted.is_some_and(|wanted| wanted <= view) {
            return;
        }
        recovering.wanted = Some(view);
        self.outbox.persist(Record::Wished(view));
        self.send_wish(view);
        let qc = self.safety.high_qc().clone();
        self.check_recovered(&qc);
    }

    /// Asks for reports, then for the view that they show to be needed.
    pub(crate) fn resend_wish(&mut self) {
        let Some(recovering) = &self.recovering else { return };
        match recovering.wanted {
            Some(view) => self.send_wish(view),
            None => self.send_to_all(Message::Fetch(Fetch::Status)),
        }
    }

    fn send_wish(&mut self, view: View) {
        let epoch = self.config.membership.epoch();
        let statement = Statement::Wish { epoch, view };
        let signature = statement.sign(&self.config.key, &self.config.membership.cluster());
        let wish = Wish { epoch, view, replica: self.config.id, signature };
        self.outbox.send_durable(Recipients::All, Message::Wish(wish));
    }

    /// [D3] Takes part again once it holds a certificate of a view above all reported ones.
    pub(crate) fn check_recovered(&mut self, qc: &Verified<Arc<QuorumCertificate>>) {
        let wanted = self.recovering.as_ref().and_then(|recovering| recovering.wanted);
        if wanted.is_none_or(|view| qc.vote.view < view) {
            return;
        }
        self.recovering = None;
        self.waking.whole_since = qc.vote.view;
        self.outbox.persist(Record::Recovered(Arc::clone(qc) as Arc<QuorumCertificate>));
        self.event(Event::Recovered(qc.vote.view));
        self.send_checkpoint_vote();
    }

    pub(crate) fn on_wish(&mut self, from: ReplicaId, wish: Wish) -> Result<(), Rejection> {
        if wish.replica != from {
            return Err(Rejection::WrongSender);
        }
        if wish.view <= self.view.entered {
            return Ok(());
        }
        let interval = self.config.timing.wish_interval;
        match self.peers.get(from).wish {
            Some((view, _)) if wish.view == view => Ok(()),
            // What is left of it when more reports came may have to wait for the next hour, as it costs another view.
            Some((view, heard)) if heard.after(interval) > self.now => {
                if wish.view < view {
                    Ok(())
                } else {
                    Err(Rejection::TooSoon)
                }
            }
            _ => {
                self.verify(Peer::Replica(from), Unverified::Wish(wish));
                Ok(())
            }
        }
    }

    /// [X1] A wish is a trigger and known work, once an hour.
    pub(crate) fn on_verified_wish(&mut self, wish: Verified<Wish>) -> Result<(), Rejection> {
        let (now, interval) = (self.now, self.config.timing.wish_interval);
        let known = self.peers.get_mut(wish.replica);
        // Several may have been in verification at a time.
        if known.wish.is_some_and(|(_, heard)| heard.after(interval) > now) {
            return Err(Rejection::TooSoon);
        }
        known.wish = Some((wish.view, now));
        if wish.view > self.view.entered {
            self.depose_primary(Cause::Wish);
        }
        Ok(())
    }

    /// Whether a wish is open. A wish reaches at most one view above what this replica asked for:
    /// an honest one names a view next to what Q replicas reported.
    pub(crate) fn has_wish(&self) -> bool {
        let entered = self.view.entered;
        self.peers.iter().any(|(_, known)| known.wish.is_some_and(|(view, _)| view == entered.next()))
    }
}
