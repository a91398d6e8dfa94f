//! `break_chains`: tells laggards of chains with a gap, from the wrong height on, of another order, or of its own making.
//!
//! Must hold: a chain starts where it was asked for and every header names the one before, or all of it is refused; what
//! is not stated by W replicas commits nothing.

use quorate_types::certificate::SignedHeader;
use quorate_types::limited::Limited;
use quorate_types::message::{Data, Message};
use quorate_types::{Header, Height, ReplicaId};

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Serves chains that are none.
#[derive(Debug)]
pub struct BreakChains(());

/// Breaks each chain in another way.
#[must_use]
pub const fn break_chains() -> BreakChains {
    BreakChains(())
}

fn broken(cx: &mut Cx<'_>, genuine: &[SignedHeader]) -> Vec<SignedHeader> {
    let mut headers = genuine.to_vec();
    let place = cx.draw(headers.len() as u64) as usize;
    match cx.draw(5) {
        0 => drop(headers.remove(place)),
        1 => headers.reverse(),
        2 => headers.truncate(place),
        3 => {
            // From here on its own, under the name of whoever was primary.
            let mut parent = None;
            for signed in headers.iter_mut().skip(place) {
                let batch = forge::other_digest(signed.header.batch);
                let parent_of = parent.unwrap_or(signed.header.parent);
                let header = Header { batch, parent: parent_of, ..signed.header };
                parent = Some(header.digest());
                *signed = forge::signed_header(cx, header);
            }
        }
        _ => {
            if let Some(signed) = headers.get_mut(place) {
                signed.header.height = Height(u64::MAX);
            }
        }
    }
    headers
}

impl Adversary for BreakChains {
    fn name(&self) -> &'static str {
        "break_chains"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Data(Data::Chain(genuine)) if !genuine.is_empty() => {
                let lie = broken(cx, &genuine);
                if *lie != *genuine {
                    cx.fired();
                }
                cx.send(to, Message::Data(Data::Chain(Limited::take(lie))));
            }
            other => cx.send(to, other),
        }
    }
}
