//! Authenticated, bounded channels over QUIC.
//!
//! Moves opaque [`Frame`]s between replicas ([`PeerSocket`], [`PeerNetwork`]) and between clients and
//! replicas ([`ClientSocket`], [`ClientServer`], [`ClientEndpoint`]), and knows nothing of what they
//! mean. The other end of every connection has proved the key under which its events are reported.
//!
//! - Sending never waits. What does not fit into the queue of a slow or dead peer is [`Dropped`] and
//!   counted; the protocol above retransmits.
//! - Receiving is bounded per connection: each frame carries a [`Permit`], and a peer whose permits
//!   are used up is not read until some are dropped.
//! - Lost connections are dialled again, for ever, with backoff and jitter.
//! - Every refusal and ending has a [`Reason`], which both ends learn and count in [`Counters`].
//!
//! Reading order: `event`, `network` and `server` and `client` (the three endpoints), `peer` (one
//! replica kept connected), `link` (one connection), `frame`, `queue`, `accept`, `tls`, `socket`.
//!
//! ```
//! use quorate_transport::{Class, Config, Event, Frame, Remote, PeerSocket};
//! use quorate_types::{ReplicaId, SecretKey};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = [SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32])];
//! let mut sockets = Vec::new();
//! let mut members = Vec::new();
//! for (id, key) in (0..).map(ReplicaId).zip(&keys) {
//!     let socket = PeerSocket::bind("127.0.0.1:0".parse()?, key)?;
//!     members.push(Remote { id, key: key.public(), address: socket.local_addr() });
//!     sockets.push(socket);
//! }
//!
//! let mut networks = Vec::new();
//! let mut events = Vec::new();
//! for (id, socket) in (0..).map(ReplicaId).zip(sockets) {
//!     let (sender, receiver) = tokio::sync::mpsc::channel(1024);
//!     networks.push(socket.start(id, &members, Config::peers(), sender)?);
//!     events.push(receiver);
//! }
//!
//! let Some(Event::Connected { peer }) = events[0].recv().await else { panic!("connected first") };
//! let frame = Frame { head: "vote".into(), payload: "".into() };
//! networks[0].send(peer, Class::Consensus, frame)?;
//!
//! let Some(Event::Connected { .. }) = events[1].recv().await else { panic!("connected first") };
//! let Some(Event::Frame { peer, frame, permit }) = events[1].recv().await else { panic!("a frame") };
//! assert_eq!((peer, &frame.head[..]), (ReplicaId(0), &b"vote"[..]));
//! drop(permit);
//!
//! for network in &networks {
//!     network.shutdown().await;
//! }
//! # Ok(())
//! # }
//! ```

mod event;

mod client;
mod network;
mod server;

mod accept;
mod frame;
mod link;
mod peer;
mod queue;
mod socket;
mod tasks;
mod tls;

mod config;
mod counters;
mod error;
pub mod floor;
mod reason;

#[cfg(test)]
mod tests;

pub use client::ClientEndpoint;
pub use config::Config;
pub use counters::{Counters, Dropped};
pub use error::StartError;
pub use event::{ConnectionId, Event};
pub use frame::{Frame, FrameLimits};
pub use network::{Class, PeerNetwork, PeerSocket, Remote};
pub use queue::Permit;
pub use reason::{Ending, Reason};
pub use server::{ClientServer, ClientSocket};
pub use tls::{ALPN_CLIENT, ALPN_PEER};
