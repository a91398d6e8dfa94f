//! `amnesia`: acts as if it had started from an old disk: it votes again where it voted, asks again for views
//! with less than it knew, and proposes again.
//!
//! Must hold: f forgetful replicas undo no commit, and what they sign twice is evidence.

use quorate_types::certificate::ViewChange;
use quorate_types::message::{Justify, Message, Propose, Vote};
use quorate_types::{Header, ReplicaId, VoteStatement};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Most own statements that are kept to be contradicted.
const KEPT_MAX: usize = 32;

/// Forgets now and then.
#[derive(Debug)]
pub struct Amnesia {
    percent: u64,
    votes: VecDeque<Vote>,
    proposals: VecDeque<Propose>,
    view_changes: VecDeque<Arc<ViewChange>>,
}

/// Contradicts an older statement with one message of ten.
#[must_use]
pub const fn amnesia() -> Amnesia {
    Amnesia { percent: 10, votes: VecDeque::new(), proposals: VecDeque::new(), view_changes: VecDeque::new() }
}

impl Amnesia {
    /// Contradicts one with so many of a hundred messages instead.
    #[must_use]
    pub fn percent(self, percent: u64) -> Self {
        Self { percent, ..self }
    }

    fn forget(&self, cx: &mut Cx<'_>) -> Option<Message> {
        match cx.draw(3) {
            0 => {
                let old = draw(cx, &self.votes)?;
                // The block that was next to it is the one that it would have seen.
                let digest = draw(cx, &self.votes)?.vote.digest;
                let digest = if digest == old.vote.digest { forge::other_digest(digest) } else { digest };
                Some(forge::vote(cx, VoteStatement { digest, ..old.vote }, &old))
            }
            1 => {
                let old = draw(cx, &self.view_changes)?;
                let again = forge::view_change(cx, old.new_view, forge::genesis_certificate(cx), Vec::new());
                (again != *old).then(|| Message::ViewChange(Arc::new(again)))
            }
            _ => {
                let old = draw(cx, &self.proposals)?;
                let time = old.header.header.time.after(std::time::Duration::from_nanos(1));
                let header = forge::signed_header(cx, Header { time, ..old.header.header });
                Some(Message::Propose(Propose { header, justify: Justify::None, batch: old.batch }))
            }
        }
    }
}

fn draw<T: Clone>(cx: &mut Cx<'_>, kept: &VecDeque<T>) -> Option<T> {
    let place = cx.draw(kept.len() as u64) as usize;
    kept.get(place).cloned()
}

fn keep<T: PartialEq>(kept: &mut VecDeque<T>, value: T) {
    if kept.back() != Some(&value) {
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(value);
    }
}

impl Adversary for Amnesia {
    fn name(&self) -> &'static str {
        "amnesia"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match &message {
            Message::Vote(vote) => keep(&mut self.votes, *vote),
            Message::Propose(propose) => keep(&mut self.proposals, propose.clone()),
            Message::ViewChange(change) => keep(&mut self.view_changes, Arc::clone(change)),
            _ => {}
        }
        cx.send(to, message);
        if cx.chance(self.percent)
            && let Some(again) = self.forget(cx)
        {
            cx.send(to, again);
            cx.fired();
        }
    }
}
