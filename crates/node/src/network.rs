//! How does the core's talk reach the sockets? Messages become frames, frames become inputs.

use quorate_consensus::{Input, Peer, Recipients};
use quorate_transport::{
    Class, ClientServer, ClientSocket, Config, ConnectionId, Event, Frame, PeerNetwork, PeerSocket, Remote,
    StartError,
};
use quorate_types::message::{ClientMessage, Message, ReplicaMessage};
use quorate_types::{Authenticated, PublicKey, Rejection, ReplicaId};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

use crate::status::Status;

/// Both sockets of a replica, bound and silent.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) peers: PeerSocket,
    pub(crate) clients: ClientSocket,
}

/// Both sockets of a running replica.
#[derive(Debug)]
pub(crate) struct Network {
    me: ReplicaId,
    others: Vec<ReplicaId>,
    peers: PeerNetwork,
    clients: ClientServer,
    /// The open connections of each client key.
    connections: BTreeMap<PublicKey, Vec<ConnectionId>>,
}

impl Network {
    /// Starts both sockets on the current runtime.
    pub(crate) fn start(
        me: ReplicaId,
        sockets: Sockets,
        members: &[Remote],
        events: &mpsc::Sender<Event>,
    ) -> Result<Self, StartError> {
        let peers = sockets.peers.start(me, members, Config::peers(), events.clone())?;
        let clients = sockets.clients.start(Config::clients(), events.clone())?;
        let others = members.iter().map(|member| member.id).filter(|id| *id != me).collect();
        Ok(Self { me, others, peers, clients, connections: BTreeMap::new() })
    }

    /// Sends a message, encoded once. What a slow or absent receiver misses is counted by the
    /// transport, and sent again by the protocol.
    pub(crate) fn send(&self, to: Recipients, message: &Message) {
        let class = if message.is_bulk() { Class::Bulk } else { Class::Consensus };
        let frame = to_transport(message.encode());
        match to {
            Recipients::One(replica) => {
                let _ = self.peers.send(replica, class, frame);
            }
            Recipients::All => {
                for replica in &self.others {
                    let _ = self.peers.send(*replica, class, frame.clone());
                }
            }
        }
    }

    /// Answers on every connection of a client's key: which of them asked is the client's business.
    pub(crate) fn reply(&self, client: &PublicKey, message: &ReplicaMessage) {
        let Some(connections) = self.connections.get(client) else { return };
        let frame = to_transport(message.encode());
        for connection in connections {
            let _ = self.clients.send(*connection, frame.clone());
        }
    }

    /// What an event means to the core, or whose message is refused and why.
    pub(crate) fn input_of(&mut self, event: Event) -> Option<Result<Input, (Peer, Rejection)>> {
        match event {
            Event::Connected { peer } => Some(Ok(Input::Connected(Peer::Replica(peer)))),
            Event::Disconnected { peer, ending } => {
                tracing::debug!(replica = %self.me, %peer, %ending, "disconnected");
                Some(Ok(Input::Disconnected(Peer::Replica(peer))))
            }
            Event::Frame { peer, frame, permit: _ } => {
                let message = Message::decode(&from_transport(frame));
                let input = message.map(|message| Input::Message(Authenticated::from_channel(peer, message)));
                Some(input.map_err(|why| (Peer::Replica(peer), why)))
            }
            Event::ClientConnected { client, connection } => {
                self.connections.entry(client).or_default().push(connection);
                Some(Ok(Input::Connected(Peer::Client(client))))
            }
            Event::ClientDisconnected { client, connection, .. } => self.on_gone(client, connection),
            Event::ClientFrame { client, frame, permit: _, .. } => {
                match ClientMessage::decode(&from_transport(frame)) {
                    Ok(ClientMessage::Request(bundle)) => Some(Ok(Input::Request(client, bundle))),
                    // The core greets whoever connects, so a greeting asked for is one more connection.
                    Ok(ClientMessage::Hello) => Some(Ok(Input::Connected(Peer::Client(client)))),
                    Err(why) => Some(Err((Peer::Client(client), why))),
                }
            }
        }
    }

    /// The core hears of the last connection of a key only.
    fn on_gone<E>(&mut self, client: PublicKey, connection: ConnectionId) -> Option<Result<Input, E>> {
        let open = self.connections.get_mut(&client)?;
        open.retain(|other| *other != connection);
        if !open.is_empty() {
            return None;
        }
        self.connections.remove(&client);
        Some(Ok(Input::Disconnected(Peer::Client(client))))
    }

    pub(crate) fn cut(&self, peer: ReplicaId) {
        self.peers.cut(peer);
    }

    pub(crate) fn heal(&self, peer: ReplicaId) {
        self.peers.heal(peer);
    }

    /// Completes a status with what the sockets know.
    pub(crate) fn describe(&self, status: &mut Status) {
        let is_connected = |other: &&ReplicaId| self.peers.is_connected(**other);
        status.connected = self.others.iter().filter(is_connected).copied().collect();
        status.clients = self.connections.len();
        status.add_socket("peer-socket", &self.peers.counters());
        status.add_socket("client-socket", &self.clients.counters());
    }

    /// Says goodbye on all connections and frees both ports.
    pub(crate) async fn shutdown(&self) {
        tokio::join!(self.peers.shutdown(), self.clients.shutdown());
    }
}

pub(crate) fn to_transport(frame: quorate_types::Frame) -> Frame {
    Frame { head: frame.head, payload: frame.payload }
}

pub(crate) fn from_transport(frame: Frame) -> quorate_types::Frame {
    quorate_types::Frame { head: frame.head, payload: frame.payload }
}
