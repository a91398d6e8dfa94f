//! What happens next? Events in the order of their time, and of their making where times are equal.

use quorate_consensus::Input;
use quorate_types::certificate::SignedHeader;
use quorate_types::message::{ClientMessage, Message, ReplicaMessage};
use quorate_types::{ReplicaId, StateHead};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message between replicas arrives. `connection` is the sum of both ends' incarnations
    /// when it was sent: a connection does not survive its processes. `is_deviation` says whether an
    /// attack sent it.
    Message { from: ReplicaId, to: ReplicaId, connection: u32, message: Message, is_deviation: bool },
    /// A replica gets an input of its own driver.
    Input { replica: ReplicaId, incarnation: u32, input: Input },
    /// A sync ended; the numbers of records up to `through` are durable.
    Synced { replica: ReplicaId, incarnation: u32, through: u64 },
    /// A snapshot is durable.
    SnapshotSynced { replica: ReplicaId, incarnation: u32, header: SignedHeader, head: Arc<StateHead> },
    /// A client's message arrives at a replica.
    ClientMessage { client: usize, replica: ReplicaId, incarnation: u32, message: ClientMessage },
    /// A replica's message arrives at a client.
    ReplicaMessage {
        client: usize,
        replica: ReplicaId,
        incarnation: u32,
        message: ReplicaMessage,
        is_deviation: bool,
    },
    /// A client's connection to a replica stands or ended.
    Connection { client: usize, replica: ReplicaId, is_up: bool },
    /// A client has thought and submits.
    Think { client: usize },
    /// The operator gives a replica whose disk is damaged a new one.
    Replace { replica: ReplicaId, incarnation: u32 },
    /// A fault of the plan strikes.
    Fault(usize),
}

/// Events to come. Payloads lie beside the heap, so that sifting moves three words only.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<Event>>,
    free: Vec<u32>,
    pushed: u64,
}

impl Queue {
    /// Adds an event at a time in nanoseconds.
    pub(crate) fn push(&mut self, time: u64, event: Event) {
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events wait at a time")
        };
        self.slots[slot as usize] = Some(event);
        self.pushed += 1;
        self.heap.push(Reverse((time, self.pushed, slot)));
    }
    /// When the next event happens.
    pub(crate) fn next_time(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((time, ..))| *time)
    }
    /// Takes the next event.
    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((time, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take().map(|event| (time, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_age() {
        let mut queue = Queue::default();
        for (time, client) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            queue.push(time, Event::Think { client });
        }
        let mut order = Vec::new();
        while let Some((time, Event::Think { client })) = queue.pop() {
            order.push((time, client));
        }
        assert_eq!(order, [(3, 1), (3, 3), (5, 0), (5, 2)]);
        assert_eq!(queue.slots.len(), 4);
    }
}
