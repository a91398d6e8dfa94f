//! What does an endpoint tell its owner? Connections that come and go, and frames.

use quorate_types::{PublicKey, ReplicaId};
use std::fmt;

use crate::{Ending, Frame, Permit};

/// Names one connection of a client, uniquely within the replica's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What happened. The frames of a connection lie between its connected and disconnected events; the
/// identity in each event is the key that the other end proved in the handshake.
#[derive(Debug)]
pub enum Event {
    /// A replica can be reached: what is sent from now on goes out.
    Connected {
        /// The replica.
        peer: ReplicaId,
    },
    /// A replica cannot be reached any more. It is dialled again, or expected to dial.
    Disconnected {
        /// The replica.
        peer: ReplicaId,
        /// Why, and on whose side.
        ending: Ending,
    },
    /// A replica sent a frame.
    Frame {
        /// The replica.
        peer: ReplicaId,
        /// What it sent.
        frame: Frame,
        /// Drop it when the frame has been dealt with.
        permit: Permit,
    },
    /// A client connected. The same key may have several connections.
    ClientConnected {
        /// The client's key.
        client: PublicKey,
        /// The connection, to answer on.
        connection: ConnectionId,
    },
    /// A client sent a frame.
    ClientFrame {
        /// The client's key.
        client: PublicKey,
        /// The connection, to answer on.
        connection: ConnectionId,
        /// What it sent.
        frame: Frame,
        /// Drop it when the frame has been dealt with.
        permit: Permit,
    },
    /// A client's connection ended.
    ClientDisconnected {
        /// The client's key.
        client: PublicKey,
        /// The connection.
        connection: ConnectionId,
        /// Why, and on whose side.
        ending: Ending,
    },
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    Replica(ReplicaId),
    Client(PublicKey, ConnectionId),
}

impl Origin {
    pub(crate) const fn connected(self) -> Event {
        match self {
            Self::Replica(peer) => Event::Connected { peer },
            Self::Client(client, connection) => Event::ClientConnected { client, connection },
        }
    }

    pub(crate) const fn disconnected(self, ending: Ending) -> Event {
        match self {
            Self::Replica(peer) => Event::Disconnected { peer, ending },
            Self::Client(client, connection) => Event::ClientDisconnected { client, connection, ending },
        }
    }

    pub(crate) const fn frame(self, frame: Frame, permit: Permit) -> Event {
        match self {
            Self::Replica(peer) => Event::Frame { peer, frame, permit },
            Self::Client(client, connection) => Event::ClientFrame { client, connection, frame, permit },
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(peer) => write!(f, "replica {peer}"),
            Self::Client(client, connection) => write!(f, "client {client}, connection {connection}"),
        }
    }
}
