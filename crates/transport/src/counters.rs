//! What has happened on this endpoint? Counts by reason, for status, metrics and tests.

use std::array;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Ending, Reason};

/// Why a frame was not sent. The protocol retransmits what matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Dropped {
    /// The queue towards this peer is full: the peer is slow or dead.
    #[error("queue-full")]
    QueueFull = 0,
    /// There is no connection to this peer at the moment.
    #[error("not-connected")]
    NotConnected = 1,
    /// This peer is cut off.
    #[error("cut")]
    Cut = 2,
    /// The frame exceeds the limits, so the receiver would close the connection.
    #[error("too-large")]
    TooLarge = 3,
    /// No such peer or client connection.
    #[error("unknown-peer")]
    UnknownPeer = 4,
}

impl Dropped {
    /// Every kind of drop.
    pub const ALL: [Self; 5] =
        [Self::QueueFull, Self::NotConnected, Self::Cut, Self::TooLarge, Self::UnknownPeer];
}

/// Counts since the endpoint started, as they stood when they were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections and handshakes that this end ended, by reason. Reasons that never came are absent.
    pub ended: BTreeMap<Reason, u64>,
    /// Connections and handshakes that the other end ended, by reason.
    pub ended_by_peer: BTreeMap<Reason, u64>,
    /// Frames that were not sent, by reason.
    pub dropped: BTreeMap<Dropped, u64>,
    /// Connections that were established in both directions.
    pub connected: u64,
    /// Frames handed to QUIC.
    pub frames_sent: u64,
    /// Bytes of heads and payloads handed to QUIC.
    pub bytes_sent: u64,
    /// Frames delivered as events.
    pub frames_received: u64,
    /// Bytes of heads and payloads delivered as events.
    pub bytes_received: u64,
}

impl Counters {
    /// How many connections and handshakes this end refused or closed for `reason`.
    #[must_use]
    pub fn ended(&self, reason: Reason) -> u64 {
        self.ended.get(&reason).copied().unwrap_or(0)
    }

    /// How many the other end refused or closed for `reason`.
    #[must_use]
    pub fn ended_by_peer(&self, reason: Reason) -> u64 {
        self.ended_by_peer.get(&reason).copied().unwrap_or(0)
    }

    /// How many frames were not sent because of `why`.
    #[must_use]
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped.get(&why).copied().unwrap_or(0)
    }
}

/// The counts while they run. Relaxed: each number stands for itself.
#[derive(Debug)]
pub(crate) struct Tally {
    ended: [AtomicU64; Reason::ALL.len()],
    ended_by_peer: [AtomicU64; Reason::ALL.len()],
    dropped: [AtomicU64; Dropped::ALL.len()],
    connected: AtomicU64,
    frames_sent: AtomicU64,
    bytes_sent: AtomicU64,
    frames_received: AtomicU64,
    bytes_received: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            ended: array::from_fn(|_| zero()),
            ended_by_peer: array::from_fn(|_| zero()),
            dropped: array::from_fn(|_| zero()),
            connected: zero(),
            frames_sent: zero(),
            bytes_sent: zero(),
            frames_received: zero(),
            bytes_received: zero(),
        }
    }

    /// Counts and logs an ending. Only misbehaviour is worth a warning: strangers can cause the
    /// others at will.
    pub(crate) fn on_ended(&self, ending: Ending, who: &dyn fmt::Display) {
        let counts = if ending.by_peer { &self.ended_by_peer } else { &self.ended };
        add(&counts[ending.reason as usize], 1);
        if ending.reason.is_misbehaviour() && !ending.by_peer {
            tracing::warn!(%who, %ending, "connection refused or closed");
        } else {
            tracing::debug!(%who, %ending, "connection refused or closed");
        }
    }

    pub(crate) fn on_dropped(&self, why: Dropped) {
        add(&self.dropped[why as usize], 1);
    }

    pub(crate) fn on_connected(&self) {
        add(&self.connected, 1);
    }

    pub(crate) fn on_sent(&self, frames: usize, bytes: usize) {
        add(&self.frames_sent, frames as u64);
        add(&self.bytes_sent, bytes as u64);
    }

    pub(crate) fn on_received(&self, bytes: usize) {
        add(&self.frames_received, 1);
        add(&self.bytes_received, bytes as u64);
    }

    pub(crate) fn snapshot(&self) -> Counters {
        Counters {
            ended: named(&Reason::ALL, &self.ended),
            ended_by_peer: named(&Reason::ALL, &self.ended_by_peer),
            dropped: named(&Dropped::ALL, &self.dropped),
            connected: read(&self.connected),
            frames_sent: read(&self.frames_sent),
            bytes_sent: read(&self.bytes_sent),
            frames_received: read(&self.frames_received),
            bytes_received: read(&self.bytes_received),
        }
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn named<K: Copy + Ord>(names: &[K], counts: &[AtomicU64]) -> BTreeMap<K, u64> {
    let counts = counts.iter().map(read);
    names.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect()
}
