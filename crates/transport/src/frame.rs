//! Where does one frame end and the next begin? Framing on a QUIC stream.
//!
//! A frame is two little-endian `u32` lengths, head and payload, then the head, then the payload.
//! Lengths are checked before anything is buffered. A received frame is copied once, into memory of
//! its own: a slice of the datagram would keep the whole receive buffer alive as long as the frame.

use bytes::{BufMut as _, Bytes, BytesMut};
use quinn::{ReadError, RecvStream};
pub use quorate_types::wire::Frame;
use quorate_types::wire::{HEAD_BYTES_MAX, PAYLOAD_BYTES_MAX};
use std::collections::VecDeque;

use crate::Reason;

/// Most bytes in the two parts of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Most bytes in the head.
    pub head_bytes_max: usize,
    /// Most bytes in the payload.
    pub payload_bytes_max: usize,
}

impl Default for FrameLimits {
    /// What the largest message of the protocol needs.
    fn default() -> Self {
        Self { head_bytes_max: HEAD_BYTES_MAX, payload_bytes_max: PAYLOAD_BYTES_MAX }
    }
}

impl FrameLimits {
    /// Refuses lengths beyond the limits, naming the part that is too long.
    fn check(&self, head: usize, payload: usize) -> Result<(), Reason> {
        if head > self.head_bytes_max {
            return Err(Reason::HeadTooLarge);
        }
        if payload > self.payload_bytes_max {
            return Err(Reason::PayloadTooLarge);
        }
        Ok(())
    }

    /// Whether the other end, having the same limits, would take this frame.
    pub(crate) fn allow(&self, frame: &Frame) -> bool {
        self.check(frame.head.len(), frame.payload.len()).is_ok()
    }
}

/// Bytes of head and payload.
pub(crate) fn len(frame: &Frame) -> usize {
    frame.head.len() + frame.payload.len()
}

/// Moves frames into a list of chunks for one write. Small parts are gathered into one chunk,
/// because QUIC walks its unacknowledged chunks one by one; large ones are passed on uncopied.
pub(crate) fn gather(frames: &mut Vec<Frame>, chunks: &mut Vec<Bytes>) {
    let small = |part: &Bytes| if part.len() <= GATHERED_BYTES_MAX { part.len() } else { 0 };
    let capacity = frames.iter().map(|f| HEADER_BYTES + small(&f.head) + small(&f.payload)).sum();
    let mut gathered = BytesMut::with_capacity(capacity);
    chunks.clear();
    for frame in frames.drain(..) {
        // Both lengths passed `FrameLimits::allow`, whose limits are far below 4 GiB.
        gathered.put_u32_le(frame.head.len() as u32);
        gathered.put_u32_le(frame.payload.len() as u32);
        for part in [frame.head, frame.payload] {
            if part.len() <= GATHERED_BYTES_MAX {
                gathered.put_slice(&part);
            } else {
                chunks.push(gathered.split().freeze());
                chunks.push(part);
            }
        }
    }
    if !gathered.is_empty() {
        chunks.push(gathered.freeze());
    }
}

/// The lengths that a frame announces, within the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    head: usize,
    payload: usize,
}

impl Lengths {
    pub(crate) const fn total(self) -> usize {
        self.head + self.payload
    }
}

/// Why no frame can be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The peer broke a rule: close the connection with this reason.
    Rejected(Reason),
    /// The connection is gone; it knows why.
    ConnectionLost,
}

/// Reads frames from a stream.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    limits: FrameLimits,
    /// Received and not yet read. Bounded by the flow-control window of the stream.
    chunks: VecDeque<Bytes>,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, limits: FrameLimits) -> Self {
        Self { stream, limits, chunks: VecDeque::new() }
    }

    /// The lengths of the next frame.
    pub(crate) async fn lengths(&mut self) -> Result<Lengths, Unreadable> {
        let mut header = [0; HEADER_BYTES];
        let mut filled = 0;
        while filled < HEADER_BYTES {
            if self.chunks.is_empty() && !self.receive().await? {
                let reason = if filled == 0 { Reason::LaneEnded } else { Reason::FrameTruncated };
                return Err(Unreadable::Rejected(reason));
            }
            let part = self.take(HEADER_BYTES - filled);
            header[filled..filled + part.len()].copy_from_slice(&part);
            filled += part.len();
        }
        let [h0, h1, h2, h3, p0, p1, p2, p3] = header;
        let head = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        let payload = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        self.limits.check(head, payload).map_err(Unreadable::Rejected)?;
        Ok(Lengths { head, payload })
    }

    /// The frame of which `lengths` were just read.
    pub(crate) async fn frame(&mut self, lengths: Lengths) -> Result<Frame, Unreadable> {
        let total = lengths.total();
        let mut bytes: Vec<u8> = Vec::with_capacity(total.min(EAGER_BYTES_MAX));
        while bytes.len() < total {
            if self.chunks.is_empty() && !self.receive().await? {
                return Err(Unreadable::Rejected(Reason::FrameTruncated));
            }
            let part = self.take(total - bytes.len());
            // Memory follows what really came, at most twice that, and ends exactly full.
            if bytes.capacity() - bytes.len() < part.len() {
                let capacity = (2 * bytes.capacity()).max(bytes.len() + part.len()).min(total);
                bytes.reserve_exact(capacity - bytes.len());
            }
            bytes.extend_from_slice(&part);
        }
        let mut head = Bytes::from(bytes);
        let payload = head.split_off(lengths.head);
        Ok(Frame { head, payload })
    }

    /// Reads one byte: the number of the lane, with which each stream begins.
    pub(crate) async fn lane_number(&mut self) -> Result<u8, Unreadable> {
        if self.chunks.is_empty() && !self.receive().await? {
            return Err(Unreadable::Rejected(Reason::LaneEnded));
        }
        Ok(self.take(1)[0])
    }

    /// Takes up to `most` bytes of the first chunk. There must be one.
    fn take(&mut self, most: usize) -> Bytes {
        let first = self.chunks.front_mut().expect("callers receive before they take");
        if first.len() > most {
            return first.split_to(most);
        }
        self.chunks.pop_front().expect("the first chunk was just looked at")
    }

    /// Waits for more chunks; false at the end of the stream.
    async fn receive(&mut self) -> Result<bool, Unreadable> {
        let mut received = [const { Bytes::new() }; CHUNKS_PER_READ];
        loop {
            let count = match self.stream.read_chunks(&mut received).await {
                Ok(Some(count)) => count,
                Ok(None) => return Ok(false),
                Err(ReadError::Reset(_)) => return Err(Unreadable::Rejected(Reason::LaneEnded)),
                Err(_) => return Err(Unreadable::ConnectionLost),
            };
            let received = received.iter_mut().take(count).map(std::mem::take);
            self.chunks.extend(received.filter(|chunk| !chunk.is_empty()));
            if !self.chunks.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// Two `u32` lengths.
const HEADER_BYTES: usize = 8;
/// Parts up to this length are copied together rather than becoming chunks of their own.
const GATHERED_BYTES_MAX: usize = 2048;
/// Memory that a frame may take on the strength of its announced length alone.
const EAGER_BYTES_MAX: usize = 64 << 10;
/// Chunks fetched under one lock of the connection.
const CHUNKS_PER_READ: usize = 32;
