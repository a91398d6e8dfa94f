//! `forge_forwards`: forwards to everybody requests that no client made, and genuine ones again and again.
//!
//! Must hold: a request counts by its client's signature, whoever brings it; a repeat is known, a forgery costs one
//! verification and its sender is named, and nobody blames a primary for requests that do not exist.

use bytes::Bytes;
use quorate_types::ReplicaId;
use quorate_types::message::Message;
use quorate_types::{Bundle, RequestNumber, SecretKey, SessionId, Statement, Time};
use std::collections::VecDeque;

use crate::adversary::{Adversary, Cx, Verdict};

/// Most genuine bundles that are kept.
const KEPT_MAX: usize = 16;

/// Forwards what it should not.
#[derive(Debug)]
pub struct ForgeForwards {
    genuine: VecDeque<Bytes>,
}

/// Adds a forged or repeated request to each status.
#[must_use]
pub const fn forge_forwards() -> ForgeForwards {
    ForgeForwards { genuine: VecDeque::new() }
}

impl ForgeForwards {
    fn keep(&mut self, message: &Message) {
        let batch = match message {
            Message::Request(bundle) => bundle.clone(),
            Message::Propose(propose) => match quorate_types::Batch::parse(propose.batch.clone()) {
                Ok(batch) if !batch.is_empty() => batch.bundles()[0].raw().clone(),
                _ => return,
            },
            _ => return,
        };
        if self.genuine.len() == KEPT_MAX {
            self.genuine.pop_front();
        }
        self.genuine.push_back(batch);
    }

    fn forward(&self, cx: &mut Cx<'_>) -> Bytes {
        let place = cx.draw(self.genuine.len() as u64) as usize;
        let genuine = self.genuine.get(place).cloned().unwrap_or_default();
        match cx.draw(4) {
            0 if !genuine.is_empty() => genuine,
            1 if !genuine.is_empty() => {
                let mut changed = genuine.to_vec();
                let end = changed.len() - 1;
                changed[end] ^= 1;
                changed.into()
            }
            2 => Bytes::from_static(b"no request"),
            _ => unsigned(cx),
        }
    }
}

/// A request in the name of a client whose key it has not: its own signature stands there.
fn unsigned(cx: &Cx<'_>) -> Bytes {
    let client = SecretKey::from_seed([7; 32]);
    let session = SessionId { client: client.public(), birth: Time(0), nonce: 7 };
    let command = (RequestNumber(1), Bytes::from_static(b"take all"));
    let bundle = Bundle::sign(&cx.membership().cluster(), &client, session, &[command]);
    let own = cx.sign(&Statement::Bundle(bundle.id()));
    let signed = bundle.raw().len() - own.0.len();
    [&bundle.raw()[..signed], &own.0].concat().into()
}

impl Adversary for ForgeForwards {
    fn name(&self) -> &'static str {
        "forge_forwards"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.keep(&message);
        let is_status = matches!(message, Message::Status(_));
        cx.send(to, message);
        if is_status {
            let request = self.forward(cx);
            cx.send(to, Message::Request(request));
            cx.fired();
        }
    }
    fn on_receive(&mut self, _: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.keep(message);
        Verdict::Deliver
    }
}
