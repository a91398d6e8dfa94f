//! What happened in a run, so that a person understands it? A lane for each replica and each client, and what they did in
//! the order of time: as text for a terminal, and as a Mermaid sequence diagram.
//!
//! Nothing is recorded unless somebody asks for it.

mod mermaid;
mod record;
mod rows;
mod text;

#[cfg(test)]
mod tests;

use quorate_types::{Digest, Height, View};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub(crate) use record::{DOWN, Recorder, UP, describe};

/// What a run did, up to the violation if there was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    replicas: u16,
    clients: usize,
    /// The attacks of those that lie, by their replica.
    traitors: BTreeMap<u16, String>,
    notes: Vec<Note>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    /// When, in nanoseconds from the start.
    at: u64,
    lane: Lane,
    words: Cow<'static, str>,
    /// The block that it is about.
    block: Option<BlockId>,
    to: To,
    /// Whether a traitor deviates here.
    is_deviation: bool,
}

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Replica(u16),
    Client(usize),
    /// To the whole cluster.
    Everywhere,
}

/// Who was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    Nobody,
    All,
    Only(Vec<u16>),
}

/// A block: its height first, so that blocks are sorted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BlockId {
    height: Height,
    view: View,
    digest: Digest,
}

/// No run comes so far.
const HEIGHT_ABSURD: u64 = 100_000;

/// Short names of blocks: the height, and a letter where there is more than one of that height.
struct Names(BTreeMap<BlockId, String>);

impl Names {
    fn of(chart: &Chart) -> Self {
        let mut by_height: BTreeMap<Height, Vec<BlockId>> = BTreeMap::new();
        for block in chart.notes.iter().filter_map(|note| note.block) {
            let blocks = by_height.entry(block.height).or_default();
            if !blocks.contains(&block) {
                blocks.push(block);
            }
        }
        let mut names = BTreeMap::new();
        for (height, blocks) in by_height {
            let is_alone = blocks.len() == 1;
            for (block, letter) in blocks.into_iter().zip(('a'..='z').cycle()) {
                let letter = if is_alone { String::new() } else { letter.to_string() };
                // Liars name heights that have no place in a column.
                let height = if height.0 < HEIGHT_ABSURD { height.0.to_string() } else { "far".to_owned() };
                names.insert(block, format!("{height}{letter}"));
            }
        }
        Self(names)
    }

    fn name(&self, block: BlockId) -> &str {
        self.0.get(&block).map_or("?", String::as_str)
    }

    /// Blocks of heights that have several, in the order of their names.
    fn rivals(&self) -> Vec<(&str, &BlockId)> {
        let is_rival = |name: &str| name.ends_with(|letter: char| letter.is_ascii_lowercase());
        let all = self.0.iter().map(|(block, name)| (name.as_str(), block));
        let mut rivals: Vec<_> = all.filter(|(name, _)| is_rival(name)).collect();
        rivals.sort_by_key(|(name, block)| (block.height, *name));
        rivals
    }
}

impl Chart {
    /// What a note says, with the names of blocks but not of those who were told.
    fn label(note: &Note, names: &Names) -> String {
        match note.block {
            Some(block) if note.words == record::PROPOSE => {
                format!("{} {} v{}", note.words, names.name(block), block.view.0)
            }
            Some(block) => format!("{} {}", note.words, names.name(block)),
            None => note.words.to_string(),
        }
    }

    /// The lanes in their order: replicas, then clients.
    fn lanes(&self) -> Vec<Lane> {
        let replicas = (0..self.replicas).map(Lane::Replica);
        replicas.chain((0..self.clients).map(Lane::Client)).collect()
    }
}

impl Lane {
    fn name(self) -> String {
        match self {
            Self::Replica(replica) => format!("R{replica}"),
            Self::Client(client) => format!("C{client}"),
            Self::Everywhere => String::new(),
        }
    }
}

/// A time as milliseconds.
fn millis(at: u64) -> String {
    format!("{}.{:03}", at / 1_000_000, at / 1000 % 1000)
}
