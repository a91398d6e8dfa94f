//! What keeps an endpoint from starting? One sentence per mistake, saying what to do.

use quorate_types::{KeyError, ReplicaId};
use std::io;
use std::net::SocketAddr;

/// Why a socket was not bound or an endpoint not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another socket has the port.
    #[error(
        "UDP port {} of {} is already in use: stop the program that holds it, or choose another port (0 lets the system choose)",
        address.port(), address.ip()
    )]
    PortInUse {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// The address is another machine's.
    #[error("{} is not an address of this machine: use one of its own, or 0.0.0.0 for all of them", address.ip())]
    AddressNotLocal {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// The port needs privileges.
    #[error("UDP port {} needs privileges that this program does not have: choose a port above 1023", address.port())]
    PortNotPermitted {
        /// What was to be bound.
        address: SocketAddr,
    },
    /// The system refused for another reason.
    #[error("cannot listen on UDP {address}: {error}; check the address in the configuration")]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The runtime refused the socket.
    #[error(
        "cannot run QUIC on the socket: {0}; the tokio runtime must have its I/O and time drivers enabled"
    )]
    Runtime(io::Error),
    /// This replica does not stand in the membership.
    #[error("replica {me} is not among the members: add it to the genesis, or correct its id")]
    NotAMember {
        /// This replica.
        me: ReplicaId,
    },
    /// This replica's key is not the one in the membership.
    #[error("the secret key does not belong to replica {me}: use the key file that was made for it")]
    KeyMismatch {
        /// This replica.
        me: ReplicaId,
    },
    /// Two members have the same id.
    #[error("replica {id} stands in the membership twice: give every replica an id of its own")]
    DuplicateId {
        /// The id.
        id: ReplicaId,
    },
    /// Two members have the same key.
    #[error("replicas {other} and {id} have the same key: make a key for each replica")]
    DuplicateKey {
        /// The later member.
        id: ReplicaId,
        /// The earlier member.
        other: ReplicaId,
    },
    /// A member's key is of no use.
    #[error("the key of replica {id} is refused: {error}; make a new one")]
    Key {
        /// The member.
        id: ReplicaId,
        /// What is wrong with it.
        error: KeyError,
    },
}
