//! `selective_send`: some replicas hear everything, the others nothing.
//!
//! Must hold: with a quorum in the audience the starved replicas catch up without a view change;
//! with fewer the primary is replaced within its time, and honest clients are served.

use quorate_types::message::Message;
use quorate_types::{ReplicaId, View};

use crate::adversary::{Adversary, Cx};

/// Who hears the traitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// As many as make a quorum together with the traitor.
    Quorum,
    /// As many as may be faulty: f.
    Faulty,
    /// One.
    One,
}

/// Sends to a part of the replicas only, drawn anew in each view.
#[derive(Debug)]
pub struct SelectiveSend {
    audience: Option<Audience>,
    chosen: Option<(View, Vec<ReplicaId>)>,
}

/// Talks to an audience whose size is drawn anew in each view.
#[must_use]
pub const fn selective_send() -> SelectiveSend {
    SelectiveSend { audience: None, chosen: None }
}

impl SelectiveSend {
    /// Talks to an audience of this size in every view.
    #[must_use]
    pub fn to(self, audience: Audience) -> Self {
        Self { audience: Some(audience), ..self }
    }

    fn choose(&self, cx: &mut Cx<'_>) -> Vec<ReplicaId> {
        const SIZES: [Audience; 3] = [Audience::Quorum, Audience::Faulty, Audience::One];
        let audience = self.audience.unwrap_or_else(|| SIZES[cx.draw(SIZES.len() as u64) as usize]);
        let count = match audience {
            Audience::Quorum => cx.quorums().quorum() - 1,
            Audience::Faulty => cx.quorums().f(),
            Audience::One => 1,
        };
        cx.draw_others(count)
    }
}

impl Adversary for SelectiveSend {
    fn name(&self) -> &'static str {
        "selective_send"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        let view = cx.status().view;
        if self.chosen.as_ref().is_none_or(|(chosen_in, _)| *chosen_in != view) {
            self.chosen = Some((view, self.choose(cx)));
        }
        match &self.chosen {
            Some((_, audience)) if audience.contains(&to) => cx.send(to, message),
            _ => cx.fired(),
        }
    }
}
