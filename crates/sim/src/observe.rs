//! What can be seen from outside? What honest replicas send, write, commit and execute, in the
//! order in which it happens. Nothing that was observed is ever taken back.

use quorate_consensus::client::Completed;
use quorate_consensus::{Event, Execution, Halt, Held, HeldOfPeer, Record};
use quorate_types::message::{Message, Outcome};
use quorate_types::{Bundle, Digest, Evidence, Height, ReplicaId, View};

use crate::tally::Tally;

/// One thing that was seen. "Replica" means an honest one wherever nothing else is said.
#[derive(Clone, Copy, Debug)]
pub enum Observation<'a> {
    /// Anyone, honest or not, sent a message to anyone; only what it shows of blocks counts.
    Shown(&'a Message),
    /// A replica sent a message; once, however many get it.
    Sent(ReplicaId, &'a Message),
    /// A message arrived at a replica that is in this view, so many nanoseconds after the start.
    Delivered {
        /// When.
        at: u64,
        /// Who sent it, honest or not.
        from: ReplicaId,
        /// The replica.
        to: ReplicaId,
        /// The view that the replica is in.
        view: View,
        /// The message.
        message: &'a Message,
    },
    /// What a replica holds because of all others and, in the order of their numbers, because of each.
    Held(ReplicaId, Held, &'a [HeldOfPeer]),
    /// A replica appended a record under this sequence number.
    Appended(ReplicaId, u64, &'a Record),
    /// Everything that a replica appended up to this number is durable.
    Durable(ReplicaId, u64),
    /// A replica said that something happened.
    Event(ReplicaId, &'a Event),
    /// A replica's state machine executed a block.
    Executed(ReplicaId, &'a Execution, &'a [Outcome]),
    /// A replica's state machine went on from the state after this block.
    Restored(ReplicaId, Height),
    /// The root of a replica's state after the block of this height.
    Root(ReplicaId, Height, Digest),
    /// A replica's state after the block of this height, with this root, is durable.
    StateDurable(ReplicaId, Height, Digest),
    /// What any replica's disk holds after its log was cut: records and states.
    DiskUse(ReplicaId, u64, u64),
    /// How many bytes of a state a replica took from others since it began, and how many that state has.
    Gathered(ReplicaId, u64, u64),
    /// Any replica stopped because its disk failed, and says so.
    DiskFailed(ReplicaId, &'a str),
    /// A replica cut its log and needs states from this height on.
    Cut(ReplicaId, Height),
    /// A replica is about to go on from a state that it fetched.
    Installing(ReplicaId, Height),
    /// What a replica's log and snapshots say when it starts.
    Recovered(ReplicaId, &'a [Record], &'a [(Height, Digest)]),
    /// A replica showed a proof against somebody.
    Reported(ReplicaId, &'a Evidence),
    /// A replica stopped because going on would do harm.
    Halted(ReplicaId, &'a Halt),
    /// A replica's process ended.
    Stopped(ReplicaId),
    /// A replica's process began from its disk.
    Started(ReplicaId),
    /// A replica lost its disk, without the mark.
    Wiped(ReplicaId),
    /// From now on the replica counts as Byzantine.
    Distrusted(ReplicaId),
    /// A client sent a bundle.
    Issued(&'a Bundle),
    /// A client's request ended with a reply. The client's number comes first.
    Completed(usize, &'a Completed),
    /// A client was told that its request had and will have no effect.
    Refused(usize, &'a str),
    /// The network healed and all replicas run.
    Healed,
    /// The bound for all that must end after healing has passed; what is still outstanding.
    Overdue(&'a str),
    /// The state of a replica at the end of a run, after the block of this height.
    Final(ReplicaId, Height, &'a Tally),
    /// Views have had time to settle: from now on no honest primary is deposed.
    Settled,
}

/// A broken property. A simulation ends with the first one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    /// What happened instead.
    pub what: String,
}

impl Violation {
    /// A violation of this property.
    #[must_use]
    pub fn of(property: &'static str, what: impl Into<String>) -> Self {
        Self { property, what: what.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.property, self.what)
    }
}

impl std::error::Error for Violation {}
