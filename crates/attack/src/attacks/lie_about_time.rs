//! `lie_about_time`: a primary whose blocks have times that no clock shows.
//!
//! Must hold: agreed time never runs back and is never ahead of honest clocks by more than the bound; a block that breaks that
//! gets no vote, one that is merely early waits, and a primary whose clock lags is replaced.

use bytes::Bytes;
use quorate_types::message::{Message, Propose};
use quorate_types::{Header, ReplicaId, Time};
use std::time::Duration;

use super::disguise::Disguise;
use crate::adversary::{Adversary, Cx, Verdict};

/// Proposes blocks of another time.
#[derive(Debug, Default)]
pub struct LieAboutTime {
    disguise: Disguise,
}

/// Draws its times: the end of all time, just beyond the bound, just within it, or before the parent.
#[must_use]
pub fn lie_about_time() -> LieAboutTime {
    LieAboutTime::default()
}

fn other_time(cx: &mut Cx<'_>, propose: &Propose) -> Option<(Header, Bytes)> {
    let header = propose.header.header;
    let bound = cx.parameters().clock_bound();
    let time = match cx.draw(5) {
        0 => Time(u64::MAX),
        1 => header.time.after(bound * 2),
        2 => header.time.after(bound * 9 / 10),
        3 => header.time.before(bound * 2),
        _ => header.time.before(Duration::from_nanos(1)),
    };
    Some((Header { time, ..header }, propose.batch.clone()))
}

impl Adversary for LieAboutTime {
    fn name(&self) -> &'static str {
        "lie_about_time"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.disguise.send(cx, to, message, other_time);
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        self.disguise.hear(cx, from, message)
    }
}
