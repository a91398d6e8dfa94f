//! `impersonate`: speaks in the name of another replica: its number and the traitor's channel, signed by the traitor, or
//! with a statement that the other one really signed.
//!
//! Must hold: who speaks is whom the channel names. A statement in another's name is refused and counted against the
//! speaker, and convicts nobody else.

use quorate_types::certificate::ViewChange;
use quorate_types::message::{CheckpointVote, Message, Wish};
use quorate_types::{ReplicaId, Statement};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx, Verdict};

/// Lends its voice to others.
#[derive(Debug)]
pub struct Impersonate(());

/// Says everything that names its speaker a second time in the receiver's neighbour's name, and passes on what
/// others said as if it had.
#[must_use]
pub const fn impersonate() -> Impersonate {
    Impersonate(())
}

/// Somebody else than traitor and receiver.
fn somebody(cx: &mut Cx<'_>, to: ReplicaId) -> Option<ReplicaId> {
    let others: Vec<ReplicaId> = cx.others().into_iter().filter(|other| *other != to).collect();
    let place = cx.draw(others.len() as u64) as usize;
    others.get(place).copied()
}

impl Adversary for Impersonate {
    fn name(&self) -> &'static str {
        "impersonate"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let Some(replica) = somebody(cx, to) else { return cx.send(to, message) };
        let lie = match &message {
            Message::ViewChange(change) => {
                Some(Message::ViewChange(Arc::new(ViewChange { replica, ..(**change).clone() })))
            }
            Message::CheckpointVote(vote) => {
                Some(Message::CheckpointVote(CheckpointVote { replica, ..*vote }))
            }
            Message::Status(status) => {
                let (epoch, view) = (status.epoch, status.view.next());
                let signature = cx.sign(&Statement::Wish { epoch, view });
                Some(Message::Wish(Wish { epoch, view, replica, signature }))
            }
            _ => None,
        };
        cx.send(to, message);
        if let Some(lie) = lie {
            cx.send(to, lie);
            cx.fired();
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        let names_its_speaker =
            matches!(message, Message::ViewChange(_) | Message::CheckpointVote(_) | Message::Wish(_));
        if names_its_speaker && let Some(to) = somebody(cx, from) {
            cx.send(to, message.clone());
            cx.fired();
        }
        Verdict::Deliver
    }
}
