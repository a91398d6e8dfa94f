//! `mix_pages`: hands out the head of a state in which some pages are genuine and others are not, or of which the sums
//! are wrong.
//!
//! Must hold: the root covers all of the head, so that one wrong page or sum makes the whole head another one; sizes
//! that it names make nobody allocate.

use quorate_types::limited::Limited;
use quorate_types::message::{Data, Message};
use quorate_types::state::{Content, PAGES_MAX};
use quorate_types::{ChunkId, Digest, Height, ReplicaId, StateHead};
use std::sync::Arc;

use crate::adversary::{Adversary, Cx};
use crate::forge;

/// Spoils a part of each head.
#[derive(Debug)]
pub struct MixPages(());

/// Changes another part of each head.
#[must_use]
pub const fn mix_pages() -> MixPages {
    MixPages(())
}

fn other(content: &Content, page: ChunkId) -> Content {
    let mut pages = content.pages.to_vec();
    pages.pop();
    pages.push(page);
    Content { pages: Limited::take(pages), ..content.clone() }
}

fn mixed(cx: &mut Cx<'_>, genuine: &StateHead) -> StateHead {
    let page = ChunkId { digest: forge::other_digest(genuine.result_root), bytes: 64 };
    let mut head = genuine.clone();
    match cx.draw(7) {
        0 => head.application = other(&genuine.application, page),
        1 => head.sessions = other(&genuine.sessions, page),
        2 => (head.sessions, head.application) = (genuine.application.clone(), genuine.sessions.clone()),
        3 => head.application.bytes = u64::MAX,
        4 => {
            let pages = std::iter::repeat_n(page, PAGES_MAX);
            head.application = Content { bytes: u64::MAX, chunks: u64::MAX, pages: Limited::take(pages) };
        }
        5 => head.height = Height(genuine.height.0.wrapping_sub(1)),
        _ => head.configuration = Digest([0; 32]),
    }
    head
}

impl Adversary for MixPages {
    fn name(&self) -> &'static str {
        "mix_pages"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        match message {
            Message::Data(Data::State { header, head }) => {
                let lie = mixed(cx, &head);
                if lie != *head {
                    cx.fired();
                }
                cx.send(to, Message::Data(Data::State { header, head: Arc::new(lie) }));
            }
            other => cx.send(to, other),
        }
    }
}
