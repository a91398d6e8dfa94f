//! Which messages and blocks are there? Each once, by a number.

use quorate_types::certificate::SignedHeader;
use quorate_types::message::{Data, Message};
use quorate_types::{Digest, Height, ReplicaId, View};
use std::collections::BTreeMap;

/// A message with its sender, to one replica or to all.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) from: ReplicaId,
    pub(super) to: Option<ReplicaId>,
    pub(super) message: Message,
}

/// The number of a message.
pub(super) type MessageId = u32;

/// All messages that were sent in any state, and the blocks that they show.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: Vec<Sent>,
    by_digest: BTreeMap<Digest, MessageId>,
    blocks: BTreeMap<Digest, SignedHeader>,
}

impl Messages {
    /// The number of a message; a new one if it was never sent.
    pub(super) fn number(&mut self, sent: Sent) -> MessageId {
        let digest = Digest::of_bytes(format!("{sent:?}").as_bytes());
        if let Some(number) = self.by_digest.get(&digest) {
            return *number;
        }
        self.note_blocks(&sent.message);
        let number = self.all.len() as MessageId;
        self.all.push(sent);
        self.by_digest.insert(digest, number);
        number
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: MessageId) -> &Sent {
        &self.all[number as usize]
    }

    /// A block that a message showed.
    pub(super) fn block(&self, digest: &Digest) -> Option<&SignedHeader> {
        self.blocks.get(digest)
    }

    /// Whether a block extends another, or is the other.
    pub(super) fn extends(&self, block: Digest, (height, ancestor): (Height, Digest)) -> bool {
        let mut digest = block;
        while digest != ancestor {
            match self.blocks.get(&digest) {
                Some(signed) if signed.header.height > height => digest = signed.header.parent,
                _ => return false,
            }
        }
        true
    }

    /// Whether a block is the first one of its view; genesis is that of view 0.
    pub(super) fn is_first(&self, digest: &Digest) -> bool {
        self.blocks.get(digest).is_some_and(|signed| {
            let parent = self.blocks.get(&signed.header.parent);
            signed.header.view > View(0)
                && parent.is_none_or(|parent| parent.header.view < signed.header.view)
        })
    }

    fn note_blocks(&mut self, message: &Message) {
        let shown: Vec<SignedHeader> = match message {
            Message::Propose(propose) => vec![propose.header],
            Message::Data(Data::Header(header) | Data::Block { header, .. }) => vec![*header],
            Message::ViewChange(change) => change.claim.iter().copied().collect(),
            _ => Vec::new(),
        };
        self.blocks.extend(shown.into_iter().map(|signed| (signed.header.digest(), signed)));
    }
}
