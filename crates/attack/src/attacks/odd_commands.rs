//! `odd_commands`: a replica that is a client too, and asks for what no well-behaved client would.
//!
//! The commands are of the user's own type. As primary the replica orders them in its own blocks, as backup it passes
//! them on like those of any client. Nothing of that breaks the protocol: it is the state machine that must stand it.
//!
//! Must hold: the user's own invariants, and that all replicas execute the commands alike.

use bytes::Bytes;
use quorate_machine::encode;
use quorate_types::message::Message;
use quorate_types::{Batch, Bundle, ReplicaId, RequestNumber, SecretKey, SessionId, Time};
use serde::Serialize;
use std::fmt;

use crate::adversary::{Adversary, Cx, Verdict};

/// Asks for commands of its own.
pub struct OddCommands {
    make: Box<dyn FnMut(u64, usize) -> Option<Vec<u8>> + Send>,
    client: Option<(SecretKey, SessionId)>,
    number: u64,
    /// The time of the last block that was seen.
    block_time: Time,
}

/// Asks for one more command with each block that others' requests are in: `make` gets 1, 2, 3 and so on.
///
/// `C` is the state machine's [`Command`](quorate_machine::StateMachine::Command). Any other type can be
/// encoded too: what is no command to the machine is ordered, and executes as nothing everywhere alike. A
/// command that is larger than genesis allows is not asked for. The client's key is the traitor's own, drawn
/// when it begins; the commands count as deviations, and there are none in a cluster that does nothing else.
///
/// ```
/// use quorate_attack::{Attack, Combine as _, odd_commands};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Command {
///     Transfer { from: String, to: String, amount: u64 },
/// }
///
/// let greedy = odd_commands(|number| Command::Transfer {
///     from: "nobody".into(),
///     to: "me".into(),
///     amount: if number % 2 == 0 { u64::MAX } else { 0 },
/// });
/// # let _: Box<dyn quorate_attack::Adversary> =
/// greedy.times(10).and(Attack::EquivocateProposals)
/// # .into();
/// ```
pub fn odd_commands<C: Serialize>(mut make: impl FnMut(u64) -> C + Send + 'static) -> OddCommands {
    OddCommands {
        make: Box::new(move |number, bytes_max| encode(&make(number), bytes_max).ok()),
        client: None,
        number: 0,
        block_time: Time(0),
    }
}

impl OddCommands {
    fn see(&mut self, cx: &mut Cx<'_>, message: &Message) {
        let Message::Propose(propose) = message else { return };
        // A broadcast comes once for each recipient, and blocks' times never run back.
        if propose.header.header.time <= self.block_time {
            return;
        }
        self.block_time = propose.header.header.time;
        let own = self.client.as_ref().map(|(_, session)| session.client);
        let is_of_others = |bundle: &Bundle| Some(bundle.session().client) != own;
        // Its own commands make blocks as well: without this they would never end.
        if Batch::parse(propose.batch.clone()).is_ok_and(|batch| batch.bundles().iter().any(is_of_others)) {
            self.ask(cx);
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>) {
        self.number += 1;
        let bytes_max = cx.config.parameters.command_bytes_max as usize;
        let Some(command) = (self.make)(self.number, bytes_max) else { return };
        let (key, session) = self.client.get_or_insert_with(|| open(cx, self.block_time));
        let request = (RequestNumber(self.number), Bytes::from(command));
        let bundle = Bundle::sign(&cx.config.membership.cluster(), key, *session, &[request]);
        cx.request(session.client, bundle.raw().clone());
        cx.fired();
    }
}

/// A key and a session that can still be opened.
fn open(cx: &mut Cx<'_>, birth: Time) -> (SecretKey, SessionId) {
    let seed = std::array::from_fn(|_| cx.draw(256) as u8);
    let key = SecretKey::with_scheme(cx.membership().scheme(), seed);
    let session = SessionId { client: key.public(), birth, nonce: 0 };
    (key, session)
}

impl fmt::Debug for OddCommands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OddCommands").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Adversary for OddCommands {
    fn name(&self) -> &'static str {
        "odd_commands"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        self.see(cx, &message);
        cx.send(to, message);
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, _: ReplicaId, message: &Message) -> Verdict {
        self.see(cx, message);
        Verdict::Deliver
    }
}
