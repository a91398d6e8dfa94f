//! `forge_replies`: clients hear replies of the user's own type that the state machine never gave.
//!
//! Must hold: a client believes what f + 1 replicas say alike, so f liars change nothing that it sees.

use quorate_machine::{REPLY_BYTES_MAX, decode, encode};
use quorate_types::PublicKey;
use quorate_types::limited::Limited;
use quorate_types::message::{Outcome, ReplicaMessage, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

use crate::adversary::{Adversary, Cx};

/// The bytes of a forged reply, if it is another one.
type Forge = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

/// Puts forged replies in the place of true ones.
pub struct ForgeReplies(Forge);

/// Tells clients what `forge` makes of each reply of the state machine, which is a `R`, its
/// [`Reply`](quorate_machine::StateMachine::Reply).
///
/// A reply that `forge` leaves as it is, that is no `R` or whose forgery is too large to be sent goes
/// out as it is and counts as no deviation. Liars that shall tell one lie forge by the reply alone.
///
/// ```
/// use quorate_attack::{Combine as _, forge_replies, views};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Reply {
///     Balance(u64),
///     Refused,
/// }
///
/// let rich = forge_replies(|reply| match reply {
///     Reply::Balance(amount) => Reply::Balance(amount + 1_000_000),
///     Reply::Refused => Reply::Balance(1),
/// });
/// # let _: Box<dyn quorate_attack::Adversary> =
/// rich.during(views(0..2))
/// # .into();
/// ```
pub fn forge_replies<R>(mut forge: impl FnMut(R) -> R + Send + 'static) -> ForgeReplies
where
    R: Serialize + DeserializeOwned + 'static,
{
    ForgeReplies(Box::new(move |reply| {
        let forged = encode(&forge(decode(reply).ok()?), REPLY_BYTES_MAX).ok()?;
        (forged != reply).then_some(forged)
    }))
}

impl fmt::Debug for ForgeReplies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForgeReplies")
    }
}

impl Adversary for ForgeReplies {
    fn name(&self) -> &'static str {
        "forge_replies"
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, client: PublicKey, message: ReplicaMessage) {
        let ReplicaMessage::Reply(reply) = message else { return cx.reply(client, message) };
        let mut is_forged = false;
        let mut results = reply.results.into_vec();
        for (_, _, outcome) in &mut results {
            if let Outcome::Executed(bytes) = outcome
                && let Some(forged) = (self.0)(bytes)
            {
                *bytes = forged;
                is_forged = true;
            }
        }
        cx.reply(client, ReplicaMessage::Reply(Reply { results: Limited::take(results), ..reply }));
        if is_forged {
            cx.fired();
        }
    }
}
