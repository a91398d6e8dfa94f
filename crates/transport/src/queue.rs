//! What happens when a peer is slower than we are? Bounded queues in both directions.
//!
//! Outgoing frames beyond the bounds are dropped, so the sender never waits. Incoming frames beyond
//! the bound are not read, so the peer waits; a [`Permit`] gives the room back when it is dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{Config, Dropped, Frame, frame};

/// The sending end of a lane's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    frames: mpsc::Sender<Frame>,
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The end of a lane's queue that the lane empties.
#[derive(Debug)]
pub(crate) struct Backlog {
    frames: mpsc::Receiver<Frame>,
    bytes: Arc<AtomicUsize>,
}

impl Queue {
    pub(crate) fn new(config: &Config) -> (Self, Backlog) {
        let (sender, receiver) = mpsc::channel(config.queue_frames_max.max(1));
        let bytes = Arc::new(AtomicUsize::new(0));
        let queue = Self { frames: sender, bytes: bytes.clone(), bytes_max: config.queue_bytes_max };
        (queue, Backlog { frames: receiver, bytes })
    }

    /// Queues a frame, or drops it if the bounds are reached. One frame always fits.
    pub(crate) fn try_push(&self, frame: Frame) -> Result<(), Dropped> {
        let len = frame::len(&frame);
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        if before > 0 && before.saturating_add(len) > self.bytes_max {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            return Err(Dropped::QueueFull);
        }
        self.frames.try_send(frame).map_err(|error| {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Dropped::QueueFull,
                mpsc::error::TrySendError::Closed(_) => Dropped::NotConnected,
            }
        })
    }
}

impl Backlog {
    /// Waits for frames and takes what is queued, up to a batch. False if none will come any more.
    pub(crate) async fn next(&mut self, frames: &mut Vec<Frame>) -> bool {
        self.frames.recv_many(frames, BATCH_FRAMES_MAX).await > 0
    }

    /// Gives the room of frames back that were written.
    pub(crate) fn written(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The room for frames of one lane that were received and not yet dealt with.
#[derive(Debug)]
pub(crate) struct Room {
    room: Arc<Semaphore>,
    bytes_max: u32,
}

impl Room {
    pub(crate) fn new(config: &Config) -> Self {
        let bytes_max = config.inbound_bytes_max.clamp(FRAME_BYTES_MIN, ROOM_BYTES_MAX);
        Self { room: Arc::new(Semaphore::new(bytes_max)), bytes_max: bytes_max as u32 }
    }

    /// Waits until there is room for a frame of `bytes`. A frame larger than all the room takes all.
    pub(crate) async fn enter(&self, bytes: usize) -> Permit {
        let bytes = u32::try_from(bytes.max(FRAME_BYTES_MIN)).unwrap_or(u32::MAX).min(self.bytes_max);
        let permit = self.room.clone().acquire_many_owned(bytes).await;
        Permit { _room: permit.expect("the semaphore is never closed") }
    }
}

/// Room that a received frame takes up. Dropping it lets the connection read on, so drop it when
/// the frame has been dealt with, and do not keep it to wait for another frame of the same peer.
pub struct Permit {
    _room: OwnedSemaphorePermit,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// Frames that go out in one write.
const BATCH_FRAMES_MAX: usize = 128;
/// What the smallest frame counts for: it bounds the number of frames as well.
const FRAME_BYTES_MIN: usize = 256;
/// More than any sensible bound, and what a semaphore surely holds.
const ROOM_BYTES_MAX: usize = 1 << 28;
