//! Why a message was refused. Every refusal has a name, is counted and can be seen.

use serde::{Deserialize, Serialize};

macro_rules! rejections {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// The reason for which a peer's or client's message was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Rejection { $($(#[$doc])* $name),+ }

        impl Rejection {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason's name in logs, metrics and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

rejections! {
    /// The bytes end before the value does.
    Truncated = "truncated",
    /// Bytes are left after the value.
    TrailingBytes = "trailing-bytes",
    /// The value has a shorter or other canonical encoding.
    NotCanonical = "not-canonical",
    /// The message kind does not exist.
    UnknownKind = "unknown-kind",
    /// A field has no meaning, or a list is longer than its limit.
    Malformed = "malformed",
    /// The frame or command is larger than its limit.
    Oversized = "oversized",
    /// Payload bytes came with a kind that has none.
    UnexpectedPayload = "unexpected-payload",
    /// The message belongs to another cluster.
    WrongCluster = "wrong-cluster",
    /// The message belongs to another epoch.
    WrongEpoch = "wrong-epoch",
    /// The signer's number is not in the membership.
    UnknownSigner = "unknown-signer",
    /// The message names another replica or client than the one that sent it.
    WrongSender = "wrong-sender",
    /// A signature does not verify.
    BadSignature = "bad-signature",
    /// The key has small order or is not a key.
    WeakKey = "weak-key",
    /// The sender is not the primary of the view.
    WrongPrimary = "wrong-primary",
    /// A certificate has too few, too many, repeated or unordered signers.
    BadCertificate = "bad-certificate",
    /// A claim of a view change is not one chain above its certificate.
    BadClaim = "bad-claim",
    /// The first block of a view does not extend what its certificate selects.
    WrongBase = "wrong-base",
    /// The justification does not fit the block.
    BadJustification = "bad-justification",
    /// The view is over.
    StaleView = "stale-view",
    /// The view was not entered yet.
    FutureView = "future-view",
    /// The height is committed already or older than what is kept.
    StaleHeight = "stale-height",
    /// The height lies above the window.
    AboveWindow = "above-window",
    /// A second, different block of this view and height.
    Equivocation = "equivocation",
    /// The two statements of the evidence do not contradict each other.
    NotEvidence = "not-evidence",
    /// The batch's digest is not the one in the header.
    WrongBatch = "wrong-batch",
    /// The batch has a request that is not authentic or breaks a limit.
    BadBatch = "bad-batch",
    /// The block's time is before its parent's.
    TimeRunsBack = "time-runs-back",
    /// Nobody asked for this data.
    Unrequested = "unrequested",
    /// The head of a state, or the header with it, is not the certified one.
    WrongState = "wrong-state",
    /// The header chain has a gap or does not start where it was asked for.
    BrokenChain = "broken-chain",
    /// The sender has too many messages in verification.
    TooManyPending = "too-many-pending",
    /// The pool or the client's share of it is full.
    Overloaded = "overloaded",
    /// The number lies too far above or below the session's window.
    NumberOutOfWindow = "number-out-of-window",
    /// The session was born too long ago or lies in the future, or was evicted.
    SessionExpired = "session-expired",
    /// The session table is full of sessions that are too young to evict.
    SessionsFull = "sessions-full",
    /// The request was executed before.
    AlreadyExecuted = "already-executed",
    /// A recovering replica (rule D3) may not send this.
    Recovering = "recovering",
    /// A wish for a view came sooner than an hour after the last one.
    TooSoon = "too-soon",
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Rejection {}
