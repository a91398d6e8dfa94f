//! `delay`: every message leaves just before the others would lose patience.
//!
//! Must hold: a primary that slow is either replaced or still serves at a floor that the view
//! timeout sets, and one that slow among the backups costs nothing that a crash would not.

use quorate_types::ReplicaId;
use quorate_types::message::Message;
use std::time::Duration;

use crate::adversary::{Adversary, Cx};

/// Sends every message late.
#[derive(Debug)]
pub struct Delay {
    by: Option<Duration>,
}

/// Delays by nine tenths of the least time that a view gets.
#[must_use]
pub const fn delay() -> Delay {
    Delay { by: None }
}

impl Delay {
    /// Delays by this much instead.
    #[must_use]
    pub const fn by(self, span: Duration) -> Self {
        Self { by: Some(span) }
    }
}

impl Adversary for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let by = self.by.unwrap_or(cx.timing().view_timeout_min * 9 / 10);
        cx.send_after(by, to, message);
        cx.fired();
    }
}
