//! `wish_falsely`: wishes for view changes as a replica does that lost its disk, again and again, with its disk whole.
//!
//! Must hold: one replica's wishes cost one view an hour at most; the rest is refused by name.

use quorate_types::message::{Message, Wish};
use quorate_types::{ReplicaId, Statement};

use crate::adversary::{Adversary, Cx};

/// Wishes without need.
#[derive(Debug)]
pub struct WishFalsely(());

/// Wishes for the next view, or for one far ahead, with every status.
#[must_use]
pub const fn wish_falsely() -> WishFalsely {
    WishFalsely(())
}

impl Adversary for WishFalsely {
    fn name(&self) -> &'static str {
        "wish_falsely"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let status = if let Message::Status(status) = &message { Some(*status) } else { None };
        cx.send(to, message);
        let Some(status) = status else { return };
        let ahead = if cx.chance(70) { 1 } else { 1 + cx.draw(1_000_000) };
        let (epoch, view) = (status.epoch, status.view.plus(ahead));
        let signature = cx.sign(&Statement::Wish { epoch, view });
        cx.send(to, Message::Wish(Wish { epoch, view, replica: cx.id(), signature }));
        cx.fired();
    }
}
