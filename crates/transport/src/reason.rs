//! Why did a connection end, or never come to be? One list of names for both ends of it.
//!
//! The end that closes sends the reason's code, so the other end can name it too. A refusal inside
//! the TLS handshake travels as a TLS alert, and each alert used here stands for one reason.

use quinn::{ConnectionError, TransportErrorCode, VarInt};
use rustls::AlertDescription;
use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// Why a connection ended, or was refused. The number is its close code on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant = $code,)* }

        impl Reason {
            /// Every reason, in the order of the codes.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            /// The name in logs, metrics and close messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// The key belongs to no member, and only members may come here.
    UnknownKey = 0, "unknown-key";
    /// The replica that was dialled has another key than the pinned one.
    WrongKey = 1, "wrong-key";
    /// The key is of small order, no point of the curve, or no raw Ed25519 key at all.
    WeakKey = 2, "weak-key";
    /// The other end speaks another protocol or version.
    WrongAlpn = 3, "wrong-alpn";
    /// Of two replicas the one with the smaller id dials; here the other one did.
    WrongDirection = 4, "wrong-direction";
    /// All connections, or all connections of this key, are taken.
    TooManyConnections = 5, "too-many-connections";
    /// Too many handshakes are under way.
    TooManyHandshakes = 6, "too-many-handshakes";
    /// The handshake was not finished in time, or nobody answered.
    HandshakeTimeout = 7, "handshake-timeout";
    /// The handshake failed in a way that has no name of its own.
    HandshakeFailed = 8, "handshake-failed";
    /// A frame announced a longer head than is allowed.
    HeadTooLarge = 9, "head-too-large";
    /// A frame announced a longer payload than is allowed.
    PayloadTooLarge = 10, "payload-too-large";
    /// A stream ended inside a frame.
    FrameTruncated = 11, "frame-truncated";
    /// A stream began with a wrong lane number.
    LaneUnexpected = 12, "lane-unexpected";
    /// A stream was finished or reset although the connection goes on.
    LaneEnded = 13, "lane-ended";
    /// The same peer connected anew; the newest connection wins.
    Replaced = 14, "replaced";
    /// The operator or a test cut this peer off.
    Cut = 15, "cut";
    /// The endpoint was shut down.
    Shutdown = 16, "shutdown";
    /// Nothing was heard for the idle timeout.
    IdleTimeout = 17, "idle-timeout";
    /// The other end does not know this connection any more: it was restarted.
    Reset = 18, "reset";
    /// The other end broke the rules of QUIC, or the connection broke in a way without a name.
    Broken = 19, "broken";
}

impl Reason {
    /// Whether only a faulty or hostile peer is closed for this reason.
    #[must_use]
    pub const fn is_misbehaviour(self) -> bool {
        matches!(
            self,
            Self::HeadTooLarge
                | Self::PayloadTooLarge
                | Self::FrameTruncated
                | Self::LaneUnexpected
                | Self::LaneEnded
                | Self::WrongDirection
                | Self::WrongKey
                | Self::Broken
        )
    }

    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    fn from_code(code: VarInt) -> Self {
        let index = usize::try_from(code.into_inner()).unwrap_or(usize::MAX);
        Self::ALL.get(index).copied().unwrap_or(Self::Broken)
    }

    fn from_transport(code: TransportErrorCode) -> Self {
        const ALERTS: u64 = 0x100;
        let is = |alert: AlertDescription| u64::from(code) == ALERTS | u64::from(u8::from(alert));
        if code == TransportErrorCode::CONNECTION_REFUSED {
            Self::TooManyConnections
        } else if is(AlertDescription::AccessDenied) {
            Self::UnknownKey
        } else if is(AlertDescription::UnknownCA) {
            Self::WrongKey
        } else if is(AlertDescription::BadCertificate) {
            Self::WeakKey
        } else if is(AlertDescription::NoApplicationProtocol) {
            Self::WrongAlpn
        } else if (ALERTS..2 * ALERTS).contains(&u64::from(code)) {
            Self::HandshakeFailed
        } else {
            Self::Broken
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a connection ended: why, and which end said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why it ended.
    pub reason: Reason,
    /// Whether the other end closed or refused it.
    pub by_peer: bool,
}

impl Ending {
    pub(crate) const fn ours(reason: Reason) -> Self {
        Self { reason, by_peer: false }
    }

    const fn theirs(reason: Reason) -> Self {
        Self { reason, by_peer: true }
    }
}

impl From<ConnectionError> for Ending {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::theirs(Reason::from_code(close.error_code)),
            ConnectionError::ConnectionClosed(close) => {
                Self::theirs(Reason::from_transport(close.error_code))
            }
            ConnectionError::TransportError(error) => Self::ours(Reason::from_transport(error.code)),
            ConnectionError::TimedOut => Self::ours(Reason::IdleTimeout),
            ConnectionError::Reset => Self::theirs(Reason::Reset),
            // Only a shutdown closes behind the back of the task that owns the connection.
            ConnectionError::LocallyClosed => Self::ours(Reason::Shutdown),
            ConnectionError::VersionMismatch => Self::theirs(Reason::WrongAlpn),
            ConnectionError::CidsExhausted => Self::ours(Reason::Broken),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.by_peer { "by the peer" } else { "by us" };
        write!(f, "{} ({by})", self.reason)
    }
}
