//! `any_bytes`: messages of arbitrary content, as far as they can be read.
//!
//! Some are the honest machine's with bytes changed, put in or taken out, in the head or in the payload. Some are
//! invented: a random value of any kind of message, with a random payload. Nothing is signed for them.
//!
//! An adversary stands where messages still have types, so bytes that cannot be read never leave it. Every receiver
//! reads a frame with the same decoder before it looks at the sender's message, and what that decoder does with bytes
//! that are no message is shown by its own tests; the payloads, which it does not read, are truly any bytes.
//!
//! Must hold: everything; each such message costs its sender a rejection, and nobody panics.

use bytes::Bytes;
use quorate_types::ReplicaId;
use quorate_types::message::Message;
use quorate_types::wire::Frame;

use crate::adversary::{Adversary, Cx};

/// How often bytes are drawn anew if they cannot be read.
const TRIES: usize = 16;
/// Most bytes that are changed in a message.
const EDITS_MAX: u64 = 4;
/// Random bytes from which a message is read.
const INVENTED_BYTES: usize = 1024;
/// Most bytes of a random payload.
const PAYLOAD_BYTES_MAX: u64 = 256;

/// Sends messages of arbitrary content.
#[derive(Debug)]
pub struct AnyBytes {
    percent: u64,
}

/// Spoils one message of ten, and adds an invented one to another one of ten.
#[must_use]
pub const fn any_bytes() -> AnyBytes {
    AnyBytes { percent: 10 }
}

impl AnyBytes {
    /// Spoils so many of a hundred messages instead, and adds an invented one to as many others.
    #[must_use]
    pub const fn percent(self, percent: u64) -> Self {
        Self { percent }
    }
}

impl Adversary for AnyBytes {
    fn name(&self) -> &'static str {
        "any_bytes"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if cx.chance(self.percent)
            && let Some(spoilt) = readable(cx, |cx| spoil(cx, &message)).filter(|spoilt| *spoilt != message)
        {
            cx.send(to, spoilt);
            return cx.fired();
        }
        cx.send(to, message);
        if cx.chance(self.percent)
            && let Some(invented) = readable(cx, invent)
        {
            cx.send(to, invented);
            cx.fired();
        }
    }
}

/// The first frame that can be read.
fn readable(cx: &mut Cx<'_>, mut frame: impl FnMut(&mut Cx<'_>) -> Option<Frame>) -> Option<Message> {
    (0..TRIES).find_map(|_| Message::decode(&frame(cx)?).ok())
}

fn spoil(cx: &mut Cx<'_>, message: &Message) -> Option<Frame> {
    let mut frame = message.encode();
    let is_payload = !frame.payload.is_empty() && cx.chance(50);
    let place = if is_payload { &mut frame.payload } else { &mut frame.head };
    let mut bytes = place.to_vec();
    for _ in 0..=cx.draw(EDITS_MAX) {
        edit(cx, &mut bytes);
    }
    *place = bytes.into();
    Some(frame)
}

fn edit(cx: &mut Cx<'_>, bytes: &mut Vec<u8>) {
    let position = cx.draw(bytes.len() as u64) as usize;
    match (cx.draw(8), bytes.get_mut(position)) {
        (0, _) => bytes.insert(position, draw_byte(cx)),
        (1, Some(_)) => drop(bytes.remove(position)),
        (2, Some(byte)) => *byte = byte.wrapping_add(1),
        (3, Some(byte)) => *byte = byte.wrapping_sub(1),
        (4 | 5, Some(byte)) => *byte = draw_byte(cx),
        (_, Some(byte)) => *byte ^= 1 << cx.draw(8),
        (_, None) => {}
    }
}

/// Small ones more often: they are the tags and lengths that can be read.
fn draw_byte(cx: &mut Cx<'_>) -> u8 {
    let end = [4, 128, 256][cx.draw(3) as usize];
    cx.draw(end) as u8
}

/// A random value of a random kind.
fn invent(cx: &mut Cx<'_>) -> Option<Frame> {
    let mut bytes: Vec<u8> = (0..INVENTED_BYTES).map(|_| draw_byte(cx)).collect();
    bytes[0] = cx.draw(Message::KINDS.len() as u64) as u8;
    let (message, _) = postcard::take_from_bytes::<Message>(&bytes).ok()?;
    let frame = message.encode();
    let payload: Bytes = (0..cx.draw(PAYLOAD_BYTES_MAX)).map(|_| draw_byte(cx)).collect();
    // Some kinds have none.
    let with_payload = Frame { payload, ..frame.clone() };
    Some(if Message::decode(&with_payload).is_ok() { with_payload } else { frame })
}
